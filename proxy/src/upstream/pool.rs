//! Idle connections of one worker to one endpoint, last in first out: under falling load the
//! same few stay warm and the rest age out.
//!
//! Bounds: `pool.max_idle` connections. One goes if nobody has used it for `pool.idle`, if it is older
//! than `pool.max_age`, if its peer has closed it or has said how long it waits (`Keep-Alive:
//! timeout=N`, heeded less a second), or if the endpoint is a name that has other addresses now. Where
//! one turns out to be closed, the endpoint has likely ended, and the others are looked at at once.
//!
//! Requests ask for no time: that of the last sweep is near enough, but for what a peer has said.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    connection::{Connection, Heard},
    resolver::Name,
};
use crate::{config::PoolConfig, telemetry::metrics::UpstreamConnections};

/// How often idle connections are looked over.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

pub struct Pool {
    config: PoolConfig,
    idle: RefCell<Vec<Idle>>,
    /// What the endpoint is found by.
    name: Option<Arc<Name>>,
    /// The version of its addresses for which all that is idle was looked at.
    known_in: Cell<u32>,
    /// `None` if it is never swept.
    swept_at: Cell<Option<Instant>>,
    /// Whether the endpoint has sent a body where there is none: what may bring one is not kept.
    sends_unasked: Cell<bool>,
    counted: Arc<UpstreamConnections>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub fn new(
        config: PoolConfig,
        name: Option<Arc<Name>>,
        counted: Arc<UpstreamConnections>,
    ) -> Self {
        Self {
            config,
            idle: RefCell::default(),
            known_in: Cell::new(name.as_ref().map_or(0, |name| name.version())),
            name,
            swept_at: Cell::default(),
            sends_unasked: Cell::default(),
            counted,
        }
    }

    /// The idle connection used last, if it still can be used.
    pub fn take(&self) -> Option<Connection> {
        if let Some(name) = &self.name {
            self.follow(name);
        }
        let mut last = self.pop()?;
        if self.is_usable(&mut last) {
            return Some(last.connection);
        }
        last.connection.close();
        self.take_behind_closed()
    }

    #[cold]
    fn take_behind_closed(&self) -> Option<Connection> {
        self.retain(|idle| self.is_usable(idle));
        self.pop().map(|idle| idle.connection)
    }

    /// A connection that was taken and is doubtful, if nothing has come over it by now.
    pub async fn look_again(&self, mut taken: Connection) -> Option<Connection> {
        // Only the reactor knows, and it is asked when the task gives way.
        tokio::task::yield_now().await;
        if self.hears_nothing(&mut taken) {
            return Some(taken);
        }
        taken.close();
        None
    }

    /// After the addresses of the name have changed: connections to others are given to nobody.
    fn follow(&self, name: &Name) {
        let version = name.version();
        if version != self.known_in.replace(version) {
            self.retain(|idle| is_known(&mut idle.connection, name));
        }
    }

    fn pop(&self) -> Option<Idle> {
        let idle = self.idle.borrow_mut().pop()?;
        self.counted.idle.subtract(1);
        Some(idle)
    }

    fn retain(&self, mut is_kept: impl FnMut(&mut Idle) -> bool) {
        for over in self.idle.borrow_mut().extract_if(.., |idle| !is_kept(idle)) {
            self.counted.idle.subtract(1);
            over.connection.close();
        }
    }

    fn is_usable(&self, idle: &mut Idle) -> bool {
        let is_waited_for = |limit| idle.since.elapsed() < limit;
        idle.connection.kept_for.is_none_or(is_waited_for)
            && self.hears_nothing(&mut idle.connection)
    }

    fn hears_nothing(&self, connection: &mut Connection) -> bool {
        let heard = connection.heard();
        if heard == Heard::Bytes && connection.is_doubtful {
            self.sends_unasked.set(true);
        }
        heard == Heard::Nothing
    }

    /// A body has come where there is none.
    pub(super) fn distrust(&self) {
        self.sends_unasked.set(true);
    }

    /// Keeps a connection whose exchange has ended cleanly.
    pub(super) fn put(&self, mut connection: Connection) {
        if !self.is_worth_keeping(&mut connection) {
            return connection.close();
        }
        // Of what an endpoint has said, the margin is a second: that takes the time as it is.
        let swept_at = self.swept_at.get().filter(|_| connection.kept_for.is_none());
        let since = swept_at.unwrap_or_else(Instant::now);
        connection.reused = true;
        self.counted.idle.add(1);
        self.idle.borrow_mut().push(Idle { connection, since });
    }

    fn is_worth_keeping(&self, connection: &mut Connection) -> bool {
        let has_body_behind =
            connection.is_doubtful && (self.sends_unasked.get() || !self.hears_nothing(connection));
        self.idle.borrow().len() < self.config.max_idle
            && !has_body_behind
            && connection.kept_for != Some(Duration::ZERO)
            && !self.is_old(connection)
            && self.name.as_ref().is_none_or(|name| is_known(connection, name))
    }

    fn is_old(&self, connection: &Connection) -> bool {
        let now = || self.swept_at.get().unwrap_or_else(Instant::now);
        self.config.max_age.is_some_and(|most| now() >= connection.opened + most)
    }

    /// Drops what is old or closed. To be called every `SWEEP_INTERVAL`, or never.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.swept_at.set(Some(now));
        self.retain(|idle| {
            now < idle.since + self.config.idle
                && !self.is_old(&idle.connection)
                && self.is_usable(idle)
        });
    }

    /// Idle connections now.
    pub fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(PoolConfig::default(), None, Arc::default())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.retain(|_| false);
    }
}

/// Whether the name still has the address to which the connection leads.
fn is_known(connection: &mut Connection, name: &Name) -> bool {
    let version = name.version();
    let is_known = connection.known_in == version
        || connection.address.is_none_or(|address| name.has(address));
    if is_known {
        connection.known_in = version;
    }
    is_known
}

#[cfg(test)]
mod tests;
