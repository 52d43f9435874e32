//! The running process: listeners, workers and the admin listener, from start to drain.
//!
//! `start` binds every address before anything is served, so that a port in use stops the start
//! as a whole. `main` and the tests use the same door.

mod connections;
mod crowd;
#[cfg(fuzzing)]
pub mod fuzz;
mod listener;
mod open_files;
mod preface;
mod proxy_protocol;
mod tls;
mod turn_away;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_rt::task::JoinHandle;
use actix_server::ServerHandle;

use self::connections::Connections;
use crate::{
    admin,
    bind::{Bound, Listener, SocketFile, bind},
    config::{Config, ConfigErrors, ListenAddress},
    gateway::Gateway,
    health::checker,
    telemetry::{
        access_log::{self, LogWriter},
        metrics::Metrics,
    },
    tls::{
        Watching,
        acme::{self, AcmeTask},
        open_all,
    },
    upstream::Resolver,
    worker::Shared,
};

/// How long the last access lines may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error("cannot listen on {address}: {source}{}", hint(address, source))]
    Bind { address: ListenAddress, source: io::Error },
    #[error("cannot start the access log: {0}")]
    AccessLog(#[source] io::Error),
    #[error("cannot start the resolver: {0}")]
    Resolver(#[source] io::Error),
    #[error("cannot watch the files of TLS: {0}")]
    Watch(#[source] io::Error),
    #[error("cannot start to order certificates: {0}")]
    Acme(#[source] io::Error),
    #[error("cannot start the server: {0}")]
    Server(#[source] io::Error),
}

fn hint(address: &ListenAddress, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another process has it: stop it, or choose another address)",
        io::ErrorKind::PermissionDenied if !address.is_unix() => {
            " (ports below 1024 need CAP_NET_BIND_SERVICE)"
        }
        io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
        _ => "",
    }
}

/// A started proxy.
pub struct Running {
    /// Where traffic is taken, in the order of the configuration.
    pub traffic: Vec<ListenAddress>,
    pub admin: ListenAddress,
    drain_delay: Duration,
    drain_timeout: Duration,
    handle: ServerHandle,
    server: JoinHandle<io::Result<()>>,
    admin_handle: ServerHandle,
    draining: Arc<AtomicBool>,
    connections: Arc<Connections>,
    metrics: Arc<Metrics>,
    log_writer: Option<LogWriter>,
    _watching: Watching,
    acme: Option<AcmeTask>,
    /// Removed at the end.
    _socket_files: Vec<SocketFile>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request that had begun was answered.
    Whole,
    /// This many requests were cut.
    Cut(u64),
}

/// Binds, builds and serves.
///
/// # Errors
/// A file of the configuration that cannot be used, an address that cannot be bound, or a thread
/// that cannot be started; nothing is served then.
pub fn start(config: &Config) -> Result<Running, StartError> {
    let (tls, connectors) = open_all(config).map_err(|errors| config.refuse(errors))?;
    let open_files = open_files::raise_limit();
    let bind = |address: &ListenAddress, mode| {
        bind(address, mode).map_err(|source| StartError::Bind { address: address.clone(), source })
    };
    let traffic = config.listeners.iter().map(|one| bind(&one.bind, one.mode));
    let traffic: Vec<Bound> = traffic.collect::<Result<_, _>>()?;
    let admin_bound = bind(&config.admin.bind, config.admin.mode)?;
    let (sender, log_writer) = if config.log.access {
        let (sender, writer) = access_log::start().map_err(StartError::AccessLog)?;
        (Some(sender), Some(writer))
    } else {
        (None, None)
    };
    let gateway = Arc::new(Gateway::build(config));
    let metrics = Arc::new(Metrics::new(Arc::clone(&gateway), Arc::clone(&tls)));
    let resolver = Resolver::start(Arc::clone(&metrics.lookups)).map_err(StartError::Resolver)?;
    checker::start(&gateway, &connectors, &resolver);
    let shared = Shared {
        gateway,
        resolver,
        connectors,
        metrics: Arc::clone(&metrics),
        access_log: sender,
        heads: config.server.heads,
        timeouts: config.server.timeouts,
    };
    let draining = Arc::new(AtomicBool::new(false));
    let connections = Connections::new(config.server.connections, Arc::clone(&metrics));
    let connections = Arc::new(connections);
    let (listeners, traffic, mut socket_files) = take_apart(traffic);
    let server = listener::serve(config, listeners, &shared, &connections, &tls)
        .map_err(StartError::Server)?;
    let handle = server.handle();
    let server = actix_rt::spawn(server);
    let admin = admin::State { metrics: Arc::clone(&metrics), draining: Arc::clone(&draining) };
    let admin_server =
        admin::serve(&config.admin, admin_bound.listener, admin).map_err(StartError::Server)?;
    let admin_handle = admin_server.handle();
    actix_rt::spawn(admin_server);
    socket_files.extend(admin_bound.file);
    let watching = tls.watch().map_err(StartError::Watch)?;
    let acme = acme::start(config, Arc::clone(&metrics.acme)).map_err(StartError::Acme)?;
    open_files::warn_if_too_few(open_files, config.server.connections.all);
    Ok(Running {
        traffic,
        admin: admin_bound.address,
        drain_delay: config.server.drain_delay,
        drain_timeout: config.server.drain_timeout,
        handle,
        server,
        admin_handle,
        draining,
        connections,
        metrics,
        log_writer,
        _watching: watching,
        acme,
        _socket_files: socket_files,
    })
}

fn take_apart(bound: Vec<Bound>) -> (Vec<Listener>, Vec<ListenAddress>, Vec<SocketFile>) {
    let (mut listeners, mut addresses, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for one in bound {
        listeners.push(one.listener);
        addresses.push(one.address);
        files.extend(one.file);
    }
    (listeners, addresses, files)
}

impl Running {
    /// Lets running requests finish: `/readyz` turns 503, `drain_delay` passes, listeners and idle
    /// connections close, and what still runs has `drain_timeout` to end.
    pub async fn drain(&self) -> Drained {
        self.draining.store(true, Ordering::Relaxed);
        self.acme.iter().for_each(AcmeTask::begin_nothing);
        tracing::info!(in_flight = self.metrics.in_flight(), "draining");
        actix_rt::time::sleep(self.drain_delay).await;
        let stopping = actix_rt::spawn(self.handle.stop(true));
        let closed = self.connections.all_closed();
        let in_time = actix_rt::time::timeout(self.drain_timeout, closed).await.is_ok();
        stopping.abort();
        match self.metrics.in_flight() {
            0 => Drained::Whole,
            _ if in_time => Drained::Whole,
            cut => Drained::Cut(cut),
        }
    }

    /// Requests that have begun and not ended.
    pub fn in_flight(&self) -> u64 {
        self.metrics.in_flight()
    }

    /// Ends everything at once; the last access lines are still written.
    pub async fn stop(self) {
        self.server.abort();
        // Aborting is the only way: a second stop is never read by a server that is stopping.
        let _ = self.server.await;
        self.admin_handle.stop(false).await;
        if let Some(writer) = self.log_writer {
            let written = actix_rt::task::spawn_blocking(move || writer.join());
            let _ = actix_rt::time::timeout(LAST_LINES, written).await;
        }
    }
}
