//! What is wrong with a file, and what the user can do about it. Nothing of what stands in a file
//! is repeated: it may be a key.

use std::{io, path::PathBuf};

use crate::config::{ConfigError, KeyPairFiles, NamedFile};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("\"{}\" {problem}", path.display())]
pub(super) struct FileError {
    pub(super) part: Part,
    pub(super) path: PathBuf,
    #[source]
    pub(super) problem: FileProblem,
}

/// What a file is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Certificate,
    Key,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FileProblem {
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    #[error("is not a regular file")]
    NotRegular,
    #[error("is larger than 1 MiB")]
    TooLarge,
    #[error("is empty")]
    Empty,
    #[error("is not whole PEM")]
    BrokenPem,
    #[error("has no certificate in PEM")]
    NoCertificate { looks_like_der: bool },
    #[error("has no private key in PEM")]
    NoKey { looks_like_der: bool },
    #[error("has an encrypted private key")]
    EncryptedKey,
    #[error("has a certificate that is not valid X.509: number {number}")]
    NotX509 { number: usize },
    #[error("has a private key of a kind that cannot be used")]
    UnusableKey(#[source] rustls::Error),
    #[error("has a private key that does not belong to the first certificate of \"{}\"", cert.display())]
    OtherKey {
        cert: PathBuf,
        /// The certificate of the chain that it does belong to.
        belongs_to: Option<usize>,
    },
    #[error("has a certificate that cannot be a CA: number {number}")]
    NotCa {
        number: usize,
        #[source]
        source: rustls::Error,
    },
}

impl FileError {
    /// What the user can do.
    pub(super) fn hint(&self) -> Option<String> {
        let path = self.path.display();
        Some(match &self.problem {
            FileProblem::Unreadable(error) => return self.hint_at_reading(error.kind()),
            FileProblem::NotRegular | FileProblem::TooLarge => "name the PEM file itself".into(),
            FileProblem::Empty | FileProblem::BrokenPem => {
                "write it again: each block has a BEGIN and an END line".into()
            }
            FileProblem::NoCertificate { looks_like_der: true } => {
                format!("it looks like DER: openssl x509 -inform der -in \"{path}\" -out cert.pem")
            }
            FileProblem::NoCertificate { looks_like_der: false } => {
                "it needs a block that starts with -----BEGIN CERTIFICATE-----".into()
            }
            FileProblem::NoKey { looks_like_der: true } => {
                format!("it looks like DER: openssl pkey -inform der -in \"{path}\" -out key.pem")
            }
            FileProblem::NoKey { looks_like_der: false } => {
                "it needs a block that starts with -----BEGIN PRIVATE KEY-----".into()
            }
            FileProblem::EncryptedKey => {
                format!("decrypt it: openssl pkey -in \"{path}\" -out key.pem")
            }
            FileProblem::NotX509 { .. } => "ask whoever signed it for a whole one".into(),
            FileProblem::UnusableKey(_) => {
                "use ECDSA on P-256, P-384 or P-521, Ed25519, or RSA of 2048 bits or more".into()
            }
            FileProblem::OtherKey { belongs_to: Some(number), .. } => {
                format!("it belongs to certificate {number}: the server's own must come first")
            }
            FileProblem::OtherKey { belongs_to: None, .. } => {
                "name the key that the certificate was ordered with".into()
            }
            FileProblem::NotCa { .. } => "leave it out, or name the CA's own certificate".into(),
        })
    }

    fn hint_at_reading(&self, kind: io::ErrorKind) -> Option<String> {
        match kind {
            io::ErrorKind::NotFound if self.path.is_relative() => {
                Some("a relative path starts from the working directory".into())
            }
            io::ErrorKind::NotFound => Some("name a file that exists".into()),
            io::ErrorKind::PermissionDenied => {
                Some("the user that runs the proxy must be able to read it".into())
            }
            _ => None,
        }
    }

    /// The same at its place in the configuration.
    pub(super) fn in_pair(self, files: &KeyPairFiles) -> ConfigError {
        match self.part {
            Part::Certificate => self.at(&files.cert),
            Part::Key => self.at(&files.key),
        }
    }

    /// The same at its place in the configuration.
    pub(super) fn at(self, file: &NamedFile) -> ConfigError {
        ConfigError { position: file.at, message: self.to_string(), hint: self.hint() }
    }
}

impl FileProblem {
    /// Whether the file is simply not there.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Unreadable(error) if error.kind() == io::ErrorKind::NotFound)
    }
}
