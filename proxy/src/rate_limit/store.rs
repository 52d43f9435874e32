//! Limits that several processes share, counted in Redis: one script a decision, one connection a
//! worker, which carries all decisions at once.
//!
//! A store that does not answer in time costs its first requests the timeout, and then nothing: for a
//! second it counts as down and nobody waits for it, then one request tries it. What becomes of requests
//! without a decision is not decided here.

use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use redis::{
    RedisError, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::time::{Instant, timeout};

use super::{
    gcra::{Decision, Quota},
    limit::RateLimits,
};
use crate::{
    config::{OnFailure, RedisConfig},
    error::chain,
};

const SCRIPT: &str = include_str!("gcra.lua");
/// How long a store that has failed is left alone.
const DOWN: Duration = Duration::from_secs(1);
/// Decisions of one worker that wait for the store.
const MOST_WAITING: usize = 1024;

/// There is no decision.
#[derive(Debug)]
pub struct Unavailable;

/// The store as one worker has it.
pub struct SharedStore {
    redis: RedisConfig,
    pub on_failure: OnFailure,
    script: Script,
    connection: RefCell<Connection>,
    waiting: Cell<usize>,
    /// When it is tried again; `None` while it is up.
    down_until: Cell<Option<Instant>>,
    /// Workers for which it is down: the first says so, and the last that it is back.
    down: Arc<AtomicU32>,
}

/// Opened when it is first wanted, and given up with the first failure: the next has a new one.
#[derive(Default)]
struct Connection {
    opened: Option<ConnectionManager>,
    /// How many there have been.
    number: u64,
}

#[derive(Debug, thiserror::Error)]
enum StoreError {
    #[error("redis")]
    Redis(#[from] RedisError),
    #[error("no answer in time")]
    Timeout(#[from] tokio::time::error::Elapsed),
}

/// Counts one that waits, until it is dropped.
struct Waiting<'a>(&'a Cell<usize>);

impl SharedStore {
    /// `None` if no limit is shared.
    pub fn new(limits: &RateLimits) -> Option<Self> {
        let redis = limits.redis.clone().filter(|_| limits.are_shared())?;
        Some(Self {
            on_failure: redis.on_failure,
            redis,
            script: Script::new(SCRIPT),
            connection: RefCell::default(),
            waiting: Cell::new(0),
            down_until: Cell::new(None),
            down: Arc::clone(&limits.down),
        })
    }

    /// Counts one request of `key`, unless it is refused.
    ///
    /// # Errors
    /// The store is down, or did not answer in time, or too many wait for it.
    pub async fn take(&self, key: String, quota: &Quota) -> Result<Decision, Unavailable> {
        let is_trial = self.may_ask(Instant::now())?;
        let _waiting = Waiting::new(&self.waiting).ok_or(Unavailable)?;
        let answer = timeout(self.redis.timeout, self.ask(&key, quota)).await;
        match answer.map_err(StoreError::from).and_then(|answer| Ok(answer?)) {
            Ok((is_allowed, nanos)) => {
                // Others that were on their way when it went down say nothing: it would be up and down
                // with each of them.
                if is_trial {
                    self.is_up();
                }
                Ok(quota.decided(is_allowed, nanos))
            }
            Err(error) => {
                self.is_down(&error);
                Err(Unavailable)
            }
        }
    }

    /// Whether this would be the trial of a store that was down: then nobody else tries it for a while.
    fn may_ask(&self, now: Instant) -> Result<bool, Unavailable> {
        match self.down_until.get() {
            None => Ok(false),
            Some(until) if now >= until => {
                self.down_until.set(Some(now + DOWN));
                Ok(true)
            }
            Some(_) => Err(Unavailable),
        }
    }

    async fn ask(&self, key: &str, quota: &Quota) -> Result<(bool, u64), RedisError> {
        let (interval, depth) = quota.micros();
        let mut call = self.script.key(key);
        call.arg(interval).arg(depth);
        let (mut connection, number) = self.connection()?;
        let first = call.invoke_async(&mut connection).await;
        match first {
            // A connection that was idle may have been closed: that is no failure yet. If the answer was
            // lost and not the question, this request is counted twice.
            Err(error) if error.is_connection_dropped() => {
                self.give_up(number);
                let (mut connection, _) = self.connection()?;
                call.invoke_async(&mut connection).await
            }
            first => first,
        }
    }

    fn connection(&self) -> Result<(ConnectionManager, u64), RedisError> {
        let mut connection = self.connection.borrow_mut();
        let opened = match &connection.opened {
            Some(opened) => opened.clone(),
            None => {
                let config = ConnectionManagerConfig::new()
                    .set_number_of_retries(0)
                    .set_connection_timeout(Some(self.redis.timeout))
                    .set_response_timeout(Some(self.redis.timeout))
                    .set_pipeline_buffer_size(MOST_WAITING);
                let client = self.redis.client.clone();
                let opened = ConnectionManager::new_lazy_with_config(client, config)?;
                connection.opened = Some(opened.clone());
                connection.number += 1;
                opened
            }
        };
        Ok((opened, connection.number))
    }

    /// The next decision has a new connection, unless there is one already.
    fn give_up(&self, number: u64) {
        let mut connection = self.connection.borrow_mut();
        if connection.number == number {
            connection.opened = None;
        }
    }

    fn is_up(&self) {
        if self.down_until.take().is_some() && self.down.fetch_sub(1, Relaxed) == 1 {
            tracing::info!("the store of rate limits is back");
        }
    }

    fn is_down(&self, error: &StoreError) {
        self.connection.borrow_mut().opened = None;
        let was_up = self.down_until.replace(Some(Instant::now() + DOWN)).is_none();
        if was_up && self.down.fetch_add(1, Relaxed) == 0 {
            tracing::warn!(error = chain(error), "the store of rate limits does not answer");
        }
    }
}

impl<'a> Waiting<'a> {
    fn new(waiting: &'a Cell<usize>) -> Option<Self> {
        if waiting.get() >= MOST_WAITING {
            return None;
        }
        waiting.set(waiting.get() + 1);
        Some(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
