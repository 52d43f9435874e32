//! `[server]`: what holds for the whole process.

use std::{num::NonZeroUsize, thread, time::Duration};

use ipnet::IpNet;

use super::{
    clients::{self, ClientTimeouts, HeadBounds},
    connections::ConnectionLimits,
    error::{Located, Problem},
    name_case::NameCase,
    network,
    paths::PathPolicy,
    section::Section,
    size::BodyLimit,
    value::FromText,
};

/// More workers than this are refused by actix-server.
const MOST_WORKERS: usize = 512;

#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub workers: NonZeroUsize,
    /// How long running requests may go on after a stop signal.
    pub drain_timeout: Duration,
    /// How long listeners stay open after `/readyz` has turned 503.
    pub drain_delay: Duration,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether those of peers over Unix sockets are.
    pub trusts_unix_peers: bool,
    /// Whether these are `Forwarded`, and not `X-Forwarded-*`.
    pub forwarded: bool,
    pub connections: ConnectionLimits,
    pub max_body: BodyLimit,
    /// Answered by the proxy itself, without authentication.
    pub health_path: Option<String>,
    pub paths: PathPolicy,
    /// Of names that no client has spelled, to endpoints.
    pub case: NameCase,
    pub heads: HeadBounds,
    /// Of request bodies over HTTP/2: what one connection may have in flight, in bytes.
    pub http2_window: u32,
    pub timeouts: ClientTimeouts,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            workers: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            drain_timeout: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
            trusted_proxies: Vec::new(),
            trusts_unix_peers: false,
            forwarded: false,
            connections: ConnectionLimits::default(),
            max_body: BodyLimit::UNLIMITED,
            health_path: None,
            paths: PathPolicy::default(),
            case: NameCase::default(),
            heads: HeadBounds::default(),
            http2_window: clients::HTTP2_WINDOW,
            timeouts: ClientTimeouts::default(),
        }
    }
}

impl ServerConfig {
    pub(super) fn read(section: Option<Section<'_>>) -> Self {
        let default = Self::default();
        let Some(mut section) = section else {
            return default;
        };
        let trusted = section.or::<Vec<Located<TrustedPeer>>>("trusted_proxies", Vec::new());
        let networks = trusted.iter().filter_map(|peer| match peer.value {
            TrustedPeer::Network(network) => Some(network),
            TrustedPeer::Unix => None,
        });
        let config = Self {
            workers: workers(&mut section).unwrap_or(default.workers),
            drain_timeout: section.or("drain_timeout", default.drain_timeout),
            drain_delay: section.or("drain_delay", default.drain_delay),
            trusted_proxies: networks.collect(),
            trusts_unix_peers: trusted.iter().any(|peer| matches!(peer.value, TrustedPeer::Unix)),
            forwarded: section.or("forwarded", default.forwarded),
            connections: ConnectionLimits::read(&mut section),
            max_body: section.or("max_body", default.max_body),
            health_path: section.get::<AbsolutePath>("health_path").map(|path| path.value.0),
            paths: PathPolicy::read(&mut section),
            case: NameCase::read(section.section("headers")),
            heads: HeadBounds::read(&mut section),
            http2_window: clients::http2_window(&mut section),
            timeouts: ClientTimeouts::read(&mut section),
        };
        section.finish();
        config
    }
}

fn workers(section: &mut Section<'_>) -> Option<NonZeroUsize> {
    let given = section.get::<u64>("workers")?;
    let count = worker_count(given.value);
    if count.is_none() {
        section.report(&given.span, Problem::new(format!("workers must be 1 to {MOST_WORKERS}")));
    }
    count
}

/// The number of workers, if the server can have so many.
pub fn worker_count(given: u64) -> Option<NonZeroUsize> {
    let count = usize::try_from(given).ok().and_then(NonZeroUsize::new)?;
    (count.get() <= MOST_WORKERS).then_some(count)
}

/// An address or a network: `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`; or any peer over a Unix socket.
enum TrustedPeer {
    Network(IpNet),
    Unix,
}

impl FromText for TrustedPeer {
    const EXPECTED: &'static str = "an address or network such as \"10.0.0.0/8\", or \"unix\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        network::parse(text)
            .map(Self::Network)
            .ok_or_else(|| Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)))
    }
}

/// A path from "/", of bytes that can stand in a request target, without a query.
struct AbsolutePath(String);

impl FromText for AbsolutePath {
    const EXPECTED: &'static str = "a path such as \"/health\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let is_path = text.starts_with('/')
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
        if !is_path {
            return Err(Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)));
        }
        Ok(Self(text.to_owned()))
    }
}
