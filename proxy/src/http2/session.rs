//! One connection as the sweep and its streams see it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
    time::Duration,
};

use slab::Slab;

use super::{
    faults::Faults,
    frames::{Frames, Taken},
    known_fields::KnownFields,
    stream::Stream,
    windows::Windows,
};
use crate::{
    config::HeadBounds,
    downstream::{
        Arrival, ConnTable, LEAST_PROGRESS, Limits, Stall, Watched,
        stall::{remember, wake},
        ticks,
    },
};

/// A client that has said nothing for so long while it waits for answers is asked whether it is
/// there, and has so long to say so.
const QUIET: u32 = ticks(Duration::from_secs(30));
const PONG: u32 = ticks(Duration::from_secs(15));

/// The size of the list of fields that h2 reads: twice what is allowed, so that what is a little too much
/// gets our answer. Beyond that, h2 answers 431 without being asked.
pub(super) fn longest_list(bounds: HeadBounds) -> usize {
    (bounds.bytes + 32 * bounds.fields).saturating_mul(2)
}

/// Streams that h2 resets by itself, for what the client did, in the life of a connection: beyond that
/// it ends the connection at once. With half of them, clients are asked to make another one.
pub(super) const MOST_FAULTY: usize = 256;

/// What the task of the connection is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Serve,
    Ping,
    /// Take no more requests, and go when all are answered.
    Leave,
    /// Go now: the client has sent too much for nothing.
    Calm,
    /// Go now.
    Drop,
}

pub(super) struct Session {
    pub(super) table: Rc<ConnTable>,
    pub(super) arrival: Rc<Arrival>,
    pub(super) known_fields: Rc<KnownFields>,
    frames: RefCell<Frames>,
    faults: RefCell<Faults>,
    pub(super) windows: Windows,
    /// Whether the client has sent too much for nothing.
    is_flooded: Cell<bool>,
    streams: RefCell<Slab<Rc<Stream>>>,
    /// A client that does not read at all.
    pub(super) write_stall: Stall,
    /// When a preface or header block began that has not ended, and which of them.
    head_since: Cell<Option<(u32, u32)>>,
    /// When the last stream ended.
    idle_since: Cell<u32>,
    /// When the client last sent or took anything.
    heard_at: Cell<u32>,
    /// Bytes that the socket has taken since the last tick.
    taken: Cell<usize>,
    pinged_at: Cell<Option<u32>>,
    left_at: Cell<Option<u32>>,
    order: Cell<Order>,
    driver: RefCell<Option<Waker>>,
}

/// A stream that the sweep looks at, until dropped.
pub(super) struct Watching {
    session: Rc<Session>,
    key: usize,
}

impl Session {
    pub(super) fn new(
        table: &Rc<ConnTable>,
        arrival: Rc<Arrival>,
        known_fields: Rc<KnownFields>,
    ) -> Rc<Self> {
        let now = table.tick();
        Rc::new(Self {
            table: Rc::clone(table),
            arrival,
            known_fields,
            frames: RefCell::new(Frames::new(longest_list(table.bounds))),
            faults: RefCell::new(Faults::new()),
            windows: Windows::new(table.http2_window),
            is_flooded: Cell::default(),
            streams: RefCell::default(),
            write_stall: Stall::default(),
            head_since: Cell::new(Some((now, 0))),
            idle_since: Cell::new(now),
            heard_at: Cell::new(now),
            taken: Cell::default(),
            pinged_at: Cell::default(),
            left_at: Cell::new(table.is_draining().then_some(now)),
            order: Cell::new(if table.is_draining() { Order::Leave } else { Order::Serve }),
            driver: RefCell::default(),
        })
    }

    pub(super) fn tick(&self) -> u32 {
        self.table.tick()
    }

    pub(super) fn watch(self: &Rc<Self>, stream: &Rc<Stream>) -> Watching {
        let key = self.streams.borrow_mut().insert(Rc::clone(stream));
        Watching { session: Rc::clone(self), key }
    }

    /// Bytes have come from the client. Is there too much of them, they are as good as looked at.
    pub(super) fn heard(&self, bytes: &mut [u8]) -> Taken {
        self.heard_at.set(self.tick());
        let mut frames = self.frames.borrow_mut();
        match frames.take(bytes) {
            Taken::TooMuch => {
                self.calm();
                Taken::AllBut(0)
            }
            taken => {
                if frames.is_worn() {
                    self.leave(self.tick());
                }
                taken
            }
        }
    }

    /// Frames have gone to the client.
    pub(super) fn said(&self, bytes: &[u8]) {
        let mut faults = self.faults.borrow_mut();
        if faults.take(bytes) {
            self.calm();
        } else if faults.in_all() > MOST_FAULTY / 2 {
            self.leave(self.tick());
        }
    }

    /// The connection ends for what the client has sent.
    fn calm(&self) {
        self.flooded();
        self.order.set(Order::Calm);
    }

