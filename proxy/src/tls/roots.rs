//! CAs that are believed: those of a file, or those of the system.

use rustls::RootCertStore;

use super::{error::FileProblem, pem};

/// All certificates of a PEM file, as CAs; never empty.
pub(super) fn in_pem(pem: &[u8]) -> Result<RootCertStore, FileProblem> {
    let mut roots = RootCertStore::empty();
    for (certificate, number) in pem::certificates(pem)?.into_iter().zip(1..) {
        roots.add(certificate).map_err(|source| FileProblem::NotCa { number, source })?;
    }
    Ok(roots)
}

/// What of the system's store cannot be read or used is left out, as others do; empty if it has
/// none.
pub(super) fn of_system() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a CA certificate of the system is left out");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}
