//! `type = "mtls"`: the certificate that the listener has verified says who the client is.

use std::{fmt, net::IpAddr};

use crate::config::{
    error::{Located, Problem},
    section::Section,
};

/// At the end of a subject that is longer than is kept (`tls/subject.rs`).
const CUT: char = '…';

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MtlsConfig {
    /// Empty: every certificate that the listener's CAs have signed.
    pub subjects: Vec<CertificateName>,
}

/// A name that a certificate gives to who shows it; no text is a name of two kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// As RFC 4514 writes it, just as in the access log.
    Subject(String),
    /// Of subjectAltName, as are all others.
    Uri(String),
    /// In lower case.
    Dns(String),
    Email(String),
    Address(IpAddr),
}

impl MtlsConfig {
    #[expect(clippy::unnecessary_wraps, reason = "as the other types are read")]
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let given = section.or::<Vec<Located<String>>>("subjects", Vec::new());
        let mut subjects = Vec::new();
        for subject in given {
            if subject.value.ends_with(CUT) {
                let problem = Problem::new("a subject that was cut stands for all that begin so");
                section.report(&subject.span, problem.hint("subjects have 256 bytes at most here"));
            }
            match CertificateName::parse(&subject.value) {
                Some(name) => subjects.push(name),
                None => {
                    let message = format!("\"{}\" is no name of a certificate", subject.value);
                    let hint = "\"CN=alice,O=Example\" as the access log writes it, a URI, a DNS \
                                name, an email or IP address";
                    section.report(&subject.span, Problem::new(message).hint(hint));
                }
            }
        }
        Some(Self { subjects })
    }
}

impl CertificateName {
    /// With `URI:`, `DNS:`, `email:` or `IP:` before it, or whatever it looks like.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((kind, name)) = text.split_once(':') {
            match kind.to_ascii_lowercase().as_str() {
                "uri" => return Self::uri(name),
                "dns" => return Self::dns(name),
                "email" => return Self::email(name),
                "ip" => return name.parse().ok().map(Self::Address),
                _ => {}
            }
        }
        if is_subject(text) {
            return Some(Self::Subject(text.to_owned()));
        }
        let address = text.parse().ok().map(Self::Address);
        address
            .or_else(|| Self::uri(text))
            .or_else(|| Self::email(text))
            .or_else(|| Self::dns(text))
    }

    /// RFC 3986, with a scheme.
    pub fn uri(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|one| one.is_ascii_alphanumeric() || "+-.".contains(one));
        let is_uri =
            is_scheme && !rest.is_empty() && rest.chars().all(|one| one.is_ascii_graphic());
        is_uri.then(|| Self::Uri(text.to_owned()))
    }

    pub fn dns(text: &str) -> Option<Self> {
        let is_name = |one: char| one.is_ascii_alphanumeric() || ".-_*".contains(one);
        let is_dns =
            !text.is_empty() && text.chars().all(is_name) && text.parse::<IpAddr>().is_err();
        is_dns.then(|| Self::Dns(text.to_ascii_lowercase()))
    }

    pub fn email(text: &str) -> Option<Self> {
        let (local, host) = text.rsplit_once('@')?;
        let is_local =
            |one: char| one.is_ascii_alphanumeric() || "!#$%&'*+-/?^_`{|}~.".contains(one);
        let is_email =
            !local.is_empty() && local.chars().all(is_local) && Self::dns(host).is_some();
        is_email.then(|| Self::Email(text.to_owned()))
    }
}

/// Whether it begins with the type of an attribute.
fn is_subject(text: &str) -> bool {
    let kind = text.split_once('=').map_or("", |(kind, _)| kind);
    !kind.is_empty() && kind.chars().all(|one| one.is_ascii_alphanumeric() || one == '.')
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(text) | Self::Uri(text) | Self::Dns(text) | Self::Email(text) => {
                f.write_str(text)
            }
            Self::Address(address) => address.fmt(f),
        }
    }
}
