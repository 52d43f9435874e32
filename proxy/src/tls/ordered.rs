//! Certificates that ACME brings, as files of its state: what serves until they are there, and what
//! answers the CA while it asks over TLS (RFC 8737). Whoever orders writes the files; here they are
//! only read, so it may be another process. Paths are made of names of the configuration, never of
//! what a client asks for.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    crypto::CryptoProvider,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{
    acme,
    error::{FileError, FileProblem},
    files::Content,
    pair::Pair,
    served::Served,
    watched::Material,
};

/// A certificate for `name` that it has signed itself, with a new key. Nobody believes it, but the
/// listener has one for the handshake.
pub(super) fn placeholder(name: &str, provider: &CryptoProvider) -> Served {
    let key = KeyPair::generate().expect("the system gives random bytes");
    let params = CertificateParams::new([name.to_owned()]).expect("a host name is ASCII");
    let certificate = params.self_signed(&key).expect("a key signs its own certificate");
    let both = format!("{}{}", certificate.pem(), key.serialize_pem()).into_bytes();
    let nowhere = Path::new("");
    let served = Served::load(nowhere, nowhere, vec![Ok(both)], provider);
    served.expect("what was just made is whole").placeholder()
}

/// The file of a challenge; that it is not there is usual.
pub(super) struct Challenge(Pair);

impl Challenge {
    pub(super) fn new(state: &Path, name: &str, provider: &Arc<CryptoProvider>) -> Self {
        Self(Pair::in_one(acme::challenge_path(state, name), provider))
    }
}

impl Material for Challenge {
    type Loaded = Option<Arc<CertifiedKey>>;

    fn paths(&self) -> &[PathBuf] {
        self.0.paths()
    }

    fn load(&self, contents: Vec<Content>) -> Result<Self::Loaded, Vec<FileError>> {
        let is_absence = |content: &Content| content.as_ref().is_err_and(FileProblem::is_absence);
        if contents.iter().any(is_absence) {
            return Ok(None);
        }
        self.0.load(contents).map(|served| Some(Arc::clone(&served.key)))
    }
}

/// The challenges that are there, by the name that each is for.
pub(super) struct Challenges(pub(super) HashMap<String, Arc<CertifiedKey>>);

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        self.0.get(&name).map(Arc::clone)
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}
