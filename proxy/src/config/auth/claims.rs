//! What a token says: claims that must be there, and those that the upstream gets as fields.

use actix_http::header::HeaderName;
use toml::{Spanned, de::DeValue};

use crate::config::{
    error::{Located, Problem},
    header_rules::FieldName,
    section::{Reader, Section},
    value::{FromText, Value, expected},
};

/// What a claim is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimValue {
    Text(String),
    Number(u64),
    Truth(bool),
}

/// Conditions on a token; all must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Required {
    /// Each must be one of those of the token (RFC 6749 section 3.3).
    pub scopes: Vec<String>,
    /// The claim, and the values of which it must be, or have, one.
    pub claims: Vec<(String, Vec<ClaimValue>)>,
}

/// Claims that go to the upstream, each in a field of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimFields(pub Vec<(String, HeaderName)>);

impl Required {
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.claims.is_empty()
    }

    /// Whether a name alone would not do: the claim `sub` is known of every client with a name.
    pub(in crate::config) fn needs_claims(&self) -> bool {
        !self.scopes.is_empty() || self.claims.iter().any(|(name, _)| name != "sub")
    }

    /// `require` of a route.
    pub(in crate::config) fn read_route(section: Option<Section<'_>>) -> Self {
        let Some(mut section) = section else { return Self::default() };
        let scopes = section.or::<Vec<Located<Scope>>>("scopes", Vec::new());
        let claims = section.section("claims").map(Self::read_claims).unwrap_or_default();
        section.finish();
        Self { scopes: scopes.into_iter().map(|scope| scope.value.0).collect(), claims }
    }

    /// `required` of a scheme.
    pub(super) fn read_scheme(section: &mut Section<'_>) -> Self {
        let claims = section.section("required").map(Self::read_claims).unwrap_or_default();
        Self { scopes: Vec::new(), claims }
    }

    fn read_claims(section: Section<'_>) -> Vec<(String, Vec<ClaimValue>)> {
        let entries = section.entries::<OneOf>();
        entries.into_iter().map(|(name, one_of)| (name.value, one_of.value.0)).collect()
    }
}

impl ClaimFields {
    /// `claims_to_headers`.
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let Some(table) = section.section("claims_to_headers") else { return Self::default() };
        let mut fields = Vec::<(String, HeaderName)>::new();
        for (claim, Located { value: IdentityField(field), span }) in table.entries() {
            if let Some((other, _)) = fields.iter().find(|(_, known)| is_same(known, &field)) {
                let message = format!("the field \"{field}\" is already that of \"{other}\"");
                section.report(&span, Problem::new(message));
            }
            fields.push((claim.value, field));
        }
        Self(fields)
    }

    pub fn names(&self) -> Vec<HeaderName> {
        self.0.iter().map(|(_, name)| name.clone()).collect()
    }
}

/// Whether two names are spellings of one: who reads one may read the other.
fn is_same(one: &HeaderName, other: &HeaderName) -> bool {
    let normal = |name: &HeaderName| name.as_str().replace(['_', '.'], "-");
    normal(one) == normal(other)
}

/// What the proxy says of the request itself.
const WRITTEN: [&str; 7] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-request-id",
];

/// A field that says who the client is: not one that the proxy writes anyway.
pub(super) struct IdentityField(pub(super) HeaderName);

impl FromText for IdentityField {
    const EXPECTED: &'static str = FieldName::EXPECTED;

    fn from_text(text: &str) -> Result<Self, Problem> {
        let FieldName(name) = FieldName::from_text(text)?;
        crate::config::header_rules::check_own(&FieldName(name.clone()))?;
        let is_taken = WRITTEN.contains(&name.as_str());
        if is_taken {
            return Err(Problem::new(format!("the proxy writes \"{name}\" itself")));
        }
        Ok(Self(name))
    }
}

struct Scope(String);

impl FromText for Scope {
    const EXPECTED: &'static str = "a scope such as \"read\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let is_scope = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if text.is_empty() || !text.bytes().all(is_scope) {
            return Err(Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)));
        }
        Ok(Self(text.to_owned()))
    }
}

/// One value, or an array of those that will do.
struct OneOf(Vec<ClaimValue>);

impl Value for OneOf {
    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        match value.get_ref() {
            DeValue::Array(_) => {
                let values = Vec::<Located<ClaimValue>>::read(reader, value)?;
                if values.is_empty() {
                    return Err(Problem::new("no value would do"));
                }
                Ok(Self(values.into_iter().map(|value| value.value).collect()))
            }
            _ => ClaimValue::read(reader, value).map(|value| Self(vec![value])),
        }
    }
}

impl Value for ClaimValue {
    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        match value.get_ref() {
            DeValue::String(_) => String::read(reader, value).map(Self::Text),
            DeValue::Integer(_) => u64::read(reader, value).map(Self::Number),
            DeValue::Boolean(_) => bool::read(reader, value).map(Self::Truth),
            _ => Err(expected("a string, a whole number, true or false", value)),
        }
    }
}
