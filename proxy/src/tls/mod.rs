//! What listeners show their clients in a TLS handshake: certificates chosen by SNI, the CAs that
//! sign clients, and what becomes of both when their files change. What the proxy asks of endpoints,
//! as a client itself, is in `upstream.rs`.
//!
//! Relies on `Config` for the names of files and on rustls for every byte of the protocol. It does
//! not know how connections are accepted: whoever accepts one takes `TlsListener::current` and
//! makes the handshake.

pub mod acme;
mod certificates;
mod client_names;
mod clients;
mod error;
mod files;
mod handshake;
pub mod invalid_names;
mod listener;
mod names;
mod ordered;
mod pair;
mod pem;
mod roots;
mod served;
mod subject;
#[cfg(test)]
mod tests;
pub mod upstream;
mod watch;
mod watched;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_http::header::HeaderValue;
use arc_swap::ArcSwap;
use rustls::server::ClientHello;

use self::{
    certificates::Certificates, listener::ListenerFiles, upstream::UpstreamConnectors,
    watched::Found,
};
pub use self::{
    client_names::ClientNames, handshake::ACME_TLS, served::Served, subject::has_ended,
    watch::Watching,
};
use crate::{
    config::{Config, ConfigError, ListenerConfig},
    telemetry::counter::Counter,
    vitals::Vitals,
};

/// The TLS of all listeners.
#[derive(Default)]
pub struct Tls {
    /// One per listener of the configuration, in its order; `None` for plain ones.
    listeners: Vec<Option<Arc<TlsListener>>>,
    /// Guards what the last look has seen, for the time of a look: no request waits for it.
    files: Mutex<Vec<ListenerFiles>>,
    pub reloads: Reloads,
}

/// The TLS of one listener.
pub struct TlsListener {
    /// As the configuration writes its address.
    name: String,
    current: ArcSwap<Loaded>,
    /// What a client has for its handshake.
    pub handshake_timeout: Duration,
    /// `Strict-Transport-Security` for each response, if any.
    pub hsts: Option<HeaderValue>,
}

/// What the next handshakes of a listener use.
pub struct Loaded {
    /// For clients: ALPN is "h2", "http/1.1" and "http/1.0", the first only where HTTP/2 is spoken.
    pub server: Arc<rustls::ServerConfig>,
    /// For clients whose invalid server name was hidden (`invalid_names`): to them it is `server`.
    pub hiding_name: Arc<rustls::ServerConfig>,
    /// For a CA that asks with ALPN "acme-tls/1" (RFC 8737), while it has a reason to.
    pub challenge: Option<Arc<rustls::ServerConfig>>,
    certificates: Arc<Certificates>,
}

/// How often changed files were loaded, or could not be used. Counted by looks, one at a time.
#[derive(Debug, Default)]
pub struct Reloads {
    pub ok: Counter,
    pub failed: Counter,
}

impl Tls {
    /// Reads all files that the listeners of `config` name.
    ///
    /// # Errors
    /// Every file that cannot be used, at its place in the configuration.
    pub fn open(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let open = |listener: &ListenerConfig| {
            let tls = listener.tls.as_ref()?;
            Some(ListenerFiles::open(listener, tls, config.acme.as_ref()))
        };
        let (mut listeners, mut files, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for opened in config.listeners.iter().map(open) {
            match opened.transpose() {
                Ok(opened) => {
                    listeners.push(opened.as_ref().map(|files| Arc::clone(files.listener())));
                    files.extend(opened);
                }
                Err(found) => errors.extend(found),
            }
        }
        errors.extend(config.acme.as_ref().and_then(|acme| acme::check(acme).err()));
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { listeners, files: Mutex::new(files), reloads: Reloads::default() })
    }

    /// The TLS of the listener with this index; `None` if it is plain.
    pub fn listener(&self, index: usize) -> Option<&Arc<TlsListener>> {
        self.listeners.get(index)?.as_ref()
    }

    /// Looks at the files every second, on a thread of its own.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn watch(self: Arc<Self>, vitals: &Vitals) -> io::Result<Watching> {
        watch::start(self, vitals)
    }

    /// Looks at the files now. What has changed is used by the handshakes that begin after it, but
    /// for files that cannot be used: the second look in a row that finds them so reports them.
    pub fn look(&self) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for listener in files.iter_mut() {
            listener.look(&self.reloads);
        }
    }

    /// The last second, since 1970, of each certificate, by the names of listener and certificate;
    /// the earliest of those with one name. 0 where a placeholder serves.
    pub fn not_after(&self) -> BTreeMap<(&str, String), i64> {
        let mut ends = BTreeMap::new();
        for listener in self.listeners.iter().flatten() {
            for served in listener.current.load().certificates.all() {
                let key = (listener.name.as_str(), served.label().to_owned());
                let end: &mut i64 = ends.entry(key).or_insert(i64::MAX);
                *end = served.not_after().min(*end);
            }
        }
        ends
    }
}

/// Reads all files that `config` names, for its listeners and for its services.
///
/// # Errors
/// Every file that cannot be used, at its place in the configuration.
pub fn open_all(config: &Config) -> Result<(Arc<Tls>, Arc<UpstreamConnectors>), Vec<ConfigError>> {
    match (Tls::open(config), UpstreamConnectors::build(&config.services, &config.auth_schemes)) {
        (Ok(tls), Ok(connectors)) => Ok((Arc::new(tls), Arc::new(connectors))),
        (tls, connectors) => {
            let errors = [tls.err(), connectors.err()];
            Err(errors.into_iter().flatten().flatten().collect())
        }
    }
}

/// What is wrong with files that `config` names, each at its place in the configuration.
///
/// # Errors
/// All of them.
pub fn check(config: &Config) -> Result<(), Vec<ConfigError>> {
    open_all(config).map(drop)
}

impl TlsListener {
    pub fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }
}

impl Loaded {
    /// What a client with this hello is shown.
    pub fn certificate_for(&self, hello: &ClientHello<'_>) -> &Arc<Served> {
        self.certificates.find_for(hello)
    }

    /// What a client that asks for this name is shown; the default for a name that no certificate
    /// has, and for a client that names none. Where several have the name, with keys of different
    /// kinds, the first of them.
    #[cfg(test)]
    pub fn certificate(&self, server_name: Option<&str>) -> &Arc<Served> {
        self.certificates.find(server_name)
    }
}

impl Reloads {
    fn count(&self, found: &Found) {
        match found {
            Found::Nothing => {}
            Found::New => self.ok.add(1),
            Found::Broken(_) => self.failed.add(1),
        }
    }
}
