//! What one worker thread owns: its pools, its timers, its shard of the metrics and its part of
//! the access log. Stages get it by `Rc`; nothing in it is shared with another thread but the
//! numbers that others read.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    sync::Arc,
};

use rand::rngs::SmallRng;

use crate::{
    auth::{Authenticator, Parts},
    clock::Deadlines,
    config::{CallConfig, ClientTimeouts, HeadBounds},
    downstream::ConnTable,
    forward::mirror::Copies,
    gateway::Gateway,
    http2::KnownFields,
    rate_limit::SharedStore,
    record::Index,
    retry::budget::RetryBudget,
    scratch::Scratch,
    service::{Endpoint, Service},
    telemetry::{
        access_log::AccessLog,
        log_writer::LogSender,
        metrics::{Metrics, Shard},
    },
    tls::upstream::UpstreamConnectors,
    upstream::{Dialer, Pool, Resolver, SWEEP_INTERVAL, call::Caller},
    vitals::Vitals,
};

/// What all workers share.
#[derive(Clone)]
pub struct Shared {
    pub gateway: Arc<Gateway>,
    pub metrics: Arc<Metrics>,
    pub resolver: Arc<Resolver>,
    pub connectors: Arc<UpstreamConnectors>,
    /// `None` if requests are not logged.
    pub access_log: Option<LogSender>,
    pub heads: HeadBounds,
    pub http2_window: u32,
    pub timeouts: ClientTimeouts,
    pub vitals: Vitals,
}

pub struct Worker {
    pub gateway: Arc<Gateway>,
    pub deadlines: Rc<Deadlines>,
    pub shard: Rc<Shard>,
    pub access_log: Option<Rc<AccessLog>>,
    pub rng: RefCell<SmallRng>,
    /// The client connections.
    pub conns: Rc<ConnTable>,
    pub known_fields: Rc<KnownFields>,
    dialers: Vec<Dialer>,
    pools: Vec<Rc<Pool>>,
    budgets: Vec<RetryBudget>,
    authenticators: Vec<Authenticator>,
    /// `None` if no rate limit is shared with other processes.
    pub shared_limits: Option<SharedStore>,
    /// By scheme.
    callers: Vec<Option<Rc<Caller>>>,
    /// Copies of requests that are on their way.
    pub copies: Copies,
}

impl Worker {
    /// Builds the worker on its own thread, and starts its background tasks there.
    pub fn start(shared: Shared) -> Rc<Self> {
        let shard = Rc::new(shared.metrics.shard());
        let (deadlines, keeper) = Deadlines::new();
        let vitals = shared.vitals.clone();
        vitals.watch_thread("worker");
        drop(vitals.spawn("deadlines of a worker", keeper));
        let access_log = shared.access_log.clone().map(AccessLog::new);
        let scratch = Scratch::default();
        let resolver = &*shared.resolver;
        let dialer = |(service, endpoint): (&Service, &Endpoint)| {
            let (scratch, counted) = (scratch.clone(), shard.connections());
            let host = endpoint.tls.as_ref();
            let handshake = host.map(|host| shared.connectors.handshake(service.index, host));
            Dialer::new(&endpoint.address, handshake, resolver, scratch, counted)
        };
        let callers = callers(&shared, &deadlines, &scratch);
        let gateway = &shared.gateway;
        let authenticators =
            gateway.schemes.iter().zip(&callers).zip(&gateway.key_sources).zip(&gateway.guesses);
        let authenticators = authenticators.map(|(((config, caller), keys), guesses)| {
            Authenticator::new(&Parts {
                config,
                caller: caller.as_ref(),
                key_source: keys.as_ref(),
                passwords: &gateway.passwords,
                guesses: guesses.as_ref(),
                now: gateway.now(),
            })
        });
        let (conns, watch) =
            ConnTable::new(shared.heads, shared.http2_window, shared.timeouts, scratch.clone());
        drop(vitals.spawn("deadlines of clients", watch));
        let dialers: Vec<Dialer> = shared.gateway.endpoints().map(dialer).collect();
        let pools = shared.gateway.endpoints().zip(&dialers).map(|((service, _), dialer)| {
            Rc::new(Pool::new(service.pool, dialer.name(), shard.connections()))
        });
        let pools = pools.collect();
        let worker = Rc::new(Self {
            dialers,
            pools,
            authenticators: authenticators.collect(),
            callers,
            shared_limits: SharedStore::new(&shared.gateway.rate_limits),
            copies: Copies::default(),
            budgets: shared
                .gateway
                .services()
                .iter()
                .map(|one| RetryBudget::new(one.retry.budget))
                .collect(),
            gateway: shared.gateway,
            deadlines,
            shard,
            access_log,
            rng: RefCell::new(rand::make_rng()),
            conns,
            known_fields: Rc::default(),
        });
        drop(vitals.spawn("sweep of a worker", sweep(Rc::downgrade(&worker))));
        worker
    }

    /// Opens connections to an endpoint.
    pub fn dialer(&self, endpoint: Index) -> &Dialer {
        &self.dialers[endpoint as usize]
    }

    /// What this worker may retry of the requests of a service.
    pub fn budget(&self, service: Index) -> &RetryBudget {
        &self.budgets[service as usize]
    }

    /// Checks requests for an auth scheme.
    pub fn authenticator(&self, scheme: usize) -> &Authenticator {
        &self.authenticators[scheme]
    }

    /// Idle connections to an endpoint.
    pub fn pool(&self, endpoint: Index) -> &Rc<Pool> {
        &self.pools[endpoint as usize]
    }
}

impl Worker {
    /// What is left of each budget, for the metrics.
    fn tell_budgets(&self) {
        let now = self.gateway.now();
        for (budget, service) in self.budgets.iter().zip(0..) {
            self.shard.budget_left(service, budget.left(now));
        }
    }
}

/// Who asks for each scheme. Whom they ask is no endpoint, and is not counted among them.
fn callers(
    shared: &Shared,
    deadlines: &Rc<Deadlines>,
    scratch: &Scratch,
) -> Vec<Option<Rc<Caller>>> {
    let schemes = shared.gateway.schemes.iter().enumerate();
    let callers = schemes.map(|(index, scheme)| {
        let CallConfig { url, .. } = scheme.call()?;
        let host = url.endpoint.tls.as_ref();
        let handshake = host.map(|host| shared.connectors.handshake_of_scheme(index, host));
        let (address, scratch) = (&url.endpoint.address, scratch.clone());
        let dialer = Dialer::new(address, handshake, &shared.resolver, scratch, Arc::default());
        Some(Rc::new(Caller::new(url, dialer, deadlines)))
    });
    callers.collect()
}

async fn sweep(worker: Weak<Worker>) {
    let mut interval = actix_rt::time::interval(SWEEP_INTERVAL);
    interval.tick().await;
    while let Some(live) = worker.upgrade() {
        live.pools.iter().for_each(|pool| pool.sweep());
        live.callers.iter().flatten().for_each(|caller| caller.sweep());
        let now = live.gateway.now();
        live.authenticators.iter().for_each(|one| one.refresh(now));
        live.tell_budgets();
        drop(live);
        interval.tick().await;
    }
}
