//! Certificates and keys out of PEM (RFC 7468). A file may hold both, in any order; text between
//! the blocks is ignored.

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject},
};

use super::error::FileProblem;

const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// All certificates, in their order; never empty.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, Error>>();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) | Err(Error::NoItemsFound) if pem.is_empty() => Err(FileProblem::Empty),
        Ok(_) | Err(Error::NoItemsFound) => {
            Err(FileProblem::NoCertificate { looks_like_der: looks_like_der(pem) })
        }
        Err(_) => Err(FileProblem::BrokenPem),
    }
}

/// The first key that is not encrypted: PKCS#8, PKCS#1 or SEC1.
pub(super) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, FileProblem> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound if pem.is_empty() => FileProblem::Empty,
        Error::NoItemsFound if is_encrypted(pem) => FileProblem::EncryptedKey,
        Error::NoItemsFound => FileProblem::NoKey { looks_like_der: looks_like_der(pem) },
        // PKCS#1 writes it into the block, where a header is no PEM for the parser.
        _ if is_encrypted(pem) => FileProblem::EncryptedKey,
        _ => FileProblem::BrokenPem,
    })
}

/// Whether it begins as certificates and keys in DER do: with a sequence of 128 bytes or more.
fn looks_like_der(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x30, 0x81]) || bytes.starts_with(&[0x30, 0x82])
}

fn is_encrypted(pem: &[u8]) -> bool {
    memchr::memmem::find(pem, ENCRYPTED).is_some()
}
