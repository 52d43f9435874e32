//! TLS as configured: what a listener shows its clients, what a service asks of its endpoints, and
//! where certificates are ordered. Files are named here and read by `crate::tls`, which says what
//! is wrong with one at the place in the configuration where it is named.

mod acme;
mod files;
mod hsts;
mod listener;
mod names;
mod upstream;

pub(super) use self::acme::AcmeUse;
pub use self::{
    acme::{AcmeChallenge, AcmeConfig},
    files::{KeyPairFiles, NamedFile},
    listener::{ClientCertificates, ListenerTls, TlsVersion},
    upstream::{TlsName, UpstreamTls, Verify},
};
