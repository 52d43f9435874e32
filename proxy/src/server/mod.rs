//! The running process: listeners, workers and the admin listener, from start to drain.
//!
//! `start` binds every address before anything is served, so that a port in use stops the start
//! as a whole. `main` and the tests use the same door.

mod connections;
mod crowd;
#[cfg(fuzzing)]
pub mod fuzz;
mod hello;
mod listener;
mod open_files;
mod preface;
mod proxy_protocol;
mod room;
mod start_error;
mod still_listening;
mod tls;
mod turn_away;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use actix_rt::task::JoinHandle;
use actix_server::{Server, ServerHandle};

use self::connections::Connections;
pub use self::start_error::{StartError, remedy};
use self::still_listening::Doubles;
use crate::{
    admin::{self, Readiness, metrics::Numbers},
    bind::{Bound, Listener, SocketFile, bind},
    config::{Config, ListenAddress},
    gateway::{Gateway, Snapshots},
    health::Checks,
    telemetry::{
        log_writer::{self, LogSender, LogWriter},
        metrics::{InFlightNow, Metrics},
    },
    tls::{
        Watching,
        acme::{self, AcmeTask},
        open_all,
        upstream::UpstreamConnectors,
    },
    upstream::Resolver,
    vitals::Vitals,
    worker::Shared,
};

/// A started proxy.
pub struct Running {
    /// Where traffic is taken, in the order of the configuration.
    pub traffic: Vec<ListenAddress>,
    pub admin: ListenAddress,
    drain_delay: Duration,
    drain_timeout: Duration,
    handle: ServerHandle,
    server: JoinHandle<io::Result<()>>,
    /// Ended before the listeners are to close.
    still_listening: JoinHandle<()>,
    admin_handle: ServerHandle,
    readiness: Arc<Readiness>,
    connections: Arc<Connections>,
    snapshots: Snapshots,
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
    /// Every request that had begun was answered. A tunnel that is closed was answered by its 101:
    /// it has no end of its own that could be waited for.
    Whole,
    /// This many requests were cut.
    Cut(u64),
}

/// Binds, builds and serves. Once it returns, every part of it runs.
///
/// # Errors
/// A file of the configuration that cannot be used, an address that cannot be bound, or too few
/// threads or files; nothing is served then.
pub fn start(config: &Config, vitals: &Vitals) -> Result<Running, StartError> {
    let (tls, connectors) = open_all(config).map_err(|errors| config.refuse(errors))?;
    let open_files = open_files::raise_limit();
    let (traffic, admin_bound) = bind_all(config)?;
    let doubles = Doubles::of(traffic.iter().chain([&admin_bound]))
        .map_err(|source| StartError::Server { source })?;
    room::look_for(config.server.workers.get())?;
    vitals.watch_acceptors();
    let snapshots = Snapshots::new(Gateway::build(config, None).with(connectors));
    let metrics = Arc::<Metrics>::default();
    let (access_log, log_writer) = start_access_log(config, &metrics, vitals)?;
    let resolver = Resolver::start(Arc::clone(&metrics.lookups), vitals.vital("resolver"))
        .map_err(|source| StartError::Resolver { source })?;
    let checks = Checks::new(Arc::clone(&resolver)).follow(snapshots.follow());
    drop(vitals.spawn("health checks", checks));
    let shared = Shared {
        present: snapshots.follow(),
        resolver,
        metrics: Arc::clone(&metrics),
        access_log,
        heads: config.server.heads,
        http2_window: config.server.http2_window,
        timeouts: config.server.timeouts,
        vitals: vitals.clone(),
    };
    let readiness = Arc::<Readiness>::default();
    let connections = Arc::new(limit_connections(config, open_files, &metrics));
    let (listeners, traffic, mut socket_files) = take_apart(traffic);
    let (present, metrics_shown) = (snapshots.follow(), Arc::clone(&metrics));
    let admin = admin::State {
        numbers: Numbers { metrics: metrics_shown, present, tls: Arc::clone(&tls) },
        readiness: Arc::clone(&readiness),
        vitals: vitals.clone(),
    };
    let admin_server = begin(admin::serve(&config.admin, admin_bound.listener, admin))?;
    socket_files.extend(admin_bound.file);
    let watching = Arc::clone(&tls).watch(vitals).map_err(|source| StartError::Watch { source })?;
    let acme = acme::start(config, Arc::clone(&metrics.acme), vitals)
        .map_err(|source| StartError::Acme { source })?;
    // Last: whoever is accepted is served.
    let server = begin(listener::serve(config, listeners, &shared, &connections, &tls))?;
    readiness.begin();
    let admin_handle = admin_server.handle();
    drop(vitals.spawn("admin listener", admin_server));
    Ok(Running {
        traffic,
        admin: admin_bound.address,
        drain_delay: config.server.drain_delay,
        drain_timeout: config.server.drain_timeout,
        handle: server.handle(),
        server: vitals.spawn("server", server),
        still_listening: vitals.spawn("listener", doubles.one_has_ended()),
        admin_handle,
        readiness,
        connections,
        snapshots,
        metrics,
        log_writer,
        _watching: watching,
        acme,
        _socket_files: socket_files,
    })
}

