//! How handshakes are made: versions, protocols above TLS, and resumption.
//!
//! The provider is aws-lc-rs with its own order of key exchanges, X25519MLKEM768 first, and its own
//! suites, all of them with forward secrecy, in our order. No early data: a request in it could be replayed.

use std::sync::Arc;

use rustls::{
    CipherSuite, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, ResolvesServerCert, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use super::{certificates::Certificates, clients::Sessions, invalid_names, ordered::Challenges};
use crate::config::TlsVersion;

static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static TLS13_ALONE: &[&SupportedProtocolVersion] = &[&TLS13];
/// The protocol by which a CA asks who answers for a name (RFC 8737).
pub const ACME_TLS: &[u8] = b"acme-tls/1";
/// For each full handshake: a client that comes back has one, and is given the next.
const TICKETS: usize = 1;

/// AES-128 before AES-256 before ChaCha20, and the first that the client has is taken: the
/// proxy's processor has AES in hardware, and 128 bits are as good as any (RFC 8446 section 9.1).
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 0,
        CipherSuite::TLS13_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => 1,
        _ => 2,
    });
    provider
}

/// What the configuration says of the handshakes of a listener.
pub(super) struct Handshakes {
    pub(super) provider: Arc<CryptoProvider>,
    /// For hellos whose name is hidden.
    hidden_names: Arc<CryptoProvider>,
    versions: &'static [&'static SupportedProtocolVersion],
    protocols: Vec<Vec<u8>>,
}

impl Handshakes {
    pub(super) fn new(min_version: TlsVersion, http2: bool) -> Self {
        // A client that speaks HTTP/1.0 alone may say so.
        let all: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];
        let protocols = &all[usize::from(!http2)..];
        let provider = provider();
        Self {
            hidden_names: Arc::new(invalid_names::with_names(&provider)),
            provider: Arc::new(provider),
            versions: match min_version {
                TlsVersion::V1_2 => BOTH,
                TlsVersion::V1_3 => TLS13_ALONE,
            },
            protocols: protocols.iter().map(|protocol| protocol.to_vec()).collect(),
        }
    }

    /// For clients.
    pub(super) fn server(
        &self,
        certificates: Arc<Certificates>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
        sessions: &Sessions,
    ) -> ServerConfig {
        self.for_clients(&self.provider, certificates, clients, sessions)
    }

    /// For clients whose invalid server name is hidden; the same in all else.
    pub(super) fn hiding_name(
        &self,
        certificates: Arc<Certificates>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
        sessions: &Sessions,
    ) -> ServerConfig {
        let clients = clients.map(invalid_names::verifying);
        self.for_clients(&self.hidden_names, certificates, clients, sessions)
    }

    fn for_clients(
        &self,
        provider: &Arc<CryptoProvider>,
        certificates: Arc<Certificates>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
        sessions: &Sessions,
    ) -> ServerConfig {
        let mut config = config(provider, self.versions, clients, certificates);
        config.alpn_protocols.clone_from(&self.protocols);
        config.ticketer = Arc::clone(&sessions.tickets);
        config.session_storage = Arc::clone(&sessions.storage);
        config.send_tls13_tickets = TICKETS;
        config
    }

    /// For a CA that asks who answers for a name: it shows no certificate and resumes nothing.
    pub(super) fn challenge(&self, challenges: Challenges) -> ServerConfig {
        let mut config = config(&self.provider, BOTH, None, Arc::new(challenges));
        config.alpn_protocols = vec![ACME_TLS.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<Arc<dyn ClientCertVerifier>>,
    certificates: Arc<dyn ResolvesServerCert>,
) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)
        .expect("the provider has suites and key exchanges for both");
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(certificates);
    config.ignore_client_order = true;
    config
}
