//! One client connection as all who deal with it see it: the task that serves it, the upload that
//! reads its request body, the sweep that ends it when it waits too long.

mod read;
mod wait;
mod write;

use std::{
    cell::{Cell, Ref, RefCell},
    rc::Rc,
    task::Waker,
};

use actix_http::Request;
use bytes::{Bytes, BytesMut};

use super::{
    credentials::Credentials,
    parse::{self, Head},
};
use crate::{
    downstream::{Arrival, ConnTable, Preread, Stall, Stream},
    error::Reason,
    framing::Rest,
    request::target::Raw,
};

/// Before a request, in a row.
const MOST_EMPTY_LINES: u8 = 4;
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
#[expect(clippy::large_enum_variant, reason = "nearly all are requests, and moved once")]
pub(super) enum Next {
    Request(Head),
    Refused(Reason),
    /// What begins like a request is the preface of HTTP/2.
    Http2,
    /// No request comes any more.
    Closed,
}

pub struct Conn {
    pub(super) table: Rc<ConnTable>,
    arrival: Rc<Arrival>,
    io: RefCell<Stream>,
    /// Bytes that were read and belong to nobody yet.
    buffer: RefCell<BytesMut>,
    /// Of the request before.
    credentials: RefCell<Credentials>,
    /// Path and query of the current request as they came, if it has them otherwise.
    raw: RefCell<Option<Raw>>,
    /// The head of the current request as it came.
    head: RefCell<Bytes>,
    /// What is to come of the body of the current request.
    body: RefCell<Rest>,
    /// What is still to be written of a `100 Continue` that the client waits for.
    continue_left: Cell<&'static [u8]>,
    /// Uploads of the body: one that was stopped may go a moment after the next has begun.
    uploads: Cell<u32>,
    /// Whether what follows the request may be another protocol.
    offers_upgrade: Cell<bool>,
    is_last: Cell<bool>,
    /// Whether the client may yet say that it speaks HTTP/2.
    may_be_http2: Cell<bool>,
    /// Empty lines that may come before the next request.
    empty_lines_left: Cell<u8>,
    waiting: Cell<Waiting>,
    /// The tick in which it began to wait.
    since: Cell<u32>,
    /// Body bytes since then.
    progress: Cell<u64>,
    /// Whether the proxy wants bytes and the client sends none.
    wants_bytes: Cell<bool>,
    /// A client that does not read.
    write_stall: Stall,
    /// Whether it has waited too long.
    is_overdue: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    refused_head: Cell<Option<Reason>>,
    refused_body: Cell<Option<Reason>>,
}

impl Conn {
    /// `early` was read from the socket before.
    pub(super) fn new(
        io: Stream,
        early: BytesMut,
        arrival: Rc<Arrival>,
        table: &Rc<ConnTable>,
    ) -> Self {
        Self {
            table: Rc::clone(table),
            may_be_http2: Cell::new(arrival.prior_knowledge),
            arrival,
            io: RefCell::new(io),
            buffer: RefCell::new(early),
            credentials: RefCell::default(),
            raw: RefCell::default(),
            head: RefCell::default(),
            body: RefCell::new(Rest::Length(0)),
            continue_left: Cell::default(),
            uploads: Cell::default(),
            offers_upgrade: Cell::default(),
            is_last: Cell::default(),
            empty_lines_left: Cell::new(MOST_EMPTY_LINES),
            waiting: Cell::new(Waiting::Fresh),
            since: Cell::new(table.tick()),
            progress: Cell::default(),
            wants_bytes: Cell::default(),
            write_stall: Stall::default(),
            is_overdue: Cell::default(),
            reader: RefCell::default(),
            refused_head: Cell::default(),
            refused_body: Cell::default(),
        }
    }

    /// A connection and its client.
    #[cfg(test)]
    pub(crate) fn pair() -> (Rc<Self>, tokio::net::UnixStream) {
        let (ours, theirs) = tokio::net::UnixStream::pair().expect("a pair can be made");
        let (table, _) = ConnTable::new(
            Default::default(),
            1 << 20,
            Default::default(),
            crate::scratch::Scratch::default(),
        );
        (Rc::new(Self::new(ours.into(), BytesMut::new(), Rc::default(), &table)), theirs)
    }

    pub fn arrival(&self) -> &Rc<Arrival> {
        &self.arrival
    }

    /// The socket, and what was read from it and taken by nobody.
    pub(super) fn into_socket(self) -> Preread {
        Preread::new(self.io.into_inner(), self.buffer.into_inner())
    }

    /// Why the request that was just handed to the App must be refused.
    pub fn refusal(&self) -> Option<Reason> {
        self.refused_head.get()
    }

    /// Path and query of the current request as they came, if it has them otherwise.
    pub fn raw_target(&self) -> Option<Raw> {
        self.raw.borrow().clone()
    }

    /// The head of the current request as it came, until it is answered; empty for one that was refused.
    pub fn head(&self) -> Ref<'_, Bytes> {
        self.head.borrow()
    }

    /// Marks the body as being sent on, or no longer; each `true` has its `false`.
    pub fn set_uploading(&self, uploading: bool) {
        let uploads = self.uploads.get();
        self.uploads.set(if uploading { uploads + 1 } else { uploads.saturating_sub(1) });
        if !self.is_uploading() {
            self.wants_bytes.set(false);
        }
    }

    fn is_uploading(&self) -> bool {
        self.uploads.get() > 0
    }

    /// From here on what the head announced is what comes; the request is the caller's.
    pub(super) fn begin(&self, head: Head) -> Request {
        let has_body = !head.body.is_over();
        self.may_be_http2.set(false);
        self.raw.replace(head.raw);
        self.head.replace(head.came);
        self.body.replace(head.body);
        self.continue_left.set(if head.expects_continue { CONTINUE } else { b"" });
        self.offers_upgrade.set(head.offers_upgrade);
        self.is_last.set(!head.keeps_alive);
        self.empty_lines_left.set(MOST_EMPTY_LINES);
        self.wait_for(if has_body { Waiting::Body } else { Waiting::Answer });
        head.request
    }

    /// The request to answer in place of one whose head is refused.
    pub(super) fn refuse(&self, reason: Reason) -> Request {
        self.refused_head.set(Some(reason));
        self.body.replace(Rest::Length(0));
        self.end_after_answer();
        self.wait_for(Waiting::Answer);
        parse::stand_in(self.arrival.peer)
    }

    /// No other request is read from this connection: it is not worth understanding.
    pub fn end_after_answer(&self) {
        self.is_last.set(true);
    }

    /// What comes from now on is no HTTP any more.
    pub fn begin_tunnel(&self) {
        self.body.replace(Rest::UntilClose);
    }

    #[cfg(test)]
    pub(crate) fn begin_body(&self, body: Rest) {
        self.body.replace(body);
    }

    /// From here on the answer is what the client reads: a `100 Continue` would stand amid it.
    pub(super) fn begin_answer(&self) {
        self.continue_left.set(b"");
        // Answers can last long, and what waits holds no buffer.
        self.head.take();
    }

    /// Ready for the next request.
    pub(super) fn answered(&self) {
        self.wait_for(Waiting::Idle);
    }
}
