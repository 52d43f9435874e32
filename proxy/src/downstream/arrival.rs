//! How a connection came in: known once it stands, the same for all of its requests.

use std::{net::SocketAddr, sync::Arc};

use actix_http::header::HeaderValue;

use crate::{
    request::without_port,
    tls::{ClientNames, Served},
    upstream::OwnPools,
};

/// Facts about one client connection.
#[derive(Default)]
pub struct Arrival {
    /// Who sent it; `None` over a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The port to which clients of this listener are redirected, with `https`.
    pub https_redirect: Option<u16>,
    /// Whether a client may begin with HTTP/2 without having asked.
    pub prior_knowledge: bool,
    pub tls: Option<TlsSession>,
    /// Connections to endpoints that are this client's alone.
    pub own: OwnPools,
}

/// What was agreed on in a handshake.
pub struct TlsSession {
    /// As the access log writes it: `TLSv1.3`.
    pub version: &'static str,
    /// In lower case; `None` if the client named no server.
    pub server_name: Option<Box<str>>,
    pub certificate: Arc<Served>,
    /// Of the client's certificate, which was verified; `None` if it has shown none.
    pub client: Option<ClientNames>,
    pub hsts: Option<HeaderValue>,
}

impl Arrival {
    pub fn of(peer: Option<SocketAddr>) -> Self {
        Self { peer, ..Self::default() }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl TlsSession {
    /// Whether a request for `host`, which may have a port, may come over this connection (RFC 9110
    /// section 7.4): it is the server that the client named, or the certificate that it saw stands
    /// for it too. A client that named none, here or there, contradicts nothing.
    pub fn stands_for(&self, host: &str) -> bool {
        let Some(named) = &self.server_name else { return true };
        let host = without_port(host);
        let host = host.strip_suffix('.').unwrap_or(host);
        host.is_empty() || host.eq_ignore_ascii_case(named) || self.certificate.covers(host)
    }
}
