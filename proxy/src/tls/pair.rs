//! A certificate with its key as files: two that the configuration names, or one that ACME keeps.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::crypto::CryptoProvider;

use super::{error::FileError, files::Content, served::Served, watched::Material};
use crate::config::KeyPairFiles;

pub(super) struct Pair {
    /// The certificate's and the key's, or one for both.
    paths: Vec<PathBuf>,
    provider: Arc<CryptoProvider>,
}

impl Pair {
    pub(super) fn named(files: &KeyPairFiles, provider: &Arc<CryptoProvider>) -> Self {
        let mut paths = vec![files.cert.path.clone(), files.key.path.clone()];
        paths.dedup();
        Self { paths, provider: Arc::clone(provider) }
    }

    pub(super) fn in_one(path: PathBuf, provider: &Arc<CryptoProvider>) -> Self {
        Self { paths: vec![path], provider: Arc::clone(provider) }
    }

    fn cert(&self) -> &Path {
        self.paths.first().expect("a pair has a file")
    }

    fn key(&self) -> &Path {
        self.paths.last().expect("a pair has a file")
    }
}

impl Material for Pair {
    type Loaded = Arc<Served>;

    fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    fn load(&self, contents: Vec<Content>) -> Result<Self::Loaded, Vec<FileError>> {
        Served::load(self.cert(), self.key(), contents, &self.provider).map(Arc::new)
    }
}
