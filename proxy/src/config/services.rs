//! `[services.…]`: named groups of endpoints.

use actix_http::header::HeaderValue;

use super::{
    endpoint::EndpointUrl,
    error::{Located, Problem},
    section::Section,
    size::ByteSize,
    timeouts::{TimeoutOverrides, Timeouts},
    tunnel::TunnelLimits,
    value::{FromText, unknown_word},
};

#[derive(Clone, Debug)]
pub struct ServiceConfig {
    pub name: String,
    /// Never empty.
    pub endpoints: Vec<EndpointUrl>,
    pub balance: Balance,
    pub host: UpstreamHost,
    pub timeouts: Timeouts,
    pub tunnel: TunnelLimits,
    /// Bound on a response head, in bytes.
    pub max_response_header_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    Random,
}

/// What the `Host` field says to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamHost {
    /// What the client sent.
    Preserve,
    /// The authority of the endpoint.
    Endpoint,
    Named(HeaderValue),
}

const DEFAULT_HEAD: ByteSize = ByteSize(64 << 10);
const LARGEST_HEAD: u64 = 16 << 20;

impl ServiceConfig {
    pub(super) fn read(name: Located<String>, mut section: Section<'_>) -> Self {
        if let Err(problem) = check_name(&name.value) {
            section.report(&name.span, problem);
        }
        let endpoints = section.require::<Vec<Located<EndpointUrl>>>("endpoints");
        if section.is_empty_array("endpoints") {
            let span = section.key_span("endpoints");
            section.report(&span, Problem::new("\"endpoints\" names no endpoint"));
        }
        let endpoints = endpoints.map(|endpoints| endpoints.value).unwrap_or_default();
        report_repeated(&section, &endpoints);
        let config = Self {
            name: name.value,
            endpoints: endpoints.into_iter().map(|endpoint| endpoint.value).collect(),
            balance: section.or("balance", Balance::Random),
            host: section.or("host", UpstreamHost::Preserve),
            timeouts: Timeouts::default()
                .overridden(TimeoutOverrides::read(section.section("timeouts"))),
            tunnel: TunnelLimits::read(section.section("tunnel")),
            max_response_header_bytes: head_bound(&mut section),
        };
        section.finish();
        config
    }
}

fn head_bound(section: &mut Section<'_>) -> usize {
    const KEY: &str = "max_response_header_bytes";
    let bound = section.or(KEY, DEFAULT_HEAD);
    if bound.0 < 1024 || bound.0 > LARGEST_HEAD {
        let span = section.key_span(KEY);
        section.report(&span, Problem::new(format!("{KEY} must be 1KiB to 16MiB")));
    }
    usize::try_from(bound.0.min(LARGEST_HEAD)).unwrap_or(usize::MAX)
}

fn report_repeated(section: &Section<'_>, endpoints: &[Located<EndpointUrl>]) {
    for (index, endpoint) in endpoints.iter().enumerate() {
        if endpoints[..index].iter().any(|earlier| earlier.value.url == endpoint.value.url) {
            let message = format!("endpoint \"{}\" is listed twice", endpoint.value.url);
            section.report(&endpoint.span, Problem::new(message));
        }
    }
}

/// A name stands in paths, labels and logs: letters, digits, `-`, `_` and `.`, 64 at most.
pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Problem::new(format!(
        "the name \"{name}\" must be 1 to 64 letters, digits, \"-\", \"_\" or \".\""
    )))
}

impl FromText for Balance {
    const EXPECTED: &'static str = "\"random\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "random" => Ok(Self::Random),
            other => Err(unknown_word(other, &["random"])),
        }
    }
}

impl FromText for UpstreamHost {
    const EXPECTED: &'static str = "\"preserve\", \"endpoint\" or a host name";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let authority = text.parse::<actix_http::uri::Authority>();
        match (text, authority) {
            ("preserve", _) => Ok(Self::Preserve),
            ("endpoint", _) => Ok(Self::Endpoint),
            (name, Ok(_)) if !name.contains('@') => HeaderValue::from_str(name)
                .map(Self::Named)
                .map_err(|_| Problem::new(format!("\"{name}\" is not a host name"))),
            (name, _) => Err(Problem::new(format!("\"{name}\" is not a host name"))
                .hint(format!("expected {}", Self::EXPECTED))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_a_word_or_a_name() {
        assert_eq!(UpstreamHost::from_text("preserve"), Ok(UpstreamHost::Preserve));
        assert_eq!(UpstreamHost::from_text("endpoint"), Ok(UpstreamHost::Endpoint));
        assert!(matches!(UpstreamHost::from_text("a.test:81"), Ok(UpstreamHost::Named(_))));
        for wrong in ["", "a b", "u@a", "a/b"] {
            assert!(UpstreamHost::from_text(wrong).is_err(), "{wrong}");
        }
    }
}
