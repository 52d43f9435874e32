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

use super::conn::{Conn, LEAST_PROGRESS, Waiting, wake};
use crate::{
    config::{ClientTimeouts, HeadBounds},
    error::Reason,
    scratch::Scratch,
};

const TICK: Duration = Duration::from_millis(250);
/// How long the rest of a refused request is read, so that the client sees the answer.
const LINGER: Duration = Duration::from_secs(1);

/// All connections of one worker. Bound: those that the listener accepts.
pub struct ConnTable {
    pub(super) bounds: HeadBounds,
    limits: Limits,
    conns: RefCell<Slab<Rc<Conn>>>,
    tick: Cell<u32>,
    first: Notify,
    is_draining: Cell<bool>,
    /// What is read from clients goes through here.
    pub(super) scratch: Scratch,
    /// The value of `Date`, at most one tick old.
    date: RefCell<String>,
}

/// The timeouts in ticks.
struct Limits {
    head: u32,
    idle: u32,
    body: u32,
    write: u32,
    linger: u32,
}

/// A connection's place in the table, given back when dropped.
pub(super) struct Place {
    table: Rc<ConnTable>,
    key: usize,
}

impl ConnTable {
    pub fn new(bounds: HeadBounds, timeouts: ClientTimeouts, scratch: Scratch) -> Rc<Self> {
        let ticks = |timeout: Duration| {
            // One more: the tick in which the waiting begins has passed in part.
            let ticks = timeout.as_millis().div_ceil(TICK.as_millis()) + 1;
            u32::try_from(ticks).unwrap_or(u32::MAX)
        };
        let limits = Limits {
            head: ticks(timeouts.header),
            idle: ticks(timeouts.idle),
            body: ticks(timeouts.body),
            write: ticks(timeouts.write),
            linger: ticks(LINGER),
        };
        let table = Rc::new(Self {
            bounds,
            limits,
            conns: RefCell::default(),
            tick: Cell::default(),
            first: Notify::new(),
            is_draining: Cell::default(),
            scratch,
            date: RefCell::default(),
        });
        actix_rt::spawn(keep(Rc::downgrade(&table)));
        table
    }

    /// A place for `conn`, which the sweep watches from now on.
    pub(super) fn enter(self: &Rc<Self>, conn: &Rc<Conn>) -> Place {
        let mut conns = self.conns.borrow_mut();
        if conns.is_empty() {
            self.look_at_clock();
            self.first.notify_one();
        }
        let key = conns.insert(Rc::clone(conn));
        Place { table: Rc::clone(self), key }
    }

    pub(super) fn tick(&self) -> u32 {
        self.tick.get()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// Appends the value of `Date` (RFC 9110 section 6.6.1).
    pub(super) fn write_date(&self, out: &mut BytesMut) {
        out.extend_from_slice(self.date.borrow().as_bytes());
    }

    /// Closes connections between two requests, and each other one behind its answer.
    pub fn drain(&self) {
        self.is_draining.set(true);
        self.conns.borrow().iter().for_each(|(_, conn)| wake(&conn.reader));
    }

    fn look_at_clock(&self) {
        self.date.replace(httpdate::fmt_http_date(SystemTime::now()));
    }

    fn sweep(&self) {
        self.tick.set(self.tick.get().wrapping_add(1));
        self.look_at_clock();
        for (_, conn) in self.conns.borrow().iter() {
            self.look_at(conn);
        }
    }

    fn look_at(&self, conn: &Conn) {
        let now = self.tick.get();
        let waited = now.wrapping_sub(conn.since.get());
        let limit = match conn.waiting.get() {
            Waiting::Fresh | Waiting::Head => self.limits.head,
            Waiting::Idle => self.limits.idle,
            Waiting::Body => self.limits.body,
            Waiting::Close => self.limits.linger,
            Waiting::Answer => u32::MAX,
        };
        if conn.waiting.get() == Waiting::Body && !conn.wants_bytes.get() {
            // It is not the client who is slow.
            conn.restart();
        } else if waited >= limit && !conn.is_overdue.get() {
            self.end_waiting(conn);
        }
        if let Some(since) = conn.stalled_since.get()
            && now.wrapping_sub(since) >= self.limits.write
        {
            if conn.write_progress.replace(0) >= LEAST_PROGRESS {
                conn.stalled_since.set(Some(now));
            } else {
                conn.write_is_overdue.set(true);
                wake(&conn.writer);
            }
        }
    }

    fn end_waiting(&self, conn: &Conn) {
        if conn.waiting.get() == Waiting::Body {
            if conn.progress.get() >= LEAST_PROGRESS {
                return conn.restart_wanting();
            }
            conn.refused_body.set(Some(Reason::RequestTimeout));
        }
        conn.is_overdue.set(true);
        wake(&conn.reader);
    }
}

impl Conn {
    /// A new window for a body that comes slowly but comes.
    fn restart_wanting(&self) {
        self.restart();
        self.wants_bytes.set(true);
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
