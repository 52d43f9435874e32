//! Files that TLS needs, by name: nothing is opened here.

use std::path::PathBuf;

use toml::{Spanned, de::DeValue};

use crate::config::{
    error::{Position, Problem},
    section::{Reader, Section, ValueOrTable},
    value::{FromText, Value, expected},
};

/// A file that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// As written: a relative one starts from the working directory.
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

impl NamedFile {
    /// `None` if it is absent, or wrong and reported.
    pub(super) fn read(section: &mut Section<'_>, key: &'static str) -> Option<Self> {
        let path = section.get::<FilePath>(key)?;
        let at = section.reader.source.position(path.span.start);
        Some(Self { path: path.value.0, at })
    }

    /// Like `read`, but absence is a mistake.
    fn require(section: &mut Section<'_>, key: &'static str) -> Option<Self> {
        section.must_have(key);
        Self::read(section, key)
    }
}

impl KeyPairFiles {
    /// `certificates`: an array of tables. Wrong ones are reported and left out.
    pub(super) fn read_all(section: &mut Section<'_>, key: &'static str) -> Vec<Self> {
        let items = section.values_or_tables::<NoValue>(key).unwrap_or_default();
        let read = items.into_iter().filter_map(|item| match item? {
            ValueOrTable::Value(value) => match value.value {},
            ValueOrTable::Table(section) => Self::read(section),
        });
        read.collect()
    }

    fn read(mut section: Section<'_>) -> Option<Self> {
        let cert = NamedFile::require(&mut section, "cert");
        let key = NamedFile::require(&mut section, "key");
        section.finish();
        Some(Self { cert: cert?, key: key? })
    }
}

/// What a pair of files is never written as.
enum NoValue {}

impl Value for NoValue {
    fn read(_: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        Err(expected("a table { cert = \"…\", key = \"…\" }", value))
    }
}

/// Never in a message as it is: what stands here by mistake may be a key itself.
struct FilePath(PathBuf);

impl FromText for FilePath {
    const EXPECTED: &'static str = "the path of a file";

    fn from_text(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::new("expected the path of a file, found \"\""));
        }
        if text.contains(char::is_control) {
            let problem = Problem::new("the path of a file must not have control characters");
            return Err(problem.hint("certificates and keys are named here, not written"));
        }
        Ok(Self(PathBuf::from(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_place_of_its_path_stays_out_of_the_message() {
        let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n";
        let problem = FilePath::from_text(key).err().expect("is no path");
        let Problem { message, hint } = problem;
        assert!(!message.contains("MC4") && !hint.expect("has one").contains("MC4"), "{message}");
    }

    #[test]
    fn relative_and_absolute_paths_are_kept_as_written() {
        for path in ["cert.pem", "../a b/cert.pem", "/etc/ssl/cert.pem"] {
            assert_eq!(FilePath::from_text(path).ok().map(|path| path.0), Some(path.into()));
        }
        for wrong in ["", "a\0b", "a\nb"] {
            assert!(FilePath::from_text(wrong).is_err(), "{wrong:?}");
        }
    }
}
