//! Where a scheme asks somebody else: a whole URL, and how TLS is spoken there.

use actix_http::uri::{PathAndQuery, Uri};

use super::{
    endpoint::{EndpointUrl, has_user},
    error::{Position, Problem},
    section::Section,
    tls::{TlsName, UpstreamTls},
    value::FromText,
};

/// One URL that the proxy itself asks.
#[derive(Clone, Debug)]
pub struct CallConfig {
    pub url: CallUrl,
    /// Where it is named.
    pub at: Position,
    pub tls: UpstreamTls,
}

/// A URL taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallUrl {
    /// Its `base` is empty.
    pub endpoint: EndpointUrl,
    /// Path and query, from "/".
    pub target: String,
}

impl CallConfig {
    /// The URL under `key`, and the table `tls`; `None` if there is none, or it is wrong and
    /// reported.
    pub(super) fn read(section: &mut Section<'_>, key: &'static str) -> Option<Self> {
        let url = section.get::<CallUrl>(key);
        let tls = section.section("tls").map(UpstreamTls::read_table).unwrap_or_default();
        if tls.server_name == TlsName::OfRequest {
            let message = "\"{host}\" is for services: a scheme asks one host, that of its URL";
            section.report(&section.key_span("tls"), Problem::new(message));
        }
        let url = url?;
        if section.has("tls") && url.value.endpoint.tls.is_none() {
            let problem = Problem::new(format!("\"tls\" is for https, and \"{key}\" has http"));
            section.report(&section.key_span("tls"), problem);
        }
        let at = section.reader.source.position(url.span.start);
        Some(Self { url: url.value, at, tls })
    }
}

impl FromText for CallUrl {
    const EXPECTED: &'static str = "a URL such as \"https://id.example.com/keys\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        if has_user(text) {
            return Err(Problem::new("the URL must not carry a user name"));
        }
        let refused = || Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED));
        let uri: Uri = text.parse().map_err(|_| refused())?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) =
            (uri.scheme_str(), uri.authority())
        else {
            return Err(refused());
        };
        if text.contains('#') {
            return Err(Problem::new(format!("the URL \"{text}\" must not have a fragment")));
        }
        let endpoint = EndpointUrl::from_text(&format!("{scheme}://{authority}"))
            .map_err(|problem| problem.hint(format!("expected {}", Self::EXPECTED)))?;
        let target = uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
        Ok(Self { endpoint, target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_its_path_and_query_as_written() {
        for (text, target) in [
            ("http://127.0.0.1:9000", "/"),
            ("http://127.0.0.1:9000/keys/", "/keys/"),
            ("https://id.test/keys?tenant=a", "/keys?tenant=a"),
        ] {
            let url = CallUrl::from_text(text).expect("is one");
            assert_eq!((url.target.as_str(), url.endpoint.base.as_str()), (target, ""), "{text}");
        }
        for wrong in ["", "/keys", "ftp://a/", "http://u@a/", "http://a:0/", "http://a/#b"] {
            assert!(CallUrl::from_text(wrong).is_err(), "{wrong}");
        }
    }
}
