//! `[listeners.tls]`: what clients of a listener are shown and asked for.

use std::{collections::HashSet, time::Duration};

use actix_http::header::HeaderValue;

use super::{
    files::{KeyPairFiles, NamedFile},
    hsts,
    names::AcmeHost,
};
use crate::config::{
    duration::Timeout,
    error::{Located, Problem},
    section::Section,
    value::{FromText, unknown_word},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// Chosen by SNI; the first is the default. Empty only if `acme` is not.
    pub certificates: Vec<KeyPairFiles>,
    /// Host names, in lower case, that a certificate each is ordered for; empty without `[acme]`.
    pub acme: Vec<String>,
    pub clients: ClientCertificates,
    pub min_version: TlsVersion,
    /// What a client has for its handshake.
    pub handshake_timeout: Duration,
    /// `Strict-Transport-Security` for each response, if any.
    pub hsts: Option<HeaderValue>,
}

/// Whether clients show certificates, and the CAs in PEM that must have signed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    None,
    /// A client without one is served; one with a wrong one is not.
    Optional(NamedFile),
    Required(NamedFile),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

const DEFAULT_HANDSHAKE: Timeout = Timeout(Duration::from_secs(10));

impl ListenerTls {
    /// `has_acme`: whether the file has `[acme]`.
    pub(in crate::config) fn read(mut section: Section<'_>, has_acme: bool) -> Self {
        let tls = Self {
            certificates: KeyPairFiles::read_all(&mut section, "certificates"),
            acme: acme_hosts(&mut section, has_acme),
            clients: ClientCertificates::read(&mut section),
            min_version: section.or("min_version", TlsVersion::V1_2),
            handshake_timeout: section.or("handshake_timeout", DEFAULT_HANDSHAKE).0,
            hsts: hsts::read(&mut section),
        };
        if !has_items(&section, "certificates") && !has_items(&section, "acme") {
            let message = format!("{} needs \"certificates\" or \"acme\"", section.title());
            let hint = "write certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }], or acme = \
                        [\"example.com\"] with an [acme] table";
            section.report(&section.span, Problem::new(message).hint(hint));
        }
        section.finish();
        tls
    }
}

/// Whether something stands there, right or wrong.
fn has_items(section: &Section<'_>, key: &str) -> bool {
    section.has(key) && !section.is_empty_array(key)
}

fn acme_hosts(section: &mut Section<'_>, has_acme: bool) -> Vec<String> {
    const KEY: &str = "acme";
    let hosts = section.get::<Vec<Located<AcmeHost>>>(KEY);
    if has_items(section, KEY) && !has_acme {
        let problem = Problem::new("\"acme\" needs an [acme] table");
        section
            .report(&section.key_span(KEY), problem.hint("with state = \"/var/lib/proxy/acme\""));
    }
    let hosts = hosts.map(|hosts| hosts.value).unwrap_or_default();
    let mut seen = HashSet::new();
    for host in &hosts {
        if !seen.insert(&host.value.0) {
            let message = format!("\"{}\" is listed twice", host.value.0);
            section.report(&host.span, Problem::new(message));
        }
    }
    hosts.into_iter().map(|host| host.value.0).collect()
}

impl ClientCertificates {
    fn read(section: &mut Section<'_>) -> Self {
        let ca = NamedFile::read(section, "client_ca");
        let auth = section.get::<ClientAuth>("client_auth");
        if section.has("client_auth") && !section.has("client_ca") {
            let problem = Problem::new("\"client_auth\" needs \"client_ca\"");
            let hint = "a file with the CAs that sign the certificates of clients";
            section.report(&section.key_span("client_auth"), problem.hint(hint));
        }
        match (ca, auth.map(|auth| auth.value)) {
            (None, _) => Self::None,
            (Some(ca), Some(ClientAuth::Optional)) => Self::Optional(ca),
            (Some(ca), Some(ClientAuth::Require) | None) => Self::Required(ca),
        }
    }
}

