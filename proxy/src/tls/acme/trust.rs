//! By whom the CA's own certificate must be signed: the CAs of a file, or those of the system.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

use crate::{
    config::NamedFile,
    tls::{
        error::{FileError, Part},
        files, roots,
    },
};

/// There is no CA that could have signed it.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrustError {
    #[error(transparent)]
    File(FileError),
    #[error("the system has no CAs")]
    NoneOfSystem,
}

/// Read anew for each round of orders, so that a renewed file needs no restart.
///
/// # Errors
/// There is no CA.
pub(super) fn client_config(ca: Option<&NamedFile>) -> Result<ClientConfig, TrustError> {
    let roots = match ca {
        Some(file) => file_roots(file).map_err(TrustError::File)?,
        None => Some(roots::of_system())
            .filter(|roots| !roots.is_empty())
            .ok_or(TrustError::NoneOfSystem)?,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions");
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// # Errors
/// The file is none of CAs.
pub(super) fn file_roots(file: &NamedFile) -> Result<RootCertStore, FileError> {
    files::read(&file.path).and_then(|pem| roots::in_pem(&pem)).map_err(|problem| FileError {
        part: Part::Certificate,
        path: file.path.clone(),
        problem,
    })
}
