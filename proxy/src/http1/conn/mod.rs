//! One client connection as all who deal with it see it: the task that serves it, the upload that
//! reads its request body, the sweep that ends it when it waits too long.

mod read;
mod write;

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    task::Waker,
};

use actix_http::Request;
use bytes::BytesMut;

use super::{
    parse::{self, Head},
    stream::Stream,
    table::ConnTable,
};
use crate::{error::Reason, framing::Rest};

/// Less progress than this within one timeout counts as none, in bytes.
pub(super) const LEAST_PROGRESS: u64 = 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

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
    /// The client to close, after the last answer.
    Close,
}

/// What came next on a connection.
pub(super) enum Next {
    Request(Head),
    Refused(Reason),
    /// No request comes any more.
    Closed,
}

/// Why no more of a request body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the client left before its request was complete")]
    Gone,
    #[error("the request body was refused")]
    Refused(Reason),
}

pub struct Conn {
    pub(super) table: Rc<ConnTable>,
    pub(super) peer: Option<SocketAddr>,
    io: RefCell<Stream>,
    /// Bytes that were read and belong to nobody yet.
    buffer: RefCell<BytesMut>,
    /// What is to come of the body of the current request.
    body: RefCell<Rest>,
    /// What is still to be written of a `100 Continue` that the client waits for.
    continue_left: Cell<&'static [u8]>,
    /// Uploads of the body: one that was stopped may go a moment after the next has begun.
    uploads: Cell<u32>,
    /// Whether what follows the request may be another protocol.
    offers_upgrade: Cell<bool>,
    is_last: Cell<bool>,
    /// Whether an empty line may come before the next request.
    allows_empty_line: Cell<bool>,
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
    pub(super) reader: RefCell<Option<Waker>>,
    pub(super) writer: RefCell<Option<Waker>>,
    refused_head: Cell<Option<Reason>>,
    pub(super) refused_body: Cell<Option<Reason>>,
}

impl Conn {
    /// `early` was read from the socket before.
    pub(super) fn new(
        io: Stream,
        early: BytesMut,
        peer: Option<SocketAddr>,
        table: &Rc<ConnTable>,
    ) -> Self {
        Self {
            table: Rc::clone(table),
            peer,
            io: RefCell::new(io),
            buffer: RefCell::new(early),
            body: RefCell::new(Rest::Length(0)),
            continue_left: Cell::default(),
            uploads: Cell::default(),
            offers_upgrade: Cell::default(),
            is_last: Cell::default(),
            allows_empty_line: Cell::default(),
            waiting: Cell::new(Waiting::Fresh),
            since: Cell::new(table.tick()),
            progress: Cell::default(),
            wants_bytes: Cell::default(),
            stalled_since: Cell::default(),
            write_progress: Cell::default(),
            is_overdue: Cell::default(),
            write_is_overdue: Cell::default(),
            reader: RefCell::default(),
            writer: RefCell::default(),
            refused_head: Cell::default(),
            refused_body: Cell::default(),
        }
    }

    /// A connection and its client.
    #[cfg(test)]
    pub(crate) fn pair() -> (Rc<Self>, tokio::net::UnixStream) {
        let (ours, theirs) = tokio::net::UnixStream::pair().expect("a pair can be made");
        let table = ConnTable::new(
            Default::default(),
            Default::default(),
            crate::scratch::Scratch::default(),
        );
        (Rc::new(Self::new(ours.into(), BytesMut::new(), None, &table)), theirs)
    }

    /// Why the request that was just handed to the App must be refused.
    pub fn refusal(&self) -> Option<Reason> {
        self.refused_head.get()
    }

    /// Marks the body as being sent on, or no longer; each `true` has its `false`.
    pub fn set_uploading(&self, uploading: bool) {
        let uploads = self.uploads.get();
        self.uploads.set(if uploading { uploads + 1 } else { uploads.saturating_sub(1) });
    }

    fn is_uploading(&self) -> bool {
        self.uploads.get() > 0
    }

    /// From here on what the head announced is what comes; the request is the caller's.
    pub(super) fn begin(&self, head: Head) -> Request {
        let has_body = !head.body.is_over();
        self.body.replace(head.body);
        self.continue_left.set(if head.expects_continue { CONTINUE } else { b"" });
        self.offers_upgrade.set(head.offers_upgrade);
        self.is_last.set(!head.keeps_alive);
        self.allows_empty_line.set(has_body);
        self.wait_for(if has_body { Waiting::Body } else { Waiting::Answer });
        head.request
    }

    /// The request to answer in place of one whose head is refused.
    pub(super) fn refuse(&self, reason: Reason) -> Request {
        self.refused_head.set(Some(reason));
        self.body.replace(Rest::Length(0));
        self.end_after_answer();
        self.wait_for(Waiting::Answer);
        parse::stand_in(self.peer)
    }

    /// No other request is read from this connection: it is not worth understanding.
    pub fn end_after_answer(&self) {
        self.is_last.set(true);
    }

    /// What comes from now on is no HTTP any more.
    pub fn begin_tunnel(&self) {
        self.body.replace(Rest::UntilClose);
    }

    /// From here on the answer is what the client reads: a `100 Continue` would stand amid it.
    pub(super) fn begin_answer(&self) {
        self.continue_left.set(b"");
    }

    /// Ready for the next request.
    pub(super) fn answered(&self) {
        self.wait_for(Waiting::Idle);
    }

    pub(super) fn wait_for(&self, what: Waiting) {
        self.waiting.set(what);
        self.since.set(self.table.tick());
        self.progress.set(0);
        self.wants_bytes.set(false);
    }

    /// Starts the count anew.
    pub(super) fn restart(&self) {
        self.wait_for(self.waiting.get());
    }
}

pub(super) fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.borrow().as_ref() {
        waker.wake_by_ref();
    }
}

/// Remembers whom to wake.
fn remember(slot: &RefCell<Option<Waker>>, waker: &Waker) {
    match &mut *slot.borrow_mut() {
        Some(known) => known.clone_from(waker),
        none => *none = Some(waker.clone()),
    }
}