enum ClientAuth {
    Require,
    Optional,
}

impl FromText for ClientAuth {
    const EXPECTED: &'static str = "\"require\" or \"optional\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "require" => Ok(Self::Require),
            "optional" => Ok(Self::Optional),
            other => Err(unknown_word(other, &["require", "optional"])),
        }
    }
}

impl FromText for TlsVersion {
    const EXPECTED: &'static str = "\"1.2\" or \"1.3\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "1.2" => Ok(Self::V1_2),
            "1.3" => Ok(Self::V1_3),
            other => Err(Problem::new(format!("expected {}, found \"{other}\"", Self::EXPECTED))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Position};

    /// The third line of a file, and what it says.
    fn tls(table: &str) -> ListenerTls {
        let text = format!(
            "acme = {{ state = \"/acme\", challenge = \"tls-alpn-01\" }}\nlisteners = [\n\
             {{ bind = \"127.0.0.1:0\", tls = {{ {table} }} }},\n\
             {{ bind = \"127.0.0.1:0\", tls = {{ acme = [\"other.test\"] }} }}]\n"
        );
        let mut config = Config::load(&text, "test", &|_| None).expect("is valid");
        config.listeners.remove(0).tls.expect("has a table")
    }

    fn file(path: &str, column: usize) -> NamedFile {
        NamedFile { path: path.into(), at: Position { line: 3, column } }
    }

    #[test]
    fn certificates_are_enough_and_the_rest_has_defaults() {
        let tls = tls("certificates = [{ cert = \"c.pem\", key = \"/k.pem\" }]");
        let pair = KeyPairFiles { cert: file("c.pem", 58), key: file("/k.pem", 73) };
        assert_eq!(tls.certificates, [pair]);
        assert_eq!((tls.acme.len(), tls.hsts), (0, None));
        assert_eq!(tls.clients, ClientCertificates::None);
        assert_eq!(tls.min_version, TlsVersion::V1_2);
        assert_eq!(tls.handshake_timeout, Duration::from_secs(10));
    }

    #[test]
    fn each_key_sets_its_own_field() {
        let tls = tls("acme = [\"A.test\", \"b.test\"], min_version = \"1.3\", \
                       handshake_timeout = \"3s\", hsts = \"1h\"");
        assert_eq!((tls.certificates.len(), tls.acme), (0, vec!["a.test".into(), "b.test".into()]));
        assert_eq!(tls.min_version, TlsVersion::V1_3);
        assert_eq!(tls.handshake_timeout, Duration::from_secs(3));
        assert_eq!(tls.hsts, Some(HeaderValue::from_static("max-age=3600")));
    }

    #[test]
    fn hsts_is_off_or_as_its_table_says() {
        let hsts = |value: &str| tls(&format!("acme = [\"a.test\"], hsts = {value}")).hsts;
        assert_eq!(hsts("\"off\""), None);
        for (table, field) in [
            ("{ max_age = \"1d\" }", "max-age=86400"),
            (
                "{ max_age = \"1d\", include_subdomains = true, preload = false }",
                "max-age=86400; includeSubDomains",
            ),
            (
                "{ max_age = \"365d\", include_subdomains = true, preload = true }",
                "max-age=31536000; includeSubDomains; preload",
            ),
        ] {
            assert_eq!(hsts(table), Some(HeaderValue::from_static(field)));
        }
    }

    #[test]
    fn a_ca_for_clients_requires_certificates_unless_they_are_optional() {
        let clients =
            |keys: &str| tls(&format!("client_ca = \"ca\"{keys}, acme = [\"a\"]")).clients;
        let ca = file("ca", 45);
        assert_eq!(clients(""), ClientCertificates::Required(ca.clone()));
        let required = clients(", client_auth = \"require\"");
        assert_eq!(required, ClientCertificates::Required(ca.clone()));
        let optional = clients(", client_auth = \"optional\"");
        assert_eq!(optional, ClientCertificates::Optional(ca));
    }
}
