//! `[services.X.tls]`: what endpoints with `https` must show, and what they are shown.

use rustls::pki_types::ServerName;

use super::files::{KeyPairFiles, NamedFile};
use crate::config::{endpoints::EndpointConfig, error::Problem, section::Section};

/// The default for `https` endpoints of a service without `[services.X.tls]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// CAs in PEM; `None`: those of the system.
    pub ca: Option<NamedFile>,
    /// Shown to endpoints that ask for one.
    pub client: Option<KeyPairFiles>,
    pub server_name: TlsName,
    /// Whether certificates are checked at all.
    pub verify: Verify,
}

/// The name that the certificate must have, and that goes out as SNI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsName {
    /// The endpoint's host.
    #[default]
    OfEndpoint,
    Fixed(ServerName<'static>),
    /// What `Host` says to the endpoint: `"{host}"`.
    OfRequest,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    #[default]
    Yes,
    /// Whoever answers is believed.
    No,
}

impl UpstreamTls {
    /// That of the service in `service`, which has these endpoints.
    pub(in crate::config) fn read(service: &mut Section<'_>, endpoints: &[EndpointConfig]) -> Self {
        let Some(section) = service.section("tls") else {
            return Self::default();
        };
        // An endpoint that is wrong, and reported, may have been meant.
        let all_are_right = service.array_length("endpoints") == Some(endpoints.len());
        let is_used = endpoints.iter().any(|endpoint| endpoint.url.tls.is_some());
        if all_are_right && !endpoints.is_empty() && !is_used {
            let message = format!("{} is for https, and no endpoint has it", section.title());
            let problem = Problem::new(message).hint("write \"https://…\" in \"endpoints\"");
            section.report(&section.span, problem);
        }
        Self::read_table(section)
    }

    pub(in crate::config) fn read_table(mut section: Section<'_>) -> Self {
        let ca = NamedFile::read(&mut section, "ca");
        let client = client(&mut section);
        let server_name = section.or("server_name", TlsName::default());
        let verify = if section.or("verify", true) { Verify::Yes } else { Verify::No };
        section.finish();
        Self { ca, client, server_name, verify }
    }
}

/// Both files or none.
fn client(section: &mut Section<'_>) -> Option<KeyPairFiles> {
    let cert = NamedFile::read(section, "client_cert");
    let key = NamedFile::read(section, "client_key");
    for (one, other) in [("client_cert", "client_key"), ("client_key", "client_cert")] {
        if section.has(one) && !section.has(other) {
            let problem = Problem::new(format!("\"{one}\" needs \"{other}\""));
            section.report(&section.key_span(one), problem);
        }
    }
    Some(KeyPairFiles { cert: cert?, key: key? })
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;
    use crate::config::{Position, section::Reader};

    /// What a file of `[services.X.tls]` alone says.
    fn tls(text: &str) -> UpstreamTls {
        let reader = Reader::new(text, &|_| None);
        let (table, _) = DeTable::parse_recoverable(text);
        let section = Section::new(&reader, "tls".to_owned(), table.get_ref(), 0..0);
        let tls = UpstreamTls::read_table(section);
        assert_eq!(reader.into_errors(), []);
        tls
    }

    #[test]
    fn an_empty_table_is_the_default() {
        assert_eq!(tls(""), UpstreamTls::default());
        assert_eq!(tls("verify = true").verify, Verify::Yes);
    }

    #[test]
    fn each_key_sets_its_own_field() {
        let tls = tls("ca = \"ca.pem\"\nclient_cert = \"c.pem\"\nclient_key = \"k.pem\"\n\
                       server_name = \"API.test\"\nverify = false\n");
        let file = |path: &str, line, column| NamedFile {
            path: path.into(),
            at: Position { line, column },
        };
        let expected = UpstreamTls {
            ca: Some(file("ca.pem", 1, 6)),
            client: Some(KeyPairFiles { cert: file("c.pem", 2, 15), key: file("k.pem", 3, 14) }),
            server_name: TlsName::Fixed(ServerName::try_from("api.test").expect("is one")),
            verify: Verify::No,
        };
        assert_eq!(tls, expected);
    }
}
