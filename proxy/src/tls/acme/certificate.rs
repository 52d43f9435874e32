//! What stands in `certificates/NAME.pem`: a line that says where it was ordered, the private key,
//! and the chain. Nothing is kept that would not be served: key and certificate belong together,
//! and the certificate is for the name.

use rustls::{
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};
use std::time::{Duration, SystemTime};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
    time::ASN1Time,
};

use super::decide::Validity;

/// Text before the first PEM block is for its readers (RFC 7468 section 2).
const DIRECTORY: &str = "Ordered from: ";

/// A certificate as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) validity: Validity,
    /// The directory of the CA that it was ordered from, if the file says so.
    pub(super) directory: Option<String>,
    /// The certificate itself.
    pub(super) leaf: CertificateDer<'static>,
}

/// Why a certificate is not served.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    #[error("it is not PEM")]
    NotPem(#[source] pem::Error),
    #[error("it holds no certificate")]
    Empty,
    #[error("it holds no private key")]
    NoKey(#[source] pem::Error),
    #[error("its key and its certificate do not belong together")]
    KeyPair(#[source] rustls::Error),
    #[error("its certificate cannot be read")]
    NotX509,
    #[error("its certificate is for {0:?}")]
    OtherNames(Vec<String>),
    #[error("its certificate has ended already")]
    Ended,
}

/// The text of the file for a certificate that has just been ordered.
///
/// # Errors
/// The CA's answer is no certificate for `name` that is good at `now`, or cut.
pub(super) fn compose(
    name: &str,
    directory: &str,
    key: &str,
    chain: &str,
    now: SystemTime,
) -> Result<(String, Kept), BadCertificate> {
    let text = format!("{DIRECTORY}{directory}\n{}\n{}\n", key.trim_end(), chain.trim_end());
    let kept = inspect(text.as_bytes(), name)?;
    if kept.validity.not_after <= now {
        return Err(BadCertificate::Ended);
    }
    Ok((text, kept))
}

/// What a file says, if it can be served for `name`.
///
/// # Errors
/// It cannot.
pub(super) fn inspect(text: &[u8], name: &str) -> Result<Kept, BadCertificate> {
    let chain = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(BadCertificate::NotPem)?;
    let leaf = chain.first().ok_or(BadCertificate::Empty)?.clone();
    let key = PrivateKeyDer::from_pem_slice(text).map_err(BadCertificate::NoKey)?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(BadCertificate::KeyPair)?;
    let validity = read_leaf(&leaf, name)?;
    Ok(Kept { validity, directory: directory(text), leaf })
}

fn read_leaf(leaf: &CertificateDer<'_>, name: &str) -> Result<Validity, BadCertificate> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| BadCertificate::NotX509)?;
    let names = leaf.subject_alternative_name().map_err(|_| BadCertificate::NotX509)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let names = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    let names: Vec<String> = names.collect();
    if !names.iter().any(|one| one.eq_ignore_ascii_case(name)) {
        return Err(BadCertificate::OtherNames(names));
    }
    let validity = leaf.validity();
    Ok(Validity { not_before: moment(validity.not_before), not_after: moment(validity.not_after) })
}

fn moment(time: ASN1Time) -> SystemTime {
    let seconds = Duration::from_secs(time.timestamp().unsigned_abs());
    let moment = match time.timestamp() {
        ..0 => SystemTime::UNIX_EPOCH.checked_sub(seconds),
        0.. => SystemTime::UNIX_EPOCH.checked_add(seconds),
    };
    moment.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn directory(text: &[u8]) -> Option<String> {
    let line = text.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    line.strip_prefix(DIRECTORY).map(|url| url.trim_end().to_owned())
}

/// A key and a certificate that its own key has signed.
#[cfg(test)]
pub(super) mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    pub(in super::super) const DIRECTORY: &str = "https://ca.test/directory";

    /// A key and a certificate for `name`, good from `from` to `to`.
    pub(in super::super) fn signed(
        name: &str,
        from: SystemTime,
        to: SystemTime,
    ) -> (String, String) {
        let key = KeyPair::generate().expect("can be generated");
        let mut params = CertificateParams::new([name.to_owned()]).expect("is a name");
        (params.not_before, params.not_after) = (from.into(), to.into());
        let certificate = params.self_signed(&key).expect("can be signed");
        (key.serialize_pem(), certificate.pem())
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn composed(key: &str, chain: &str) -> Result<(String, Kept), BadCertificate> {
        compose("a.test", DIRECTORY, key, chain, at(1_000_500))
    }

    #[test]
    fn what_is_composed_says_what_it_is() {
        let (key, chain) = signed("a.test", at(1_000_000), at(1_001_000));
        let (text, kept) = composed(&key, &chain).expect("is good");
        assert_eq!(kept.validity, Validity { not_before: at(1_000_000), not_after: at(1_001_000) });
        assert_eq!(kept.directory.as_deref(), Some(DIRECTORY));
        assert_eq!(inspect(text.as_bytes(), "a.test").expect("is good"), kept);
        assert_eq!(inspect(text.as_bytes(), "A.Test").expect("is good"), kept);
    }

    #[test]
    fn a_file_made_by_hand_need_not_say_where_it_was_ordered() {
        let (key, chain) = signed("a.test", at(0), at(1));
        for text in [format!("{chain}{key}"), format!("{key}\n\n{chain}")] {
            assert_eq!(inspect(text.as_bytes(), "a.test").expect("is good").directory, None);
        }
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        let (key, chain) = signed("a.test", at(1_000_000), at(1_001_000));
        let (other_key, other_name) = signed("b.test", at(1_000_000), at(1_001_000));
        let cut = &chain[..chain.len() - 40];
        let refused = |key: &str, chain: &str| composed(key, chain).expect_err("is refused");
        assert!(matches!(refused(&key, cut), BadCertificate::NotPem(_)));
        assert!(matches!(refused(&key, &format!("{chain}{cut}")), BadCertificate::NotPem(_)));
        assert!(matches!(refused(&key, ""), BadCertificate::Empty));
        assert!(matches!(refused("", &chain), BadCertificate::NoKey(_)));
        assert!(matches!(refused(&other_key, &chain), BadCertificate::KeyPair(_)));
        let names = refused(&other_key, &other_name);
        assert!(matches!(&names, BadCertificate::OtherNames(names) if names == &["b.test"]));
        let (key, ended) = signed("a.test", at(1_000_000), at(1_000_500));
        assert!(matches!(refused(&key, &ended), BadCertificate::Ended));
    }
}
