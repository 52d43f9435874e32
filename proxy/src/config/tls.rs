//! TLS as configured: what a listener shows its clients, what a service asks of its endpoints, and
//! where certificates are ordered. Files are named here and read by `tls/`, which says what is
//! wrong with one at the place in the configuration where it is named.

use std::{path::PathBuf, time::Duration};

use actix_http::header::HeaderValue;

use super::error::Position;

/// `[listeners.tls]`.
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

/// A file that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    pub path: PathBuf,
    /// Where it is named.
    pub at: Position,
}

/// A chain of certificates in PEM, the server's or client's own first, and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPairFiles {
    pub cert: NamedFile,
    pub key: NamedFile,
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

/// `[services.X.tls]`; the default for `https` endpoints of a service without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// CAs in PEM; `None`: those of the system.
    pub ca: Option<NamedFile>,
    /// Shown to endpoints that ask for one.
    pub client: Option<KeyPairFiles>,
    /// The name that the certificate must have, and that goes out as SNI; `None`: the endpoint's
    /// host.
    pub server_name: Option<String>,
    /// Whether certificates are checked at all.
    pub verify: Verify,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    #[default]
    Yes,
    /// Whoever answers is believed.
    No,
}

/// `[acme]`: RFC 8555.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeConfig {
    /// The directory's URL, with `https`.
    pub directory: String,
    /// Told to the CA as `mailto:`.
    pub email: Option<String>,
    /// Where account, keys and certificates are kept; other processes may use it at the same time.
    pub state: PathBuf,
    pub challenge: AcmeChallenge,
    /// CAs in PEM that the directory's own certificate is checked by; `None`: those of the system.
    pub ca: Option<NamedFile>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// RFC 8555 section 8.3: over plain HTTP on port 80.
    #[default]
    Http01,
    /// RFC 8737: in a TLS handshake on port 443.
    TlsAlpn01,
}
