//! `request_headers` and `response_headers`: fields that a route sets, adds and removes.

use actix_http::header::{HeaderName, HeaderValue};

use super::{
    error::{Located, Problem},
    section::Section,
    value::FromText,
};

/// Applied in this order: remove, set, add.
#[derive(Clone, Debug, Default)]
pub struct HeaderRules {
    pub remove: Vec<HeaderName>,
    pub set: Vec<(HeaderName, HeaderValue)>,
    pub add: Vec<(HeaderName, HeaderValue)>,
}

/// Fields of framing and of the connection, and what shows loops: the proxy alone writes them.
const OWN: [&str; 11] = [
    "cdn-loop",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl HeaderRules {
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Whether there is a rule for the field.
    pub(super) fn has(&self, name: &HeaderName) -> bool {
        let fields = self.set.iter().chain(&self.add).map(|(name, _)| name);
        self.remove.iter().chain(fields).any(|known| known == name)
    }

    pub(super) fn read(section: Option<Section<'_>>) -> Self {
        let Some(mut section) = section else {
            return Self::default();
        };
        let remove = section.or::<Vec<Located<FieldName>>>("remove", Vec::new());
        for name in &remove {
            if let Err(problem) = check_own(&name.value) {
                section.report(&name.span, problem);
            }
        }
        let mut fields = |key| {
            let fields = section.section(key)?;
            Some(Self::fields(fields, check_own, |FieldValue(value)| value))
        };
        let set = fields("set").unwrap_or_default();
        let add = fields("add").unwrap_or_default();
        section.finish();
        Self { remove: remove.into_iter().map(|name| name.value.0).collect(), set, add }
    }

    /// The entries of a table of fields.
    pub(super) fn fields<T>(
        section: Section<'_>,
        check: impl Fn(&FieldName) -> Result<(), Problem>,
        value: impl Fn(FieldValue) -> T,
    ) -> Vec<(HeaderName, T)> {
        let reader = section.reader;
        let mut fields: Vec<(HeaderName, T)> = Vec::new();
        for (name, given) in section.entries::<FieldValue>() {
            let parsed = FieldName::from_text(&name.value);
            match parsed.and_then(|parsed| check(&parsed).map(|()| parsed)) {
                Ok(FieldName(parsed)) if fields.iter().any(|(known, _)| *known == parsed) => {
                    let problem = Problem::new(format!("the field \"{parsed}\" stands here twice"));
                    reader.report(&name.span, problem);
                }
                Ok(FieldName(parsed)) => fields.push((parsed, value(given.value))),
                Err(problem) => reader.report(&name.span, problem),
            }
        }
        fields
    }
}

pub(super) fn check_own(name: &FieldName) -> Result<(), Problem> {
    if !OWN.contains(&name.0.as_str()) {
        return Ok(());
    }
    let problem = Problem::new(format!("the field \"{}\" is the proxy's own", name.0));
    Err(match name.0.as_str() {
        "cdn-loop" => problem.hint("a request that comes back is known by it"),
        "host" => problem.hint("set \"host\" of the service"),
        _ => problem.hint("it belongs to the connection, not to the message"),
    })
}

/// A field name, in lower case.
pub(super) struct FieldName(pub(super) HeaderName);

impl FromText for FieldName {
    const EXPECTED: &'static str = "a field name such as \"x-env\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        HeaderName::from_bytes(text.as_bytes())
            .map(Self)
            .map_err(|_| Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)))
    }
}

/// A field value: visible characters, with spaces and tabs inside.
pub(super) struct FieldValue(pub(super) HeaderValue);

impl FromText for FieldValue {
    const EXPECTED: &'static str = "a string";
    // Of `authorization` it is one.
    const IS_SECRET: bool = true;

    fn from_text(text: &str) -> Result<Self, Problem> {
        if text.trim() != text {
            return Err(Problem::new("a field value cannot start or end with a space"));
        }
        HeaderValue::from_str(text)
            .map(Self)
            .map_err(|_| Problem::new("a field value cannot have control characters"))
    }
}
