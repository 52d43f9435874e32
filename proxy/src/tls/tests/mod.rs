//! What a client sees of a listener: certificates, client CAs, and what changed files do to both.

mod challenge;
mod choice;
mod client;
mod clients;
mod hidden_names;
mod mistakes;
mod pki;
mod reload;

use std::{path::Path, sync::Arc, time::Duration};

use self::pki::Folder;
use super::{Loaded, Tls};
use crate::config::{
    AcmeChallenge, AcmeConfig, ClientCertificates, Config, ConfigError, KeyPairFiles, ListenerTls,
    NamedFile, Position, TlsVersion,
};

/// A listener to be, whose files lie in a folder. Each file is named in a line of its own, in the
/// order in which they are added.
struct World {
    folder: Folder,
    config: Config,
    lines: usize,
}

impl World {
    fn new() -> Self {
        let mut config = Config::load("", "test", &|_| None).expect("is valid");
        config.listeners[0].tls = Some(ListenerTls {
            certificates: Vec::new(),
            acme: Vec::new(),
            clients: ClientCertificates::None,
            min_version: TlsVersion::V1_2,
            handshake_timeout: Duration::from_secs(10),
            hsts: None,
        });
        Self { folder: Folder::new(), config, lines: 0 }
    }

    /// With certificates for these names, in `NAME.cert` and `NAME.key`.
    fn with(names: &[&str]) -> Self {
        let mut world = Self::new();
        for name in names {
            world.folder.write_pair(name, &pki::signed_by_itself(&[name]));
            world.add(&format!("{name}.cert"), &format!("{name}.key"));
        }
        world
    }

    fn tls(&mut self) -> &mut ListenerTls {
        self.config.listeners[0].tls.as_mut().expect("has TLS")
    }

    fn named(&mut self, file: &str) -> NamedFile {
        self.lines += 1;
        let at = Position { line: self.lines, column: 1 };
        NamedFile { path: self.folder.path(file), at }
    }

    fn add(&mut self, cert: &str, key: &str) {
        let pair = KeyPairFiles { cert: self.named(cert), key: self.named(key) };
        self.tls().certificates.push(pair);
    }

    fn add_acme(&mut self, host: &str) {
        self.tls().acme.push(host.to_owned());
        self.config.acme = Some(AcmeConfig {
            directory: "https://ca.test".to_owned(),
            email: None,
            state: NamedFile {
                path: self.folder.path("state"),
                at: Position { line: 1, column: 1 },
            },
            challenge: AcmeChallenge::TlsAlpn01,
            ca: None,
        });
    }

    fn open(&self) -> Opened {
        Opened(Arc::new(Tls::open(&self.config).expect("every file can be used")))
    }

    fn mistakes(&self) -> Vec<ConfigError> {
        Tls::open(&self.config).err().expect("a file is wrong")
    }
}

struct Opened(Arc<Tls>);

impl Opened {
    fn loaded(&self) -> Arc<Loaded> {
        self.0.listener(0).expect("has TLS").current()
    }

    fn server(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.loaded().server)
    }

    /// For clients whose name is hidden.
    fn hiding_name(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.loaded().hiding_name)
    }

    /// The label of what a client is shown for this name.
    fn shown(&self, name: Option<&str>) -> String {
        self.loaded().certificate(name).label().to_owned()
    }

    /// Looks often enough for everything to be judged.
    fn look(&self) {
        self.0.look();
        self.0.look();
    }

    /// Reloads that worked and that failed.
    fn reloads(&self) -> (u64, u64) {
        (self.0.reloads.ok.get(), self.0.reloads.failed.get())
    }
}

fn remove(path: &Path) {
    std::fs::remove_file(path).expect("is removed");
}
