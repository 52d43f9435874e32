//! Which certificates of endpoints are believed: those that a CA of the service has signed for the
//! name, and those that stand in its file themselves; or all.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        VerifierBuilderError, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    config::{ConfigError, NamedFile, Position},
    tls::{
        error::{FileError, FileProblem, Part},
        files, pem, roots,
    },
};

/// The CAs of the system, read once, and only if a service needs them.
#[derive(Default)]
pub(super) struct SystemRoots {
    read: Option<Arc<RootCertStore>>,
}

impl SystemRoots {
    /// Checks by them.
    ///
    /// # Errors
    /// There are none; who needs them stands at `at`.
    pub(super) fn verifier(
        &mut self,
        provider: &Arc<CryptoProvider>,
        at: Position,
    ) -> Result<Arc<dyn ServerCertVerifier>, ConfigError> {
        let roots = self.read.get_or_insert_with(|| Arc::new(roots::of_system()));
        match signed_by(Arc::clone(roots), provider) {
            Ok(verifier) => Ok(verifier),
            Err(_) => Err(ConfigError {
                position: at,
                message: "this endpoint cannot be verified: the system has no CA certificates"
                    .to_owned(),
                hint: Some("name a file as \"ca\" of the service's tls".to_owned()),
            }),
        }
    }
}

/// Checks by the certificates in a file.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn file_verifier(
    file: &NamedFile,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, ConfigError> {
    let listed = files::read(&file.path).and_then(|pem| Listed::read(&pem, provider));
    match listed {
        Ok(listed) => Ok(Arc::new(listed)),
        Err(problem) => {
            let (part, path) = (Part::Certificate, file.path.clone());
            Err(FileError { part, path, problem }.at(file))
        }
    }
}

fn signed_by(
    roots: Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, VerifierBuilderError> {
    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build()
}

/// Beside what its CAs have signed, a certificate that stands in the file is believed as it is:
/// `openssl req -x509` makes one that calls itself a CA, and webpki takes no CA's certificate for
/// that of a server.
#[derive(Debug)]
struct Listed {
    listed: Vec<CertificateDer<'static>>,
    signed: Arc<WebPkiServerVerifier>,
}

/// Whoever answers is believed.
#[derive(Debug)]
pub(in crate::tls) struct Unchecked {
    pub(in crate::tls) schemes: Vec<SignatureScheme>,
}

impl Listed {
    fn read(pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Self, FileProblem> {
        let roots = Arc::new(roots::in_pem(pem)?);
        let signed = signed_by(roots, provider).expect("there is a root and no revocation list");
        let listed = pem::certificates(pem)?;
        Ok(Self { listed, signed })
    }
}

impl Unchecked {
    pub(super) fn new(provider: &CryptoProvider) -> Self {
        Self { schemes: provider.signature_verification_algorithms.supported_schemes() }
    }
}

impl ServerCertVerifier for Listed {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.signed.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(_) if self.listed.contains(certificate) => check_listed(certificate, name, now),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

/// Nobody needs to have signed it, but it must be for the name and of today.
fn check_listed(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let (validity, now) = (parsed.validity(), i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    Ok(ServerCertVerified::assertion())
}

/// Without a certificate that is believed for a reason, its signatures say nothing either.
impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
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
        self.schemes.clone()
    }
}
