//! What this client offers and what it takes for an answer: TLS 1.3, one suite, one group, one
//! signature scheme and one certificate, so that every proxy computes the same; no resumption.

use std::{io, sync::Arc};

use rustls::{
    CertificateError, CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct, Error,
    HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime, pem, pem::PemObject},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The name in the certificate.
pub fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a valid name")
}

/// Verifies as any client does.
pub fn verifying(ca: &str) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(read(ca)?)?;
    let builder = WebPkiServerVerifier::builder_with_provider(roots.into(), provider());
    config(builder.build()?)
}

/// Compares the certificate and believes the rest.
pub fn comparing(certificate: &str) -> Result<Arc<ClientConfig>, Failure> {
    config(Arc::new(Comparing(read(certificate)?)))
}

/// Whether the handshake was the one that is measured.
pub fn check(connection: &ClientConnection) -> io::Result<()> {
    let seen = (
        connection.handshake_kind(),
        connection.protocol_version(),
        connection.negotiated_cipher_suite().map(|suite| suite.suite()),
        connection.negotiated_key_exchange_group().map(|group| group.name()),
        connection.alpn_protocol(),
    );
    let expected = (
        Some(HandshakeKind::Full),
        Some(ProtocolVersion::TLSv1_3),
        Some(CipherSuite::TLS13_AES_128_GCM_SHA256),
        Some(NamedGroup::X25519),
        Some(b"http/1.1".as_slice()),
    );
    if seen == expected { Ok(()) } else { Err(io::Error::other(format!("negotiated {seen:?}"))) }
}

fn read(path: &str) -> Result<CertificateDer<'static>, pem::Error> {
    CertificateDer::from_pem_file(path)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    })
}

fn config(verifier: Arc<dyn ServerCertVerifier>) -> Result<Arc<ClientConfig>, Failure> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config.into())
}

#[derive(Debug)]
struct Comparing(CertificateDer<'static>);

impl ServerCertVerifier for Comparing {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *certificate == self.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
