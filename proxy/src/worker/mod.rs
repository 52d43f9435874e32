//! What one worker thread owns for its life: its timers, its shard of the metrics, its part of the
//! access log, its client connections; and the present `Site`, its half of a snapshot. Stages get it by
//! `Rc`; nothing in it is shared with another thread but the numbers that others read.

mod hop;
mod in_flight;
mod site;

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::Arc,
};

use rand::rngs::SmallRng;

pub use self::{
    hop::{End, Hop},
    in_flight::{InFlight, Permit},
    site::{Scheme, Site},
};
use crate::{
    clock::{Clock, Deadlines},
    config::{ClientTimeouts, HeadBounds},
    downstream::ConnTable,
    forward::mirror::Copies,
    gateway::{Gateway, Present},
    http2::KnownFields,
    ids::Ids,
    scratch::Scratch,
    telemetry::{
        access_log::AccessLog,
        log_writer::LogSender,
        metrics::{Metrics, Shard},
    },
    upstream::{Dialing, Resolver, SWEEP_INTERVAL},
    vitals::Vitals,
};

/// What all workers share.
#[derive(Clone)]
pub struct Shared {
    pub present: Present,
    pub metrics: Arc<Metrics>,
    pub resolver: Arc<Resolver>,
    /// `None` if requests are not logged.
    pub access_log: Option<LogSender>,
    pub heads: HeadBounds,
    pub http2_window: u32,
    pub timeouts: ClientTimeouts,
    pub vitals: Vitals,
}

pub struct Worker {
    pub clock: Clock,
    pub deadlines: Rc<Deadlines>,
    pub shard: Rc<Shard>,
    pub access_log: Option<Rc<AccessLog>>,
    pub rng: RefCell<SmallRng>,
    /// The client connections.
    pub conns: Rc<ConnTable>,
    pub known_fields: Rc<KnownFields>,
    /// Copies of requests that are on their way.
    pub copies: Copies,
    dialing: Rc<Dialing>,
    site: RefCell<Rc<Site>>,
    ids: Arc<Ids>,
    /// How often ids had been forgotten when this worker last forgot their series.
    forgotten: Cell<u64>,
}

impl Worker {
    /// Builds the worker on its own thread, and starts its background tasks there.
    pub fn start(shared: Shared) -> Rc<Self> {
        let shard = Rc::new(shared.metrics.shard());
        let (deadlines, keeper) = Deadlines::new();
        let vitals = shared.vitals.clone();
        vitals.watch_thread("worker");
        drop(vitals.spawn("deadlines of a worker", keeper));
        let scratch = Scratch::default();
        let (conns, watch) =
            ConnTable::new(shared.heads, shared.http2_window, shared.timeouts, scratch.clone());
        drop(vitals.spawn("deadlines of clients", watch));
        let dialing = Rc::new(Dialing::new(shared.resolver, scratch, shard.connections()));
        let mut present = shared.present;
        let gateway = present.take();
        let (clock, ids) = (gateway.clock, Arc::clone(&gateway.ids));
        let site = Site::build(gateway, &dialing, &deadlines, None);
        let worker = Rc::new(Self {
            clock,
            deadlines,
            shard,
            access_log: shared.access_log.map(AccessLog::new),
            rng: RefCell::new(rand::make_rng()),
            conns,
            known_fields: Rc::default(),
            copies: Copies::default(),
            dialing,
            site: RefCell::new(Rc::new(site)),
            ids,
            forgotten: Cell::default(),
        });
        drop(vitals.spawn("snapshots of a worker", follow(Rc::downgrade(&worker), present)));
        drop(vitals.spawn("sweep of a worker", sweep(Rc::downgrade(&worker))));
        worker
    }

    /// This thread's half of the present snapshot.
    pub fn site(&self) -> Rc<Site> {
        Rc::clone(&self.site.borrow())
    }

    /// Requests that begin from now on are answered by `gateway`.
    fn move_to(&self, gateway: Arc<Gateway>) {
        let before = self.site();
        let next = Site::build(gateway, &self.dialing, &self.deadlines, Some(&before));
        self.site.replace(Rc::new(next));
    }

    /// What is left of each budget, for the metrics.
    fn tell_budgets(&self) {
        let now = self.clock.now();
        for hop in self.site().hops() {
            self.shard.budget_left(hop.service.id, hop.budget.left(now));
        }
    }

    /// Lets go of the series of things that have gone long ago.
    fn forget_series(&self) {
        let Some(mut tables) = self.ids.try_tables() else { return };
        let forgotten = tables.forget(self.clock.now());
        if self.forgotten.replace(forgotten) != forgotten {
            self.shard.forget(&tables);
        }
    }
}

async fn follow(worker: Weak<Worker>, mut present: Present) {
    while let Some(gateway) = present.next().await {
        let Some(worker) = worker.upgrade() else { return };
        worker.move_to(gateway);
    }
    // The process ends: what is there serves to the last.
    std::future::pending::<()>().await;
}

async fn sweep(worker: Weak<Worker>) {
    let mut interval = actix_rt::time::interval(SWEEP_INTERVAL);
    interval.tick().await;
    while let Some(live) = worker.upgrade() {
        live.site().sweep();
        live.tell_budgets();
        live.forget_series();
        drop(live);
        interval.tick().await;
    }
}
