//! What stands in `certificates/NAME.pem`: a line that says where it was ordered, the private key,
//! and the chain. Nothing is kept that would not be served: key and certificate belong together,
//! and the certificate is for the name.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{crypto::aws_lc_rs, pki_types::CertificateDer};

use super::decide::Validity;
use crate::tls::{error::FileProblem, served::Served};

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
pub(super) enum BadCertificate {
    #[error("it {0}")]
    Unusable(#[source] FileProblem),
    #[error("its certificate is for another name, {0}")]
    OtherName(String),
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

/// What a file says, if it can be served for `name`: as those judge who serve it.
///
/// # Errors
/// It cannot.
pub(super) fn inspect(text: &[u8], name: &str) -> Result<Kept, BadCertificate> {
    let (path, provider) = (Path::new(name), aws_lc_rs::default_provider());
    let served = Served::load(path, path, vec![Ok(text.to_vec())], &provider);
    let served = served.map_err(|errors| {
        let first = errors.into_iter().next().expect("what is refused has a reason");
        BadCertificate::Unusable(first.problem)
    })?;
    if !served.covers(name) {
        return Err(BadCertificate::OtherName(served.label().to_owned()));
    }
    let (from, to) = served.validity();
    let leaf = served.key.cert.first().expect("a chain has a certificate").clone();
    let validity = Validity { not_before: moment(from), not_after: moment(to) };
    Ok(Kept { validity, directory: directory(text), leaf })
}

fn moment(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
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
        let refused = |key: &str, chain: &str| match composed(key, chain) {
            Err(BadCertificate::Unusable(problem)) => problem,
            other => panic!("{other:?}"),
        };
        assert!(matches!(refused(&key, cut), FileProblem::BrokenPem));
        assert!(matches!(refused(&key, &format!("{chain}{cut}")), FileProblem::BrokenPem));
        assert!(matches!(refused(&key, ""), FileProblem::NoCertificate { .. }));
        assert!(matches!(refused("", &chain), FileProblem::NoKey { .. }));
        assert!(matches!(refused(&other_key, &chain), FileProblem::OtherKey { .. }));
        let error = composed(&other_key, &other_name).expect_err("is refused");
        assert!(matches!(&error, BadCertificate::OtherName(name) if name == "b.test"), "{error}");
        let (key, ended) = signed("a.test", at(1_000_000), at(1_000_500));
        let error = composed(&key, &ended).expect_err("is refused");
        assert!(matches!(error, BadCertificate::Ended), "{error}");
    }
}
