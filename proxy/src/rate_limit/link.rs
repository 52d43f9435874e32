//! The connection of one worker to Redis, which carries all its questions at once, and the script that
//! is asked. Opened when it is first wanted; it may take longer to open than a decision may take, and
//! goes on opening when nobody waits any more: or a store that is some way off would never be up.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared},
};
use redis::{AsyncConnectionConfig, RedisError, RedisResult, Script, aio::MultiplexedConnection};
use tokio::time::{sleep, timeout};

use crate::config::RedisConfig;

const SCRIPT: &str = include_str!("gcra.lua");
/// How long a connection may take to open.
const OPENING: Duration = Duration::from_secs(2);
/// How often it is tried to open one, within half the time of a decision.
const TRIES: u32 = 3;

pub(super) struct Link {
    redis: RedisConfig,
    script: Script,
    /// Questions that it holds until they are written.
    room: usize,
    opening: RefCell<Option<Opening>>,
    /// How many connections there have been.
    number: Cell<u64>,
    answers: Cell<u64>,
}

/// A connection, from its first step on.
type Opening = Shared<LocalBoxFuture<'static, RedisResult<MultiplexedConnection>>>;

/// What there is instead of an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("no connection")]
    Closed(#[source] RedisError),
    #[error("redis")]
    Refused(#[source] RedisError),
}

impl Link {
    pub(super) fn new(redis: RedisConfig, room: usize) -> Self {
        Self {
            redis,
            script: Script::new(SCRIPT),
            room,
            opening: RefCell::default(),
            number: Cell::default(),
            answers: Cell::default(),
        }
    }

    /// How many questions have been answered: who waits sees by it that others are.
    pub(super) fn answers(&self) -> u64 {
        self.answers.get()
    }

    /// What the script says of `key`, by an interval and a depth in microseconds.
    pub(super) async fn ask(
        &self,
        key: &str,
        (interval, depth): (f64, f64),
    ) -> Result<(bool, u64), LinkError> {
        let mut call = self.script.key(key);
        call.arg(interval).arg(depth);
        let (opening, number) = self.connection();
        let mut connection = opening.await.map_err(LinkError::Closed)?;
        let answered = match call.invoke_async(&mut connection).await {
            // A connection that was idle may have been closed: that is no failure yet. If the answer was
            // lost and not the question, this request is counted twice.
            Err(error) if error.is_connection_dropped() => {
                self.give_up(number);
                let (opening, _) = self.connection();
                let mut connection = opening.await.map_err(LinkError::Closed)?;
                call.invoke_async(&mut connection).await
            }
            first => first,
        };
        self.answers.set(self.answers.get() + u64::from(answered.is_ok()));
        answered.map_err(LinkError::Refused)
    }

    /// The next question has a new connection, unless one is still opening.
    pub(super) fn renew(&self) {
        self.opening.borrow_mut().take_if(|opening| opening.peek().is_some());
    }

    fn connection(&self) -> (Opening, u64) {
        let mut current = self.opening.borrow_mut();
        let usable = |opening: &Opening| !matches!(opening.peek(), Some(Err(_)));
        if let Some(opening) = current.clone().filter(usable) {
            return (opening, self.number.get());
        }
        let opening = open(&self.redis, self.room).boxed_local().shared();
        actix_rt::spawn(opening.clone().map(drop));
        *current = Some(opening.clone());
        self.number.set(self.number.get() + 1);
        (opening, self.number.get())
    }

    /// The next question has a new connection, unless there is one already.
    fn give_up(&self, number: u64) {
        if self.number.get() == number {
            *self.opening.borrow_mut() = None;
        }
    }
}

/// Opens a connection, whoever waits for it. A server that is just starting refuses the first tries.
fn open(
    redis: &RedisConfig,
    room: usize,
) -> impl Future<Output = RedisResult<MultiplexedConnection>> + use<> {
    // Who asks has a timer of its own.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(OPENING))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(room);
    let (client, pause) = (redis.client.clone(), redis.timeout / (2 * (TRIES - 1)));
    async move {
        let mut tries = 1;
        let mut connection = loop {
            match client.get_multiplexed_async_connection_with_config(&config).await {
                Ok(connection) => break connection,
                Err(error) if tries == TRIES => return Err(error),
                Err(_) => sleep(pause).await,
            }
            tries += 1;
        };
        // So that no decision has to. If it fails, one shows why.
        let load = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).take();
        let loading = load.query_async::<redis::Value>(&mut connection);
        let _ = timeout(OPENING, loading).await;
        Ok(connection)
    }
}
