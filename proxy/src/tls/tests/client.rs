//! A client that believes every server, and handshakes in memory.

use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, Error, HandshakeKind, NamedGroup, ProtocolVersion,
    ServerConfig, ServerConnection, SignatureScheme, SupportedProtocolVersion,
    crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs},
    pki_types::{CertificateDer, ServerName},
    version::{TLS12, TLS13},
};

use super::pki::Made;
use crate::tls::upstream::Unchecked;

pub(super) static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Keeps its sessions: the next handshake of the same client may resume.
pub(super) struct Client(pub(super) ClientConfig);

/// What both sides say of a handshake.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) server: CertificateDer<'static>,
    pub(super) client: Option<CertificateDer<'static>>,
    pub(super) protocol: Option<Vec<u8>>,
    pub(super) version: Option<ProtocolVersion>,
    pub(super) group: Option<NamedGroup>,
    pub(super) is_resumed: bool,
    pub(super) tickets: u32,
}

impl Client {
    pub(super) fn new() -> Self {
        Self::with(BOTH, &every_scheme(), None)
    }

    pub(super) fn showing(made: &Made) -> Self {
        Self::with(BOTH, &every_scheme(), Some(made))
    }

    pub(super) fn with(
        versions: &[&'static SupportedProtocolVersion],
        schemes: &[SignatureScheme],
        shows: Option<&Made>,
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("are known")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked { schemes: schemes.to_vec() }));
        Self(match shows {
            Some(made) => builder
                .with_client_auth_cert(vec![made.der()], made.key_der())
                .expect("belong together"),
            None => builder.with_no_client_auth(),
        })
    }

    /// With these key exchanges; a share of the first alone is sent.
    pub(super) fn agreeing_on(groups: Vec<&'static dyn SupportedKxGroup>) -> Self {
        let mut client = Self::new();
        let provider = CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() };
        client.0 = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(BOTH)
            .expect("are known")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked { schemes: every_scheme() }))
            .with_no_client_auth();
        client
    }

    pub(super) fn asking_for(mut self, protocols: &[&str]) -> Self {
        self.0.alpn_protocols = protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
        self
    }

    /// `name` may be an address: then no SNI is sent.
    pub(super) fn shake(&self, server: &Arc<ServerConfig>, name: &str) -> Result<Seen, Error> {
        self.shake_by_way_of(|_, _| {}, server, name)
    }

    /// `alter` is given what the client sends, one flight after the other with its number.
    pub(super) fn shake_by_way_of(
        &self,
        alter: impl Fn(usize, &mut [u8]),
        server: &Arc<ServerConfig>,
        name: &str,
    ) -> Result<Seen, Error> {
        let name = ServerName::try_from(name.to_owned()).expect("is a name");
        let mut client = ClientConnection::new(Arc::new(self.0.clone()), name)?;
        let mut server = ServerConnection::new(Arc::clone(server))?;
        for flight in 0.. {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            while client.wants_write() {
                client.write_tls(&mut up).expect("a Vec grows");
            }
            alter(flight, &mut up);
            feed(&up, |bytes| server.read_tls(bytes));
            let of_server = server.process_new_packets();
            while server.wants_write() {
                server.write_tls(&mut down).expect("a Vec grows");
            }
            of_server?;
            feed(&down, |bytes| client.read_tls(bytes));
            client.process_new_packets()?;
            if up.is_empty() && down.is_empty() {
                break;
            }
        }
        Ok(seen(&client, &server))
    }
}

fn feed(mut bytes: &[u8], mut read: impl FnMut(&mut &[u8]) -> std::io::Result<usize>) {
    while !bytes.is_empty() {
        assert!(read(&mut bytes).expect("there is room") > 0);
    }
}

fn seen(client: &ClientConnection, server: &ServerConnection) -> Seen {
    let first = |chain: Option<&[CertificateDer<'static>]>| Some(chain?.first()?.clone());
    Seen {
        server: first(client.peer_certificates()).expect("a server shows one"),
        client: first(server.peer_certificates()),
        protocol: server.alpn_protocol().map(<[u8]>::to_vec),
        version: server.protocol_version(),
        group: server.negotiated_key_exchange_group().map(|group| group.name()),
        is_resumed: server.handshake_kind() == Some(HandshakeKind::Resumed),
        tickets: client.tls13_tickets_received(),
    }
}

fn every_scheme() -> Vec<SignatureScheme> {
    aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
}
