//! Limits that several processes share, counted in Redis: one script a decision. This file decides how
//! long a decision is waited for, and when the store is down.
//!
//! To wait in our own queue is no failure of the store, nor is one late answer: while it answers others,
//! a decision waits its turn, and it is late when there has been no answer at all for `timeout` while
//! this worker had the time to look. The store is down when nobody can connect to it, or after several
//! failures in a row (`health.rs`). Then nobody waits for it, and a task tries it each second, whether
//! or not there are requests. What becomes of requests without a decision is not decided here.

use std::{
    cell::{Cell, RefCell},
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use super::{
    gcra::{Decision, Quota},
    health::Health,
    limit::RateLimits,
    link::{Link, LinkError},
};
use crate::{config::OnFailure, error::chain};

/// Between two tries of a store that is down.
const DOWN: Duration = Duration::from_secs(1);
/// Decisions of one worker that wait for the store; others wait until one of them is made.
const MOST_WAITING: usize = 1024;
/// So many timeouts a decision waits while others are made, or while this worker is busy.
const MOST_TIMEOUTS: u32 = 4;
/// One turn of the event loop: when a worker was busy, answers that came in the meantime have not been
/// read when its timers are up.
const TURN: Duration = Duration::from_millis(2);
/// A timer that is up later than that was not looked at in time: nor were answers.
const BUSY: Duration = Duration::from_millis(10);
/// A key of nobody, to see whether the store decides.
const TRIAL: &str = "proxy:rl::trial";
const TRIAL_MICROS: (f64, f64) = (1.0, 1.0);

/// Why there is no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The store is well, as far as is known.
    Late,
    Down,
}

/// The store as one worker has it.
pub struct SharedStore {
    pub on_failure: OnFailure,
    store: Rc<Store>,
    proof: RefCell<Option<Proof>>,
}

/// Whether the store decides, for all who want to know it at the same time.
type Proof = Shared<LocalBoxFuture<'static, Result<(), Undecided>>>;

struct Store {
    timeout: Duration,
    link: Link,
    health: Health,
    places: Semaphore,
    /// Workers for which it is down: the first says so, and the last that it is back.
    down: Arc<AtomicU32>,
}

#[derive(Debug, thiserror::Error)]
enum StoreError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("no answer in time")]
    Silent,
    /// We are, or the store is with others.
    #[error("too much to do")]
    Busy,
}

impl SharedStore {
    /// `None` if no limit is shared.
    pub fn new(limits: &RateLimits) -> Option<Self> {
        let redis = limits.redis.clone().filter(|_| limits.are_shared())?;
        let on_failure = redis.on_failure;
        let store = Store {
            timeout: redis.timeout,
            link: Link::new(redis, MOST_WAITING),
            health: Health::default(),
            places: Semaphore::new(MOST_WAITING),
            down: Arc::clone(&limits.down),
        };
        Some(Self { on_failure, store: Rc::new(store), proof: RefCell::default() })
    }

    /// Counts one request of `key`, unless it is refused.
    ///
    /// # Errors
    /// The store is down, or has not decided in time.
    pub async fn take(&self, key: &str, quota: &Quota) -> Result<Decision, Undecided> {
        let (is_allowed, nanos) = self.store.ask(key, quota.micros()).await?;
        Ok(quota.decided(is_allowed, nanos))
    }

    /// Whether the store decides; it is asked if it has not just answered somebody.
    ///
    /// # Errors
    /// As those of `take`.
    pub async fn prove(&self) -> Result<(), Undecided> {
        if self.store.health.has_answered_within(self.store.timeout, Instant::now()) {
            return Ok(());
        }
        self.proof().await
    }

    fn proof(&self) -> Proof {
        let mut proof = self.proof.borrow_mut();
        if let Some(running) = proof.clone().filter(|running| running.peek().is_none()) {
            return running;
        }
        let store = Rc::clone(&self.store);
        let asking = async move { store.ask(TRIAL, TRIAL_MICROS).await.map(|_| ()) };
        let next = asking.boxed_local().shared();
        *proof = Some(next.clone());
        next
    }
}

impl Store {
    async fn ask(self: &Rc<Self>, key: &str, micros: (f64, f64)) -> Result<(bool, u64), Undecided> {
        if self.health.is_down() {
            return Err(Undecided::Down);
        }
        let asked = Cell::new(None);
        let asking = async {
            let _place = self.places.acquire().await;
            asked.set(Some(Instant::now()));
            self.link.ask(key, micros).await
        };
        match self.in_time(asking).await {
            Ok(decided) => {
                self.health.answered(Instant::now());
                return Ok(decided);
            }
            Err(error) => {
                if let Some(asked) = asked.get() {
                    self.failed(&error, asked);
                }
            }
        }
        Err(if self.health.is_down() { Undecided::Down } else { Undecided::Late })
    }

    fn failed(self: &Rc<Self>, error: &StoreError, asked: Instant) {
        let is_over = match error {
            StoreError::Busy => return,
            // Who cannot connect has tried more than once.
            StoreError::Link(LinkError::Closed(_)) => true,
            StoreError::Link(LinkError::Refused(_)) | StoreError::Silent => {
                self.health.failed(asked, Instant::now())
            }
        };
        if !is_over || !self.health.goes_down() {
            return;
        }
        if self.down.fetch_add(1, Relaxed) == 0 {
            tracing::warn!(error = chain(error), "the store of rate limits does not answer");
        }
        actix_rt::spawn(Rc::clone(self).recover());
    }

    /// What comes of `asking`, unless there are no answers at all for a while.
    async fn in_time<T>(
        &self,
        asking: impl Future<Output = Result<T, LinkError>>,
    ) -> Result<T, StoreError> {
        let mut asking = pin!(asking);
        for _ in 0..MOST_TIMEOUTS {
            let (began, before) = (Instant::now(), self.link.answers());
            for time in [self.timeout, TURN] {
                if let Ok(answered) = timeout(time, &mut asking).await {
                    return Ok(answered?);
                }
            }
            let is_busy = began.elapsed() > self.timeout + TURN + BUSY;
            if !is_busy && self.link.answers() == before {
                return Err(StoreError::Silent);
            }
        }
        Err(StoreError::Busy)
    }

    /// Tries the store until it decides again.
    async fn recover(self: Rc<Self>) {
        loop {
            self.link.renew();
            sleep(DOWN).await;
            if self.in_time(self.link.ask(TRIAL, TRIAL_MICROS)).await.is_ok() {
                break;
            }
        }
        self.health.comes_back(Instant::now());
        if self.down.fetch_sub(1, Relaxed) == 1 {
            tracing::info!("the store of rate limits is back");
        }
    }
}
