//! One certificate as it is served: chain and key from PEM, checked to belong together, and what
//! others ask of it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    crypto::CryptoProvider,
    pki_types::CertificateDer,
    sign::{CertifiedKey, SigningKey},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    error::{FileError, FileProblem, Part},
    files::Content,
    names::Names,
    pem,
};

/// A certificate with its chain and key, and the names it is good for.
#[derive(Debug)]
pub struct Served {
    pub(super) key: Arc<CertifiedKey>,
    names: Names,
    label: String,
    validity: Validity,
    /// Signed by itself, in place of one that is not there yet.
    is_placeholder: bool,
}

/// Seconds since 1970, the first and the last that it is good for.
#[derive(Clone, Copy, Debug)]
struct Validity {
    from: i64,
    to: i64,
}

impl Served {
    /// Whether the names of the certificate cover `host`, a Host without port (RFC 9110 section
    /// 7.4, RFC 9525): a DNS name in any case, or an IP address, of version 6 in brackets or not.
    pub fn covers(&self, host: &str) -> bool {
        self.names.cover(host)
    }

    /// What it is called: its first name; the name of its file if it has none.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The last second, since 1970, that it is good for; 0 for a placeholder, so that whoever
    /// watches for certificates that end sees it.
    pub fn not_after(&self) -> i64 {
        if self.is_placeholder { 0 } else { self.validity.to }
    }

    /// The first and the last second, since 1970, that it is good for.
    pub(super) fn validity(&self) -> (i64, i64) {
        (self.validity.from, self.validity.to)
    }

    /// When it ends, to be read.
    pub(super) fn end(&self) -> String {
        date(self.validity.to)
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// From what the file of a certificate and that of its key hold; from one content if both are
    /// the same file.
    ///
    /// # Errors
    /// Each file that cannot be used; that they do not belong together.
    pub(super) fn load(
        cert_path: &Path,
        key_path: &Path,
        contents: Vec<Content>,
        provider: &CryptoProvider,
    ) -> Result<Self, Vec<FileError>> {
        let error = |part: Part, problem: FileProblem| {
            let path = if part == Part::Key { key_path } else { cert_path };
            FileError { part, path: path.to_owned(), problem }
        };
        let mut contents = contents.into_iter();
        let cert = contents.next().expect("a certificate has a file");
        let (chain, key) = match (cert, contents.next()) {
            (cert, Some(key)) => {
                (cert.and_then(|pem| chain(&pem)), key.and_then(|pem| signing_key(&pem, provider)))
            }
            (Ok(both), None) => (chain(&both), signing_key(&both, provider)),
            (Err(problem), None) => return Err(vec![error(Part::Certificate, problem)]),
        };
        let (chain, key) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => {
                let of_chain = chain.err().map(|problem| error(Part::Certificate, problem));
                let of_key = key.err().map(|problem| error(Part::Key, problem));
                return Err(of_chain.into_iter().chain(of_key).collect());
            }
        };
        Self::join(chain, key, cert_path).map_err(|problem| vec![error(Part::Key, problem)])
    }

    /// In place of one that is not there yet.
    pub(super) fn placeholder(self) -> Self {
        Self { is_placeholder: true, ..self }
    }

    fn join(
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
        cert_path: &Path,
    ) -> Result<Self, FileProblem> {
        let parsed: Vec<X509Certificate<'_>> = chain.iter().filter_map(|one| parse(one)).collect();
        let own = parsed.first().expect("the chain was parsed");
        let belongs = |to: &X509Certificate<'_>| {
            key.public_key().is_none_or(|key| key.as_ref() == to.public_key().raw)
        };
        if !belongs(own) {
            let belongs_to = parsed.iter().position(belongs).map(|index| index + 1);
            return Err(FileProblem::OtherKey { cert: cert_path.to_owned(), belongs_to });
        }
        let names = Names::of(own);
        let label = names.first().unwrap_or_else(|| cert_path.display().to_string());
        let validity = own.validity();
        let validity =
            Validity { from: validity.not_before.timestamp(), to: validity.not_after.timestamp() };
        drop(parsed);
        let key = Arc::new(CertifiedKey::new(chain, key));
        Ok(Self { key, names, label, validity, is_placeholder: false })
    }

    /// Says what clients will not like about it at `now`.
    pub(super) fn warn(&self, listener: &str, now: SystemTime) {
        let certificate = self.label.as_str();
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let Validity { from, to } = self.validity;
        if now > to {
            let not_after = date(to);
            tracing::warn!(listener, certificate, not_after, "a certificate has expired");
        }
        if now < from {
            let not_before = date(from);
            tracing::warn!(listener, certificate, not_before, "a certificate is not valid yet");
        }
        if self.names.first().is_none() {
            tracing::warn!(listener, certificate, "a certificate names no host: clients refuse it");
        }
    }
}

/// All certificates, each of which is valid X.509; never empty.
fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
    let chain = pem::certificates(pem)?;
    match chain.iter().position(|one| parse(one).is_none()) {
        Some(index) => Err(FileProblem::NotX509 { number: index + 1 }),
        None => Ok(chain),
    }
}

fn signing_key(pem: &[u8], provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, FileProblem> {
    let key = pem::private_key(pem)?;
    provider.key_provider.load_private_key(key).map_err(FileProblem::UnusableKey)
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

/// As HTTP writes it; within the years that it can write.
fn date(seconds: i64) -> String {
    const LAST: u64 = 253_402_300_799;
    let since = u64::try_from(seconds).unwrap_or(0).min(LAST);
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(since))
}
