//! Names that stand in certificates. What a name is, rustls says: what passes here it takes.

use rustls::pki_types::{DnsName, ServerName};

use super::upstream::TlsName;
use crate::config::{error::Problem, value::FromText};

/// A host name that a public CA can sign a certificate for, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AcmeHost(pub(super) String);

impl FromText for AcmeHost {
    const EXPECTED: &'static str = "a host name such as \"example.com\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        // "_" is for the names of services and records, and no CA signs it.
        let is_name = DnsName::try_from(text).is_ok() && !text.ends_with('.');
        if is_name && !text.contains('_') {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        let problem = Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED));
        Err(if text.starts_with("*.") {
            problem.hint("a wildcard cannot be proven over HTTP or TLS: name each host")
        } else if text.contains("://") || text.contains(':') {
            problem.hint("without scheme and port")
        } else if !text.is_ascii() {
            problem.hint("in ASCII, as \"xn--…\"")
        } else {
            problem
        })
    }
}

/// In lower case.
impl FromText for TlsName {
    const EXPECTED: &'static str =
        "a host name such as \"api.internal\", an address, or \"{host}\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        if text == "{host}" {
            return Ok(Self::OfRequest);
        }
        let name = ServerName::try_from(text.to_ascii_lowercase());
        if let Some(name) = name.ok().filter(|_| !text.ends_with('.')) {
            return Ok(Self::Fixed(name));
        }
        let problem = Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED));
        Err(match text.chars().next() {
            Some('[') => problem.hint("an IPv6 address without [ ]"),
            _ if text.contains('{') => problem.hint("\"{host}\" is what Host says to the endpoint"),
            _ => problem,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_ordered_for_a_host_name() {
        for (text, name) in [
            ("example.com", "example.com"),
            ("WWW.Example.Com", "www.example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("localhost", "localhost"),
            ("1.example", "1.example"),
        ] {
            assert_eq!(AcmeHost::from_text(text), Ok(AcmeHost(name.to_owned())));
        }
        let (label, name) = ("a".repeat(64), ["a"; 128].join("."));
        for wrong in [
            "",
            "*.example.com",
            "https://example.com",
            "example.com:443",
            "example.com.",
            "a..b",
            "-a.example",
            "a-.example",
            "a_b.example",
            "a b",
            "bücher.example",
            "192.0.2.1",
            "::1",
            "[::1]",
            &label,
            &name,
        ] {
            assert!(AcmeHost::from_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_endpoint_may_show_a_name_or_an_address() {
        for (text, name) in [
            ("Api.Internal", "api.internal"),
            ("my_service", "my_service"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8::1", "2001:db8::1"),
        ] {
            let expected = TlsName::Fixed(ServerName::try_from(name).expect("is one"));
            assert_eq!(TlsName::from_text(text), Ok(expected));
        }
        assert_eq!(TlsName::from_text("{host}"), Ok(TlsName::OfRequest));
        for wrong in [
            "",
            "a.",
            "[::1]",
            "a:443",
            "https://a",
            "*.a",
            "a b",
            "192.0.2.256",
            "{Host}",
            "{host}.a",
        ] {
            assert!(TlsName::from_text(wrong).is_err(), "{wrong}");
        }
    }
}