    /// The same, and h2 has ended it.
    pub(super) fn flooded(&self) {
        self.is_flooded.set(true);
    }

    /// Whether nothing more of the client is wanted.
    pub(super) fn is_flooded(&self) -> bool {
        self.is_flooded.get()
    }

    /// Whether a frame or a header block of the stream has come in part.
    pub(super) fn is_amid(&self, stream: u32) -> bool {
        self.frames.borrow().is_amid(stream)
    }

    /// An answer has ended.
    pub(super) fn answered(&self) {
        self.frames.borrow_mut().answered();
    }

    /// A stream is over that the client had not ended; `is_reset`: h2 knows.
    pub(super) fn ended_early(&self, stream: u32, is_reset: bool) {
        self.frames.borrow_mut().ended_early(stream, is_reset);
    }

    /// Bytes went to the socket, and all that were offered or not.
    pub(super) fn wrote(&self, bytes: usize, all: bool) {
        self.frames.borrow_mut().wrote(bytes);
        self.heard_at.set(self.tick());
        self.taken.set(self.taken.get() + bytes);
        if all { self.write_stall.end() } else { self.write_stall.moved(bytes) }
    }

    /// A piece of an answer is on its way.
    pub(super) fn sent_piece(&self, bytes: usize) {
        self.frames.borrow_mut().sent_piece(bytes);
    }

    /// Bytes of a request body were taken.
    pub(super) fn took(&self, bytes: usize) {
        if self.windows.took(bytes) {
            wake(&self.driver);
        }
    }

    /// The client hears of a larger window of its streams.
    pub(super) fn widened(&self, window: u32) {
        self.frames.borrow_mut().widened(window);
    }

    /// What to do now; `waker` is woken when that changes.
    pub(super) fn order(&self, waker: &Waker) -> Order {
        remember(&self.driver, waker);
        self.order.get()
    }

    /// The ping was sent.
    pub(super) fn pinged(&self) {
        self.order.set(Order::Serve);
    }

    fn tell(&self, order: Order) {
        self.order.set(order);
        wake(&self.driver);
    }

    /// The last answer is sent; what the client still says is read away for a moment.
    pub(super) fn end(&self) {
        self.write_stall.end();
        self.left_at.set(Some(self.tick()));
        self.idle_since.set(self.tick());
    }

    fn leave(&self, now: u32) {
        if self.left_at.get().is_none() && !self.is_flooded() {
            self.left_at.set(Some(now));
            self.tell(Order::Leave);
        }
    }

    fn look_at_head(&self, now: u32, limit: u32) {
        let frames = self.frames.borrow();
        if !frames.is_amid_head() {
            return self.head_since.set(None);
        }
        let heads = frames.heads();
        let known = self.head_since.get().filter(|(_, known)| *known == heads);
        let (since, _) = known.unwrap_or((now, heads));
        self.head_since.set(Some((since, heads)));
        if now.wrapping_sub(since) >= limit {
            self.tell(Order::Drop);
        }
    }

    fn look_at_idle(&self, now: u32, limits: &Limits) {
        let idle = now.wrapping_sub(self.idle_since.get());
        match self.left_at.get() {
            // It may not say that it has understood.
            // What is still to be written has its own bound.
            Some(_) if self.write_stall.is_waiting() => {}
            Some(left) if now.wrapping_sub(left).min(idle) >= limits.linger => {
                self.tell(Order::Drop);
            }
            None if idle >= limits.idle => self.leave(now),
            _ => {}
        }
    }

    fn look_at_quiet(&self, now: u32) {
        let quiet = now.wrapping_sub(self.heard_at.get());
        match self.pinged_at.get() {
            Some(_) if quiet < QUIET => self.pinged_at.set(None),
            Some(pinged) if now.wrapping_sub(pinged) >= PONG => self.tell(Order::Drop),
            None if quiet >= QUIET && self.order.get() == Order::Serve => {
                self.pinged_at.set(Some(now));
                self.tell(Order::Ping);
            }
            _ => {}
        }
    }
}

impl Watched for Session {
    fn look_at(&self, now: u32, limits: &Limits) {
        self.frames.borrow_mut().tick();
        self.faults.borrow_mut().tick();
        self.windows.tick();
        self.look_at_head(now, limits.head);
        self.write_stall.look_at(now, limits.write);
        let streams = self.streams.borrow();
        // Streams that share a slow connection wait for one another, not for their client.
        let is_taking = self.taken.replace(0) as u64 >= LEAST_PROGRESS;
        streams.iter().for_each(|(_, stream)| stream.look_at(now, limits, is_taking));
        if streams.is_empty() {
            self.look_at_idle(now, limits);
        } else {
            self.look_at_quiet(now);
        }
    }

    fn drain(&self) {
        self.leave(self.tick());
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.session.streams.borrow_mut().remove(self.key);
        self.session.idle_since.set(self.session.tick());
    }
}
