//! What one client connection is doing, as its IO, the pipeline and the sweep see it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
};

use crate::error::Reason;

/// Less progress than this within one timeout counts as none, in bytes.
pub(super) const LEAST_PROGRESS: u64 = 1024;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The first byte.
    Fresh,
    /// The first byte of a next request.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// Its answer.
    Answer,
    /// The client to close, after a refusal.
    Close,
}

pub struct Conn {
    pub(super) waiting: Cell<Waiting>,
    /// The tick in which it began to wait.
    pub(super) since: Cell<u32>,
    /// Body bytes since then.
    pub(super) progress: Cell<u64>,
    /// Whether the proxy wants bytes and the client sends none.
    pub(super) wants_bytes: Cell<bool>,
    /// The tick in which the client stopped to read.
    pub(super) stalled_since: Cell<Option<u32>>,
    pub(super) write_progress: Cell<u64>,
    /// Whether it has waited too long.
    pub(super) is_overdue: Cell<bool>,
    pub(super) write_is_overdue: Cell<bool>,
    /// Whether bytes of a next request are held back.
    pub(super) holds_bytes: Cell<bool>,
    pub(super) reader: RefCell<Option<Waker>>,
    pub(super) writer: RefCell<Option<Waker>>,
    /// Why the request whose stand-in was handed over must be refused.
    pub(super) refused_head: Cell<Option<Reason>>,
    pub(super) refused_body: Cell<Option<Reason>>,
    pub(super) client_has_left: Cell<bool>,
    pub(super) must_reset: Cell<bool>,
    tick: Rc<Cell<u32>>,
}

impl Conn {
    pub(super) fn new(tick: Rc<Cell<u32>>) -> Self {
        Self {
            waiting: Cell::new(Waiting::Fresh),
            since: Cell::new(tick.get()),
            progress: Cell::default(),
            wants_bytes: Cell::default(),
            stalled_since: Cell::default(),
            write_progress: Cell::default(),
            is_overdue: Cell::default(),
            write_is_overdue: Cell::default(),
            holds_bytes: Cell::default(),
            reader: RefCell::default(),
            writer: RefCell::default(),
            refused_head: Cell::default(),
            refused_body: Cell::default(),
            client_has_left: Cell::default(),
            must_reset: Cell::default(),
            tick,
        }
    }

    /// Why the guard refuses the request that it has just handed over.
    pub fn refusal(&self) -> Option<Reason> {
        self.refused_head.get()
    }

    /// Why no more of the request body will come.
    pub fn body_refusal(&self) -> Option<Reason> {
        self.refused_body.get()
    }

    /// Whether the client has closed its side.
    pub fn has_left(&self) -> bool {
        self.client_has_left.get()
    }

    /// The answer broke off, and to the client its length was unknown: the end of the connection
    /// must not look like the end of the body.
    pub fn reset(&self) {
        self.must_reset.set(true);
    }

    /// The answer is complete: the next request may come.
    pub fn answered(&self) {
        if self.waiting.get() == Waiting::Answer {
            self.wait_for(Waiting::Idle);
            if self.holds_bytes.get() {
                wake(&self.reader);
            }
        }
    }

    pub(super) fn wait_for(&self, what: Waiting) {
        self.waiting.set(what);
        self.since.set(self.tick.get());
        self.progress.set(0);
        self.wants_bytes.set(false);
    }

    /// Starts the count anew.
    pub(super) fn restart(&self) {
        self.wait_for(self.waiting.get());
    }

    pub(super) fn tick(&self) -> u32 {
        self.tick.get()
    }
}

pub(super) fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.borrow().as_ref() {
        waker.wake_by_ref();
    }
}

/// Remembers whom to wake.
pub(super) fn remember(slot: &RefCell<Option<Waker>>, waker: &Waker) {
    match &mut *slot.borrow_mut() {
        Some(known) => known.clone_from(waker),
        none => *none = Some(waker.clone()),
    }
}