/// As many as the file says, with a warning if the system has too few files for them, or as it has
/// files for.
fn limit_connections(
    config: &Config,
    open_files: Option<u64>,
    metrics: &Arc<Metrics>,
) -> Connections {
    let limits = config.server.connections;
    let most = match limits.all {
        Some(asked) => {
            open_files::warn_if_too_few(open_files, asked);
            asked
        }
        None => open_files::room_for_clients(open_files, config.server.workers.get()),
    };
    Connections::new(most, limits.per_client, Arc::clone(metrics))
}

/// The listeners of traffic in their order, and the admin listener.
fn bind_all(config: &Config) -> Result<(Vec<Bound>, Bound), StartError> {
    let bind = |address: &ListenAddress, mode| {
        bind(address, mode).map_err(|source| StartError::Bind { address: address.clone(), source })
    };
    let traffic = config.listeners.iter().map(|one| bind(&one.bind, one.mode));
    let traffic: Vec<Bound> = traffic.collect::<Result<_, _>>()?;
    Ok((traffic, bind(&config.admin.bind, config.admin.mode)?))
}

/// Where lines go and who writes them; nobody and nowhere if requests are not logged.
fn start_access_log(
    config: &Config,
    metrics: &Metrics,
    vitals: &Vitals,
) -> Result<(Option<LogSender>, Option<LogWriter>), StartError> {
    if !config.log.access {
        return Ok((None, None));
    }
    let started = log_writer::start(&metrics.log_losses, vitals.vital("access log"));
    let (sender, writer) = started.map_err(|source| StartError::AccessLog { source })?;
    Ok((Some(sender), Some(writer)))
}

/// Starts the workers and the acceptor of a server: it does so when it is polled for the first
/// time, waits for all of them, and panics where the system gives it no thread.
fn begin(server: io::Result<Server>) -> Result<Server, StartError> {
    let mut server = server.map_err(|source| StartError::Server { source })?;
    let poll = || Pin::new(&mut server).poll(&mut Context::from_waker(Waker::noop()));
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(Poll::Pending) => Ok(server),
        Ok(Poll::Ready(Err(source))) => Err(StartError::Server { source }),
        Ok(Poll::Ready(Ok(()))) => {
            Err(StartError::Server { source: io::Error::other("it has ended at once") })
        }
        Err(payload) => Err(StartError::panicked(&*payload)),
    }
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
    /// Answers what begins from now on by `config`, as far as that lies in a snapshot: routes, services,
    /// schemes and limits. Listeners stay as they are.
    ///
    /// # Errors
    /// A file that services or schemes name cannot be used; nothing has changed then.
    pub fn replace(&self, config: &Config) -> Result<(), StartError> {
        let connectors = UpstreamConnectors::build(&config.services, &config.auth_schemes);
        let connectors = connectors.map_err(|errors| config.refuse(errors))?;
        let next = Gateway::build(config, Some(&self.snapshots.now()));
        self.snapshots.set(next.with(Arc::new(connectors)));
        Ok(())
    }

    /// Lets running requests finish: `/readyz` turns 503, `drain_delay` passes, listeners and idle
    /// connections close, and what still runs has `drain_timeout` to end.
    pub async fn drain(&self) -> Drained {
        self.readiness.end();
        self.acme.iter().for_each(AcmeTask::begin_nothing);
        let InFlightNow { requests, tunnels } = self.metrics.in_flight();
        tracing::info!(in_flight = requests, tunnels, "draining");
        actix_rt::time::sleep(self.drain_delay).await;
        self.still_listening.abort();
        let stopping = actix_rt::spawn(self.handle.stop(true));
        let closed = self.connections.all_closed();
        let in_time = actix_rt::time::timeout(self.drain_timeout, closed).await.is_ok();
        stopping.abort();
        if in_time { Drained::Whole } else { self.cut() }
    }

    /// What becomes of requests and tunnels if they are ended now.
    pub fn cut(&self) -> Drained {
        let InFlightNow { requests, tunnels } = self.metrics.in_flight();
        if tunnels > 0 {
            tracing::info!(tunnels, "tunnels are closed");
        }
        if requests == 0 { Drained::Whole } else { Drained::Cut(requests) }
    }

    /// Ends everything at once; the last access lines are still written.
    pub async fn stop(self) {
        self.server.abort();
        // Aborting is the only way: a second stop is never read by a server that is stopping.
        let _ = self.server.await;
        self.admin_handle.stop(false).await;
        if let Some(writer) = self.log_writer
            && !writer.has_ended().await
        {
            tracing::warn!("the last access lines are lost: stdout does not take them");
        }
    }
}
