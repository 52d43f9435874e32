//! The names of a client's certificate, which was verified: its subject, and what stands in
//! subjectAltName, as workloads have it that have no other name (SPIFFE). Anything that could be taken
//! for another kind of name, or break a line of a log, is no name.
//!
//! Bounds: 32 alternative names of 2 KiB, 8 KiB in all; the CA has signed them.

use rustls::pki_types::CertificateDer;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

use super::{names::address, subject::subject};
use crate::config::CertificateName;

const MOST_NAMES: usize = 32;
/// That of SPIFFE, in bytes.
const LONGEST: usize = 2048;
const MOST_BYTES: usize = 8192;

/// Who a client is by its certificate.
pub struct ClientNames {
    subject: Option<Box<str>>,
    alternatives: Box<[CertificateName]>,
    shown: Option<Box<str>>,
}

impl ClientNames {
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let subject = subject(certificate).map(String::into_boxed_str);
        let alternatives = alternatives(certificate);
        let first = first(&alternatives);
        let says_who = subject.as_deref().is_some_and(names_somebody);
        let shown = if says_who { subject.clone() } else { first.or_else(|| subject.clone()) };
        Self { subject, alternatives, shown }
    }

    /// What to call the client: the subject, or where that has no name of somebody in it the first
    /// alternative name, URIs before DNS names before the others.
    pub fn shown(&self) -> Option<&str> {
        self.shown.as_deref()
    }

    /// Whether it is one of the names.
    pub fn include(&self, name: &CertificateName) -> bool {
        match name {
            CertificateName::Subject(subject) => self.subject.as_deref() == Some(subject),
            other => self.alternatives.contains(other),
        }
    }
}

/// Organisations alone are those of many.
fn names_somebody(subject: &str) -> bool {
    let starts = |part: &str| part.starts_with("CN=") || part.starts_with("UID=");
    subject.split([',', '+']).any(starts)
}

fn alternatives(certificate: &CertificateDer<'_>) -> Box<[CertificateName]> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Box::default();
    };
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Box::default() };
    let names = extension.value.general_names.iter().filter_map(alternative);
    let mut bytes = 0;
    let fits = |name: &CertificateName| {
        bytes += name.to_string().len();
        bytes <= MOST_BYTES
    };
    names.take(MOST_NAMES).take_while(fits).collect()
}

fn alternative(name: &GeneralName<'_>) -> Option<CertificateName> {
    match name {
        GeneralName::URI(text) => CertificateName::uri(text),
        GeneralName::DNSName(text) => CertificateName::dns(text),
        GeneralName::RFC822Name(text) => CertificateName::email(text),
        GeneralName::IPAddress(bytes) => address(bytes).map(CertificateName::Address),
        _ => None,
    }
    .filter(|name| name.to_string().len() <= LONGEST)
}

fn first(names: &[CertificateName]) -> Option<Box<str>> {
    let rank = |name: &&CertificateName| match name {
        CertificateName::Subject(_) | CertificateName::Uri(_) => 0,
        CertificateName::Dns(_) => 1,
        CertificateName::Email(_) => 2,
        CertificateName::Address(_) => 3,
    };
    names.iter().min_by_key(rank).map(|name| name.to_string().into_boxed_str())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn of(subject: &[(DnType, &str)], alternatives: Vec<SanType>) -> ClientNames {
        let key = KeyPair::generate().expect("is generated");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.subject_alt_names = alternatives;
        ClientNames::of(params.self_signed(&key).expect("is signed").der())
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().expect("is ASCII"))
    }

    fn all() -> Vec<SanType> {
        vec![
            SanType::IpAddress("192.0.2.1".parse().expect("is an address")),
            SanType::Rfc822Name("ops@example.test".try_into().expect("is ASCII")),
            SanType::DnsName("API.example.test".try_into().expect("is ASCII")),
            uri("spiffe://example.test/api"),
        ]
    }

    #[test]
    fn a_certificate_without_a_subject_is_called_by_its_alternative_names() {
        let mut left = all();
        for shown in
            ["spiffe://example.test/api", "api.example.test", "ops@example.test", "192.0.2.1"]
        {
            assert_eq!(of(&[], left.clone()).shown(), Some(shown));
            left.pop();
        }
        assert_eq!(of(&[], left).shown(), None);
    }

    #[test]
    fn a_subject_that_names_somebody_goes_first_and_an_organisation_does_not() {
        let organisation = (DnType::OrganizationName, "SPIRE");
        let alice = [organisation.clone(), (DnType::CommonName, "alice")];
        assert_eq!(of(&alice, all()).shown(), Some("CN=alice,O=SPIRE"));
        let named = of(std::slice::from_ref(&organisation), all());
        assert_eq!(named.shown(), Some("spiffe://example.test/api"));
        assert!(named.include(&CertificateName::parse("O=SPIRE").expect("is a name")));
        assert_eq!(of(&[organisation], vec![]).shown(), Some("O=SPIRE"));
    }

    #[test]
    fn every_name_is_one_and_only_as_what_it_is() {
        let names = of(&[(DnType::CommonName, "alice")], all());
        let has = |text: &str| names.include(&CertificateName::parse(text).expect("is a name"));
        for name in [
            "CN=alice",
            "spiffe://example.test/api",
            "URI:spiffe://example.test/api",
            "api.example.test",
            "DNS:Api.Example.Test",
            "ops@example.test",
            "email:ops@example.test",
            "192.0.2.1",
            "IP:192.0.2.1",
        ] {
            assert!(has(name), "{name}");
        }
        for other in
            ["alice", "CN=api.example.test", "spiffe://example.test/", "email:a@b", "192.0.2.2"]
        {
            assert!(!has(other), "{other}");
        }
    }

    #[test]
    fn what_could_be_taken_for_another_name_or_breaks_a_line_is_none() {
        let dns = |text: &str| SanType::DnsName(text.try_into().expect("is ASCII"));
        let email = |text: &str| SanType::Rfc822Name(text.try_into().expect("is ASCII"));
        for name in [
            dns("CN=alice"),
            dns("a\nb"),
            uri("CN=alice"),
            uri("spiffe://a/\r\nb"),
            uri("spiffe://a/ b"),
            uri(&format!("spiffe://a/{}", "b".repeat(2048))),
            email("CN=alice@b"),
            email("alice"),
        ] {
            assert_eq!(of(&[], vec![name]).shown(), None);
        }
    }
}
