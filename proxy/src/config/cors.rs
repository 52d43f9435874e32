//! `cors` of a route: which pages of other origins may read its answers (Fetch standard, section
//! 3.3). What is written does not depend on the request but for the origin, so it is made here.

use std::time::Duration;

use actix_http::{
    Method,
    header::{HeaderName, HeaderValue},
};

use super::{
    duration::Within,
    error::{Located, Problem},
    header_rules::{FieldName, HeaderRules},
    method::MethodName,
    routes::HostPattern,
    section::Section,
    value::FromText,
};

/// What a page may send to anybody without asking, and so the least there is to allow.
const SAFE_METHODS: &str = "GET, HEAD, POST";
/// Browsers keep the answer to a preflight for a day at most.
const LONGEST_MS: u64 = 24 * 3_600_000;
const MAX_AGE: Duration = Duration::from_secs(600);

/// What the proxy writes where a route has `cors`. Were an upstream to write them too, no browser
/// would let a page read the answer.
const OWN: [&str; 7] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-allow-private-network",
    "access-control-expose-headers",
    "access-control-max-age",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsConfig {
    pub origins: Origins,
    /// Whether pages may send cookies and the like, and read what is answered to them.
    pub credentials: bool,
    /// Of preflights.
    pub methods: HeaderValue,
    /// Of preflights; `None` for those that need no allowance.
    pub headers: Option<HeaderValue>,
    /// Of preflights, in seconds.
    pub max_age: HeaderValue,
    /// Of all other answers.
    pub expose: Option<HeaderValue>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    Any,
    Listed(Vec<OriginPattern>),
}

/// As browsers write origins: in lower case, without the default port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    Exact(String),
    /// `https://*.example.com:8443`: any number of labels between these, at least one.
    Below {
        start: String,
        end: String,
    },
}

impl CorsConfig {
    /// `methods` are those of the route. The fields of `answers` that the proxy then writes are
    /// kept from the upstream.
    pub(super) fn read(
        section: &mut Section<'_>,
        methods: &[Method],
        answers: &mut HeaderRules,
    ) -> Option<Self> {
        let cors = section.section("cors")?;
        let twice = answers.set.iter().chain(&answers.add).map(|(name, _)| name);
        for name in twice.filter(|name| OWN.contains(&name.as_str())) {
            let problem = Problem::new(format!("\"cors\" writes the field \"{name}\" already"));
            section.report(&section.key_span("response_headers"), problem);
        }
        answers.remove.extend(OWN.map(HeaderName::from_static));
        Self::read_table(cors, methods)
    }

    fn read_table(mut section: Section<'_>, route_methods: &[Method]) -> Option<Self> {
        let origins = origins(&mut section);
        let credentials = section.or("credentials", false);
        let methods = names::<AllowedMethod>(&mut section, "methods", credentials);
        let headers = names::<FieldName>(&mut section, "headers", credentials);
        let expose = names::<FieldName>(&mut section, "expose", credentials);
        let max_age = section.or::<Within<0, LONGEST_MS>>("max_age", Within(MAX_AGE)).0;
        if credentials && matches!(origins, Some(Origins::Any)) {
            let problem = Problem::new("\"credentials\" for the pages of every origin")
                .hint("name the origins");
            section.report(&section.key_span("credentials"), problem);
        }
        section.finish();
        let of_route = || {
            let names: Vec<&str> = route_methods.iter().map(Method::as_str).collect();
            HeaderValue::from_str(&names.join(", ")).ok().filter(|value| !value.is_empty())
        };
        Some(Self {
            origins: origins?,
            credentials,
            methods: methods.or_else(of_route).unwrap_or(HeaderValue::from_static(SAFE_METHODS)),
            headers,
            max_age: HeaderValue::from(max_age.as_secs()),
            expose,
        })
    }
}

fn origins(section: &mut Section<'_>) -> Option<Origins> {
    let given = section.require::<Vec<Located<OriginName>>>("origins")?;
    if section.is_empty_array("origins") {
        section.report(&given.span, Problem::new("\"origins\" names no origin"));
    }
    let mut patterns = Vec::with_capacity(given.value.len());
    let count = given.value.len();
    for name in given.value {
        match name.value {
            OriginName::Any if count == 1 => return Some(Origins::Any),
            OriginName::Any => {
                let problem = Problem::new("\"*\" stands for every origin: name no others");
                section.report(&name.span, problem);
            }
            OriginName::Pattern(pattern) => patterns.push(pattern),
        }
    }
    Some(Origins::Listed(patterns))
}

