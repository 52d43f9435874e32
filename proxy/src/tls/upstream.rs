//! TLS to endpoints, and to those whom auth schemes ask: one client configuration a service or
//! scheme, made at the start from the files that the configuration names, and shared by all workers,
//! so that any of them can resume the sessions of the others.
//!
//! TLS 1.2 and 1.3; the key exchange that comes first is hybrid, X25519MLKEM768. Only `http/1.1` is
//! offered by ALPN: the exchange speaks nothing else. Who is believed is said in `trust.rs`; how a
//! connection is opened is not known here.

mod trust;

use std::{io, sync::Arc};

use rustls::{
    ClientConfig,
    client::{Resumption, danger::ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::ServerName,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(in crate::tls) use self::trust::Unchecked;
use self::trust::{SystemRoots, file_verifier};
use super::{files::read_all, pair::Pair, watched::Material};
use crate::{
    config::{
        ConfigError, KeyPairFiles, Position, SchemeConfig, ServiceConfig, TlsName, UpstreamTls,
        Verify,
    },
    upstream::MOST_NAMES,
};

/// Sessions that are kept for each name, so that connections opened at once can all resume.
const SESSIONS_PER_NAME: usize = 8;

/// TLS to all that is asked, in the order of the configuration; `None` where there is no `https`.
#[derive(Default)]
pub struct UpstreamConnectors {
    services: Vec<Option<UpstreamConnector>>,
    schemes: Vec<Option<UpstreamConnector>>,
}

/// TLS to the endpoints of one service, or to whom one scheme asks.
struct UpstreamConnector {
    connector: TlsConnector,
    server_name: TlsName,
}

/// How TLS begins with one endpoint.
#[derive(Clone)]
pub struct Handshake {
    connector: TlsConnector,
    /// What the certificate must be for; goes out as SNI unless it is an address.
    pub name: ServerName<'static>,
    /// Whether requests say the name, and `name` is that of what is asked without one.
    pub is_of_request: bool,
}

impl UpstreamConnectors {
    /// Reads the files that services and schemes name, and warns of those that believe whoever
    /// answers.
    ///
    /// # Errors
    /// Every file that cannot be used, at its place in the configuration.
    pub fn build(
        services: &[ServiceConfig],
        schemes: &[SchemeConfig],
    ) -> Result<Self, Vec<ConfigError>> {
        let (mut roots, mut errors) = (SystemRoots::default(), Vec::new());
        let mut build = |tls: &UpstreamTls, at, sessions| {
            let built = UpstreamConnector::build(tls, at, sessions, &mut roots);
            built.map_err(|found| errors.extend(found)).ok()
        };
        let services = services.iter().map(|service| {
            let https = service.endpoints.iter().find(|endpoint| endpoint.url.tls.is_some())?;
            let names = match service.tls.server_name {
                TlsName::OfRequest => MOST_NAMES,
                TlsName::OfEndpoint | TlsName::Fixed(_) => service.endpoints.len(),
            };
            let sessions = SESSIONS_PER_NAME * names;
            let built = build(&service.tls, https.at, sessions)?;
            if service.tls.verify == Verify::No {
                let service = &service.name;
                tracing::warn!(service, "the certificates of its endpoints are not verified");
            }
            Some(built)
        });
        let services = services.collect();
        let schemes = schemes.iter().map(|scheme| {
            let call = scheme.call().filter(|call| call.url.endpoint.tls.is_some())?;
            let built = build(&call.tls, call.at, SESSIONS_PER_NAME)?;
            if call.tls.verify == Verify::No {
                let auth_scheme = &scheme.name;
                tracing::warn!(auth_scheme, "the certificate of whom it asks is not verified");
            }
            Some(built)
        });
        let schemes = schemes.collect();
        if errors.is_empty() { Ok(Self { services, schemes }) } else { Err(errors) }
    }

    /// With an endpoint of the service at this index whose host is `host`.
    pub fn handshake(&self, service: usize, host: &ServerName<'static>) -> Handshake {
        let service = self.services[service].as_ref();
        service.expect("a service with https endpoints has one").handshake(host)
    }

    /// With whom the scheme at this index asks, which is `host`.
    pub fn handshake_of_scheme(&self, scheme: usize, host: &ServerName<'static>) -> Handshake {
        let scheme = self.schemes[scheme].as_ref();
        scheme.expect("a scheme that asks by https has one").handshake(host)
    }
}

impl UpstreamConnector {
    /// `at` is the first URL that needs it.
    fn build(
        tls: &UpstreamTls,
        at: Position,
        sessions: usize,
        roots: &mut SystemRoots,
    ) -> Result<Self, Vec<ConfigError>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = verifier(tls, at, &provider, roots);
        let client = tls.client.as_ref().map(|files| key_pair(files, &provider)).transpose();
        let (verifier, client) = match (verifier, client) {
            (Ok(verifier), Ok(client)) => (verifier, client),
            (verifier, client) => {
                let errors = verifier.err().into_iter().chain(client.err().into_iter().flatten());
                return Err(errors.collect());
            }
        };
        let config = client_config(provider, verifier, client, sessions);
        Ok(Self { connector: Arc::new(config).into(), server_name: tls.server_name.clone() })
    }

    fn handshake(&self, host: &ServerName<'static>) -> Handshake {
        let name = match &self.server_name {
            TlsName::Fixed(name) => name,
            TlsName::OfEndpoint | TlsName::OfRequest => host,
        };
        let is_of_request = self.server_name == TlsName::OfRequest;
        Handshake { connector: self.connector.clone(), name: name.clone(), is_of_request }
    }
}

fn client_config(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
    client: Option<Arc<CertifiedKey>>,
    sessions: usize,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("the provider has suites for both")
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match client {
        Some(pair) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(sessions);
    config
}

fn verifier(
    tls: &UpstreamTls,
    at: Position,
    provider: &Arc<CryptoProvider>,
    roots: &mut SystemRoots,
) -> Result<Arc<dyn ServerCertVerifier>, ConfigError> {
    let file = tls.ca.as_ref().map(|file| file_verifier(file, provider)).transpose()?;
    Ok(match (tls.verify, file) {
        (Verify::No, _) => Arc::new(Unchecked::new(provider)),
        (Verify::Yes, Some(file)) => file,
        (Verify::Yes, None) => roots.verifier(provider, at)?,
    })
}

fn key_pair(
    files: &KeyPairFiles,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<CertifiedKey>, Vec<ConfigError>> {
    let pair = Pair::named(files, provider);
    let loaded = pair.load(read_all(pair.paths()));
    loaded
        .map(|loaded| Arc::clone(&loaded.key))
        .map_err(|errors| errors.into_iter().map(|error| error.in_pair(files)).collect())
}

impl Handshake {
    /// The same with another name.
    #[must_use]
    pub fn with(&self, name: ServerName<'static>) -> Self {
        Self { connector: self.connector.clone(), name, is_of_request: self.is_of_request }
    }

    /// Speaks TLS over `stream`.
    ///
    /// # Errors
    /// Of the stream; of TLS, with a `rustls::Error` inside.
    pub async fn run<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connector.connect(self.name.clone(), stream).await
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::NamedGroup;

    use super::*;
    use crate::config::{Config, NamedFile};

    /// A folder with a certificate, its key and that of another.
    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder can be made");
            let key = KeyPair::generate().expect("a key can be made");
            let other = KeyPair::generate().expect("a key can be made");
            let params = CertificateParams::new(["a.test".to_owned()]).expect("is a name");
            let certificate = params.self_signed(&key).expect("can be signed");
            let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
            for (name, text) in [
                ("cert.pem", certificate.pem()),
                ("cert.key", key.serialize_pem()),
                ("other.key", other.serialize_pem()),
                ("empty.pem", "nothing here\n".to_owned()),
                ("wrong.pem", certificate.pem() + wrong),
            ] {
                std::fs::write(folder.path().join(name), text).expect("can be written");
            }
            Self(folder)
        }

        /// The file of this name, as if named in this line.
        fn at(&self, line: usize, name: &str) -> NamedFile {
            NamedFile { path: self.0.path().join(name), at: Position { line, column: 1 } }
        }
    }

    fn services(endpoint: &str, tls: UpstreamTls) -> Vec<ServiceConfig> {
        let text = format!("[services.a]\nendpoints = [\"{endpoint}\"]\n");
        let mut services = Config::load(&text, "test", &|_| None).expect("is valid").services;
        services[0].tls = tls;
        services
    }

    /// Lines and messages without the folder of a service with these files.
    fn mistakes(ca: &str, cert: &str, key: &str) -> Vec<(usize, String)> {
        let files = Files::new();
        let client = KeyPairFiles { cert: files.at(3, cert), key: files.at(4, key) };
        let tls = UpstreamTls {
            ca: Some(files.at(2, ca)),
            client: Some(client),
            ..UpstreamTls::default()
        };
        let built = UpstreamConnectors::build(&services("https://a.test", tls), &[]);
        let folder = format!("{}/", files.0.path().display());
        let said = |error: ConfigError| (error.position.line, error.message.replace(&folder, ""));
        built.err().unwrap_or_default().into_iter().map(said).collect()
    }

    #[test]
    fn each_file_that_cannot_be_used_is_named_at_its_place() {
        let at = |line: usize, message: &str| (line, message.to_owned());
        assert_eq!(mistakes("cert.pem", "cert.pem", "cert.key"), []);
        let missing = "cannot be read: No such file or directory (os error 2)";
        let all_three = [
            (2, format!("\"none.ca\" {missing}")),
            (3, format!("\"none.pem\" {missing}")),
            (4, format!("\"none.key\" {missing}")),
        ];
        assert_eq!(mistakes("none.ca", "none.pem", "none.key"), all_three);
        assert_eq!(
            mistakes("empty.pem", "cert.pem", "other.key"),
            [
                at(2, "\"empty.pem\" has no certificate in PEM"),
                at(
                    4,
                    "\"other.key\" has a private key that does not belong to the first certificate of \"cert.pem\""
                ),
            ]
        );
        let wrong = "\"wrong.pem\" has a certificate that cannot be a CA: number 2";
        assert_eq!(mistakes("wrong.pem", "cert.pem", "cert.key"), [at(2, wrong)]);
    }

    #[test]
    fn only_https_needs_anything() {
        let services = services("http://a.test", UpstreamTls::default());
        let built = UpstreamConnectors::build(&services, &[]);
        assert!(built.is_ok_and(|built| built.services.iter().all(Option::is_none)));
    }

    #[test]
    fn the_name_is_that_of_the_service_or_of_the_endpoint() {
        let files = Files::new();
        let host = ServerName::try_from("a.test").expect("is a name");
        let named = |server_name: Option<&'static str>| {
            let server_name = server_name.map_or_else(TlsName::default, |name| {
                TlsName::Fixed(ServerName::try_from(name).expect("is one"))
            });
            let ca = Some(files.at(2, "cert.pem"));
            let tls = UpstreamTls { ca, server_name, ..UpstreamTls::default() };
            let built = UpstreamConnectors::build(&services("https://a.test", tls), &[]);
            built.expect("is valid").handshake(0, &host).name.to_str().into_owned()
        };
        assert_eq!(named(None), "a.test");
        assert_eq!(named(Some("10.0.0.1")), "10.0.0.1");
    }

    #[test]
    fn a_hybrid_key_exchange_comes_first() {
        let first = aws_lc_rs::default_provider().kx_groups[0].name();
        assert_eq!(first, NamedGroup::X25519MLKEM768);
    }
}
