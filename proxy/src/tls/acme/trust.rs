//! By whom the CA's own certificate must be signed: the CAs of a file, or those of the system.

use std::{fs, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::error::TrustError;
use crate::config::NamedFile;

/// Read anew for each round of orders, so that a renewed file needs no restart.
///
/// # Errors
/// There is no CA.
pub(super) fn client_config(ca: Option<&NamedFile>) -> Result<ClientConfig, TrustError> {
    let roots = match ca {
        Some(file) => file_roots(file)?,
        None => system_roots()?,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions");
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn file_roots(file: &NamedFile) -> Result<RootCertStore, TrustError> {
    let text = fs::read(&file.path).map_err(TrustError::File)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(TrustError::NotPem)?;
        roots.add(certificate).map_err(TrustError::NotACa)?;
    }
    if roots.is_empty() { Err(TrustError::Empty) } else { Ok(roots) }
}

/// What of the system's store is of no use is passed over, as everywhere.
fn system_roots() -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 { Err(TrustError::Empty) } else { Ok(roots) }
}
