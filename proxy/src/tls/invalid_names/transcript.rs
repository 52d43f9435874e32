//! The hello as its client has sent it, wherever rustls hashes or verifies one whose name is hidden: the
//! client has sent the type of `server_name`, so it stands in the client's transcript (RFC 8446 section 4.4.1), in
//! that which the binder of a session covers, without the binders (section 4.2.11.2), and in that of TLS 1.2 which
//! a client with a certificate signs (RFC 5246 section 7.4.8).
//!
//! Handshakes with such a name alone use this provider, and one that hides a name had no extension of
//! that type before: what is found here was hidden.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use rustls::{
    CipherSuite, CipherSuiteCommon, DigitallySignedStruct, DistinguishedName, Error,
    SignatureScheme, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite,
    client::danger::HandshakeSignatureValid,
    crypto::{
        CryptoProvider, aws_lc_rs,
        hash::{Context, Hash, HashAlgorithm, Output},
    },
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::hello;

/// As clients that name a server send it.
const SERVER_NAME: [u8; 2] = [0, 0];

/// Made once: rustls keeps suites for good.
static SUITES: LazyLock<Vec<SupportedCipherSuite>> = LazyLock::new(|| {
    aws_lc_rs::ALL_CIPHER_SUITES.iter().map(|suite| with_name_in_hash(*suite)).collect()
});

/// `provider` for handshakes whose name is hidden.
pub(in crate::tls) fn with_names(provider: &CryptoProvider) -> CryptoProvider {
    let of = |suite: CipherSuite| SUITES.iter().find(|one| one.suite() == suite).copied();
    let suites = provider.cipher_suites.iter().filter_map(|suite| of(suite.suite()));
    CryptoProvider { cipher_suites: suites.collect(), ..provider.clone() }
}

/// `verifier` for handshakes whose name is hidden.
pub(in crate::tls) fn verifying(
    verifier: Arc<dyn ClientCertVerifier>,
) -> Arc<dyn ClientCertVerifier> {
    Arc::new(WithName(verifier))
}

/// Leaks what it makes.
fn with_name_in_hash(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    match suite {
        SupportedCipherSuite::Tls13(suite) => {
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: common(&suite.common),
                hkdf_provider: suite.hkdf_provider,
                aead_alg: suite.aead_alg,
                quic: suite.quic,
            })))
        }
        SupportedCipherSuite::Tls12(suite) => {
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                common: common(&suite.common),
                prf_provider: suite.prf_provider,
                kx: suite.kx,
                sign: suite.sign,
                aead_alg: suite.aead_alg,
            })))
        }
    }
}

fn common(of: &CipherSuiteCommon) -> CipherSuiteCommon {
    CipherSuiteCommon {
        suite: of.suite,
        hash_provider: Box::leak(Box::new(WithName(of.hash_provider))),
        confidentiality_limit: of.confidentiality_limit,
    }
}

/// Has what it is given with the name.
#[derive(Debug)]
struct WithName<T>(T);

impl Hash for WithName<&'static dyn Hash> {
    fn start(&self) -> Box<dyn Context> {
        Box::new(WithName(self.0.start()))
    }

    /// Of no transcript: those are hashed as they grow.
    fn hash(&self, data: &[u8]) -> Output {
        self.0.hash(data)
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

impl Context for WithName<Box<dyn Context>> {
    fn fork_finish(&self) -> Output {
        self.0.fork_finish()
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.fork()))
    }

    fn finish(self: Box<Self>) -> Output {
        self.0.finish()
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(&named(data));
    }
}

/// `data`, a message or several, with the name that is hidden in its first.
fn named(data: &[u8]) -> Cow<'_, [u8]> {
    let Some(at) = hello::hidden(data) else { return Cow::Borrowed(data) };
    let mut named = data.to_vec();
    if let Some(kind) = named.get_mut(at..at + SERVER_NAME.len()) {
        kind.copy_from_slice(&SERVER_NAME);
    }
    Cow::Owned(named)
}

impl ClientCertVerifier for WithName<Arc<dyn ClientCertVerifier>> {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.verify_client_cert(end_entity, intermediates, now)
    }

    /// Of all messages so far.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(&named(message), cert, dss)
    }

    /// Of their hash.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.0.requires_raw_public_keys()
    }
}