/// A list as the field has it; `None` if it is empty or not there.
fn names<T: FromText + Written>(
    section: &mut Section<'_>,
    key: &'static str,
    credentials: bool,
) -> Option<HeaderValue> {
    let given = section.get::<Vec<Located<T>>>(key)?;
    let mut text = String::new();
    for name in &given.value {
        let written = name.value.written();
        if written == "*" && credentials {
            let problem = Problem::new("with \"credentials\", \"*\" is a name like any other");
            section.report(&name.span, problem.hint("browsers want each named"));
        }
        text.push_str(if text.is_empty() { "" } else { ", " });
        text.push_str(written);
    }
    (!text.is_empty()).then(|| HeaderValue::from_str(&text).expect("tokens are field values"))
}

trait Written {
    fn written(&self) -> &str;
}

impl Written for FieldName {
    fn written(&self) -> &str {
        self.0.as_str()
    }
}

/// A method, or "*".
enum AllowedMethod {
    All,
    One(MethodName),
}

impl Written for AllowedMethod {
    fn written(&self) -> &str {
        match self {
            Self::All => "*",
            Self::One(method) => method.0.as_str(),
        }
    }
}

impl FromText for AllowedMethod {
    const EXPECTED: &'static str = MethodName::EXPECTED;

    fn from_text(text: &str) -> Result<Self, Problem> {
        if text == "*" { Ok(Self::All) } else { MethodName::from_text(text).map(Self::One) }
    }
}

/// An origin, or "*".
enum OriginName {
    Any,
    Pattern(OriginPattern),
}

impl FromText for OriginName {
    const EXPECTED: &'static str =
        "an origin such as \"https://app.example.com\" or \"https://*.example.com\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Pattern(OriginPattern::Exact(text.to_owned()))),
            _ => {}
        }
        pattern(text).map(Self::Pattern).ok_or_else(|| {
            Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED))
                .hint("scheme, host, and a port that is not the scheme's own; no path")
        })
    }
}

fn pattern(text: &str) -> Option<OriginPattern> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte)
        });
    let digits = rest.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (host, port) = match rest[..rest.len() - digits].strip_suffix(':') {
        // The end of an IPv6 address is no port.
        Some(host) if !host.contains(':') || host.ends_with(']') => {
            (host, Some(&rest[host.len()..]))
        }
        _ => (rest, None),
    };
    let is_port = port.is_none_or(|port| {
        let number = port[1..].parse::<u16>().ok().filter(|number| *number > 0);
        let default = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        number.is_some() && number != default && !port[1..].starts_with('0')
    });
    if !is_scheme || !is_port {
        return None;
    }
    let port = port.unwrap_or_default();
    Some(match HostPattern::from_text(host).ok()? {
        HostPattern::Exact(host) => OriginPattern::Exact(format!("{scheme}://{host}{port}")),
        HostPattern::Suffix(suffix) => {
            OriginPattern::Below { start: format!("{scheme}://"), end: format!("{suffix}{port}") }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_an_unusual_port() {
        let exact = |text: &str| Some(OriginPattern::Exact(text.to_owned()));
        let below = |start: &str, end: &str| {
            Some(OriginPattern::Below { start: start.to_owned(), end: end.to_owned() })
        };
        for (text, expected) in [
            ("https://a.test", exact("https://a.test")),
            ("https://A.Test", exact("https://a.test")),
            ("http://localhost:3000", exact("http://localhost:3000")),
            ("http://[::1]:3000", exact("http://[::1]:3000")),
            ("http://[::1]", exact("http://[::1]")),
            ("https://a.test:80", exact("https://a.test:80")),
            ("capacitor://localhost", exact("capacitor://localhost")),
            ("https://*.a.test", below("https://", ".a.test")),
            ("https://*.a.test:8443", below("https://", ".a.test:8443")),
            ("a.test", None),
            ("//a.test", None),
            ("https://", None),
            ("https://a.test/", None),
            ("https://a.test/x", None),
            ("https://u@a.test", None),
            ("https://a.test:", None),
            ("https://a.test:443", None),
            ("http://a.test:80", None),
            ("http://a.test:080", None),
            ("http://a.test:0", None),
            ("http://a.test:70000", None),
            ("http://::1", None),
            ("https://*", None),
            ("https://a.*.test", None),
            ("HTTPS://a.test", None),
            ("*://a.test", None),
        ] {
            assert_eq!(pattern(text), expected, "{text}");
        }
    }
}
