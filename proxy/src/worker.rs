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
    clock::Deadlines,
    config::{ClientTimeouts, HeadBounds},
    gateway::Gateway,
    http1::ConnTable,
    record::Index,
    scratch::Scratch,
    service::{Endpoint, Service},
    telemetry::{
        access_log::{AccessLog, LogSender},
        metrics::{Metrics, Shard},
    },
    upstream::{Dialer, Pool, Resolver, SWEEP_INTERVAL},
};

/// What all workers share.
#[derive(Clone)]
pub struct Shared {
    pub gateway: Arc<Gateway>,
    pub metrics: Arc<Metrics>,
    pub resolver: Arc<Resolver>,
    /// `None` if requests are not logged.
    pub access_log: Option<LogSender>,
    pub heads: HeadBounds,
    pub timeouts: ClientTimeouts,
}

pub struct Worker {
    pub gateway: Arc<Gateway>,
    pub deadlines: Rc<Deadlines>,
    pub shard: Rc<Shard>,
    pub access_log: Option<Rc<AccessLog>>,
    pub rng: RefCell<SmallRng>,
    /// The client connections.
    pub conns: Rc<ConnTable>,
    dialers: Vec<Dialer>,
    pools: Vec<Rc<Pool>>,
}

impl Worker {
    /// Builds the worker on its own thread, and starts its background tasks there.
    pub fn start(shared: Shared) -> Rc<Self> {
        let shard = Rc::new(shared.metrics.shard());
        let (deadlines, keeper) = Deadlines::new();
        actix_rt::spawn(keeper);
        let access_log = shared.access_log.map(|sender| {
            let shard = Rc::clone(&shard);
            AccessLog::new(sender, move |lines| shard.log_lines_dropped(lines))
        });
        let scratch = Scratch::default();
        let resolver = &*shared.resolver;
        let dialer = |(_, endpoint): (&Service, &Endpoint)| {
            Dialer::new(&endpoint.address, resolver, scratch.clone(), shard.connections())
        };
        let pool = |_| Rc::new(Pool::new(shard.connections()));
        let worker = Rc::new(Self {
            dialers: shared.gateway.endpoints().map(dialer).collect(),
            pools: shared.gateway.endpoints().map(pool).collect(),
            gateway: shared.gateway,
            deadlines,
            shard,
            access_log,
            rng: RefCell::new(rand::make_rng()),
            conns: ConnTable::new(shared.heads, shared.timeouts, scratch.clone()),
        });
        actix_rt::spawn(sweep(Rc::downgrade(&worker)));
        worker
    }

    /// Opens connections to an endpoint.
    pub fn dialer(&self, endpoint: Index) -> &Dialer {
        &self.dialers[endpoint as usize]
    }

    /// Idle connections to an endpoint.
    pub fn pool(&self, endpoint: Index) -> &Rc<Pool> {
        &self.pools[endpoint as usize]
    }
}

async fn sweep(worker: Weak<Worker>) {
    let mut interval = actix_rt::time::interval(SWEEP_INTERVAL);
    interval.tick().await;
    while let Some(live) = worker.upgrade() {
        live.pools.iter().for_each(|pool| pool.sweep());
        drop(live);
        interval.tick().await;
    }
}
