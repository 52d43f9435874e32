//! The connections of one worker, and the sweep that ends those which wait too long.
//!
//! Time is counted in ticks of 250 ms: a deadline passes at most that much late, and no connection
//! has a timer. Without connections nothing ticks.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    time::{Duration, SystemTime},
};

use bytes::BytesMut;
use slab::Slab;
use tokio::sync::Notify;

use crate::{
    config::{ClientTimeouts, HeadBounds},
    scratch::Scratch,
};

const TICK: Duration = Duration::from_millis(250);
/// How long the rest of a refused request is read, so that the client sees the answer.
const LINGER: Duration = Duration::from_secs(1);

/// A connection as the sweep sees it.
pub trait Watched {
    /// Ends what has waited too long; called once a tick.
    fn look_at(&self, now: u32, limits: &Limits);
    /// A drain has begun.
    fn drain(&self);
}

/// All connections of one worker. Bound: those that the listener accepts.
pub struct ConnTable {
    pub bounds: HeadBounds,
    /// Of request bodies over HTTP/2: what one connection may have in flight, in bytes.
    pub http2_window: u32,
    limits: Limits,
    conns: RefCell<Slab<Rc<dyn Watched>>>,
    tick: Cell<u32>,
    first: Notify,
    is_draining: Cell<bool>,
    /// What is read from clients goes through here.
    pub scratch: Scratch,
    /// The value of `Date`, at most one tick old.
    date: RefCell<String>,
}

/// The timeouts in ticks.
pub struct Limits {
    pub head: u32,
    pub idle: u32,
    pub body: u32,
    pub write: u32,
    pub linger: u32,
}

/// A connection's place in the table, given back when dropped.
pub struct Place {
    table: Rc<ConnTable>,
    key: usize,
}

/// A timeout in ticks, and one more: the tick in which the waiting begins has passed in part.
pub const fn ticks(timeout: Duration) -> u32 {
    let ticks = timeout.as_millis().div_ceil(TICK.as_millis()) + 1;
    if ticks > u32::MAX as u128 { u32::MAX } else { ticks as u32 }
}

impl ConnTable {
    /// A table and the task that watches over it.
    pub fn new(
        bounds: HeadBounds,
        http2_window: u32,
        timeouts: ClientTimeouts,
        scratch: Scratch,
    ) -> (Rc<Self>, impl Future<Output = ()> + use<>) {
        let limits = Limits {
            head: ticks(timeouts.header),
            idle: ticks(timeouts.idle),
            body: ticks(timeouts.body),
            write: ticks(timeouts.write),
            linger: ticks(LINGER),
        };
        let table = Rc::new(Self {
            bounds,
            http2_window,
            limits,
            conns: RefCell::default(),
            tick: Cell::default(),
            first: Notify::new(),
            is_draining: Cell::default(),
            scratch,
            date: RefCell::default(),
        });
        let keeper = keep(Rc::downgrade(&table));
        (table, keeper)
    }

    /// A place for `conn`, which the sweep watches from now on.
    pub fn enter(self: &Rc<Self>, conn: Rc<dyn Watched>) -> Place {
        let mut conns = self.conns.borrow_mut();
        if conns.is_empty() {
            self.look_at_clock();
            self.first.notify_one();
        }
        let key = conns.insert(conn);
        Place { table: Rc::clone(self), key }
    }

    pub fn tick(&self) -> u32 {
        self.tick.get()
    }

    pub fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// Appends the value of `Date` (RFC 9110 section 6.6.1).
    pub fn write_date(&self, out: &mut BytesMut) {
        out.extend_from_slice(self.date.borrow().as_bytes());
    }

    /// Closes connections between two requests, and each other one behind its answer.
    pub fn drain(&self) {
        self.is_draining.set(true);
        self.conns.borrow().iter().for_each(|(_, conn)| conn.drain());
    }

    fn look_at_clock(&self) {
        self.date.replace(httpdate::fmt_http_date(SystemTime::now()));
    }

    fn sweep(&self) {
        self.tick.set(self.tick.get().wrapping_add(1));
        self.look_at_clock();
        let now = self.tick.get();
        self.conns.borrow().iter().for_each(|(_, conn)| conn.look_at(now, &self.limits));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.conns.borrow_mut().remove(self.key);
    }
}

async fn keep(table: Weak<ConnTable>) {
    while let Some(live) = table.upgrade() {
        if live.conns.borrow().is_empty() {
            live.first.notified().await;
        }
        drop(live);
        actix_rt::time::sleep(TICK).await;
        if let Some(live) = table.upgrade() {
            live.sweep();
        }
    }
}
