//! One client connection as all who deal with it see it: the task that serves it, the upload that
//! reads its request body, the sweep that ends it when it waits too long.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use actix_http::Request;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::{
    head::HeadScanner,
    parse::{self, Head},
    stream::Stream,
    table::ConnTable,
};
use crate::{
    error::Reason,
    framing::{Rest, Taken},
};

/// Less progress than this within one timeout counts as none, in bytes.
pub(super) const LEAST_PROGRESS: u64 = 1024;
/// Bytes of next requests that are held back, at most.
const MOST_HELD: usize = 16 << 10;
/// A body that has more than this to come is read in place; less goes through the worker's buffer.
const READ_IN_PLACE: u64 = 16 << 10;
/// One read in place, in bytes.
const LARGEST_READ: usize = 32 << 10;
/// Of an unwanted body, this much is read so that the connection can be kept, in bytes.
const MOST_DISCARDED: u64 = 64 << 10;
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
    is_uploading: Cell<bool>,
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
    has_left: Cell<bool>,
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
            is_uploading: Cell::default(),
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
            has_left: Cell::default(),
        }
    }

    /// Why the request that was just handed to the App must be refused.
    pub fn refusal(&self) -> Option<Reason> {
        self.refused_head.get()
    }

    /// Whether the client has closed its side.
    pub fn has_left(&self) -> bool {
        self.has_left.get()
    }

    /// Marks the body as being sent on, or no longer.
    pub fn set_uploading(&self, uploading: bool) {
        self.is_uploading.set(uploading);
    }

    /// The next bytes of the request body; `None` at its end. Reads from the socket itself, so a
    /// body flows only as fast as it is asked for.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            match self.take_body() {
                Ok(Taken::Data(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Ok(Taken::End) => return Poll::Ready(None),
                Ok(Taken::NeedsMore) => {}
                Err(reason) => return Poll::Ready(Some(Err(BodyError::Refused(reason)))),
            }
            if self.expects_continue() {
                ready!(self.poll_continue(cx)).map_err(|_| BodyError::Gone)?;
            }
            match ready!(self.poll_fill(cx)) {
                Ok(1..) => {}
                Ok(0) if matches!(*self.body.borrow(), Rest::UntilClose) => {
                    return Poll::Ready(None);
                }
                _ => return Poll::Ready(Some(Err(BodyError::Gone))),
            }
        }
    }

    fn take_body(&self) -> Result<Taken, Reason> {
        if let Some(reason) = self.refused_body.get() {
            return Err(reason);
        }
        let mut body = self.body.borrow_mut();
        let taken = body.take(&mut self.buffer.borrow_mut()).map_err(|_| {
            self.refused_body.set(Some(Reason::BadRequest));
            Reason::BadRequest
        })?;
        if let Taken::Data(bytes) = &taken {
            self.progress.set(self.progress.get() + bytes.len() as u64);
        }
        if body.is_over() && self.waiting.get() == Waiting::Body {
            self.wait_for(Waiting::Answer);
        }
        Ok(taken)
    }

    /// RFC 9110 section 10.1.1: only once somebody wants the body.
    fn poll_continue(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut left = self.continue_left.get();
        let written = self.poll_write(cx, &mut left);
        self.continue_left.set(left);
        written
    }

    fn expects_continue(&self) -> bool {
        !self.continue_left.get().is_empty()
    }

    /// Waits for the next request.
    pub(super) fn poll_head(&self, scanner: &mut HeadScanner, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if let Some(next) = self.take_head(scanner) {
                return Poll::Ready(next);
            }
            let is_between = matches!(self.waiting.get(), Waiting::Fresh | Waiting::Idle);
            if self.is_overdue.get() {
                let refused = Next::Refused(Reason::RequestTimeout);
                return Poll::Ready(if is_between { Next::Closed } else { refused });
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Next::Closed),
                // A head that has only begun is no request yet.
                Poll::Pending if self.table.is_draining() => {
                    return Poll::Ready(Next::Closed);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn take_head(&self, scanner: &mut HeadScanner) -> Option<Next> {
        let mut buffer = self.buffer.borrow_mut();
        // RFC 9112 section 2.2: some clients put an empty line behind a body.
        if self.allows_empty_line.get() && buffer.starts_with(b"\r\n") {
            self.allows_empty_line.set(false);
            buffer.advance(2);
        }
        if buffer.is_empty() || (self.allows_empty_line.get() && &buffer[..] == b"\r") {
            return None;
        }
        let length = match scanner.scan(&buffer, self.table.bounds) {
            Ok(Some(length)) => length,
            Ok(None) => {
                if self.waiting.get() != Waiting::Head {
                    self.wait_for(Waiting::Head);
                }
                return None;
            }
            Err(reason) => return Some(Next::Refused(reason)),
        };
        let head = buffer.split_to(length).freeze();
        if buffer.is_empty() {
            // The fields of the request live in the old one.
            *buffer = BytesMut::new();
        }
        Some(match parse::parse(&head, self.peer) {
            Ok(head) => Next::Request(head),
            Err(reason) => Next::Refused(reason),
        })
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

    /// Ready once the client has left while it should wait for its answer. What it sends
    /// meanwhile is kept for later.
    pub(super) fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        // While a body is sent on, who reads it will notice, and is whom the sweep must wake.
        while !self.is_sent_on() && self.buffer.borrow().len() < MOST_HELD {
            if !matches!(ready!(self.poll_fill(cx)), Ok(1..)) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    fn is_sent_on(&self) -> bool {
        self.waiting.get() == Waiting::Body && self.is_uploading.get()
    }

    /// From here on the answer is what the client reads: a `100 Continue` would stand amid it.
    pub(super) fn begin_answer(&self) {
        self.continue_left.set(b"");
    }

    /// Whether the next request can follow. The rest of a body that nobody wants is thrown away
    /// if it is there already; it is not waited for (RFC 9112 section 9.3).
    pub(super) fn finish_body(&self, cx: &mut Context<'_>) -> bool {
        // What came behind an offer to switch was not meant as a request.
        let is_unclear = self.offers_upgrade.get() && !self.buffer.borrow().is_empty();
        if self.is_last.get() || is_unclear || self.refused_body.get().is_some() {
            return false;
        }
        // An upload that was stopped lets go of the connection a moment later.
        if self.is_uploading.get() {
            return false;
        }
        let mut discarded = 0;
        while !self.body.borrow().is_over() {
            if self.expects_continue() {
                return false;
            }
            match self.poll_body(cx) {
                Poll::Ready(Some(Ok(bytes))) => discarded += bytes.len() as u64,
                Poll::Ready(None) => {}
                _ => return false,
            }
            if discarded > MOST_DISCARDED {
                return false;
            }
        }
        true
    }

    /// Whether the connection can be kept, as far as is known before the answer is sent.
    pub(super) fn keeps(&self, cx: &mut Context<'_>) -> bool {
        self.is_uploading.get() || self.finish_body(cx)
    }

    /// Ready for the next request.
    pub(super) fn answered(&self) {
        self.wait_for(Waiting::Idle);
    }

    /// Reads into `buffer`; 0 is the end.
    fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = self.poll_read(cx);
        match &read {
            Poll::Pending => {
                self.wants_bytes.set(true);
                remember(&self.reader, cx.waker());
            }
            Poll::Ready(Ok(1..)) => self.wants_bytes.set(false),
            Poll::Ready(_) => self.has_left.set(true),
        }
        read
    }

    /// What is short is read through the worker's buffer, a large body in place.
    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut io = self.io.borrow_mut();
        let mut buffer = self.buffer.borrow_mut();
        if let Rest::Length(left @ READ_IN_PLACE..) = *self.body.borrow() {
            buffer.reserve(usize::try_from(left).unwrap_or(usize::MAX).min(LARGEST_READ));
            let read = poll_read_buf(Pin::new(&mut *io), cx, &mut *buffer);
            if read.is_pending() && buffer.is_empty() {
                // A client that lets the proxy wait holds no memory meanwhile.
                *buffer = BytesMut::new();
            }
            return read;
        }
        self.table.scratch.poll_read(&mut *io, &mut buffer, cx)
    }

    /// Writes what it can of `bytes`, and keeps account of a client that does not read.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &mut impl Buf) -> Poll<io::Result<()>> {
        while bytes.has_remaining() {
            let offered = bytes.remaining();
            match self.poll_write_once(cx, bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) if written == offered => {
                    self.stalled_since.set(None);
                    self.write_is_overdue.set(false);
                    self.write_progress.set(0);
                }
                Poll::Ready(Ok(written)) => {
                    self.write_progress.set(self.write_progress.get() + written as u64);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if self.write_is_overdue.get() => {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending => {
                    remember(&self.writer, cx.waker());
                    if self.stalled_since.get().is_none() {
                        self.stalled_since.set(Some(self.table.tick()));
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// A vectored write only where there are two pieces: the plain one is cheaper.
    fn poll_write_once(
        &self,
        cx: &mut Context<'_>,
        bytes: &mut impl Buf,
    ) -> Poll<io::Result<usize>> {
        let mut io = self.io.borrow_mut();
        if bytes.chunk().len() < bytes.remaining() {
            return poll_write_buf(Pin::new(&mut *io), cx, bytes);
        }
        let written = ready!(Pin::new(&mut *io).poll_write(cx, bytes.chunk()))?;
        bytes.advance(written);
        Poll::Ready(Ok(written))
    }

    /// Closes the sending side.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.borrow_mut()).poll_shutdown(cx)
    }

    /// Closes so that the client can read the last answer: were bytes of it unread when the socket
    /// goes, the connection would be reset under the answer (RFC 9112 section 9.6).
    pub(super) async fn close(&self) {
        self.is_overdue.set(false);
        self.wait_for(Waiting::Close);
        self.body.replace(Rest::Length(0));
        if poll_fn(|cx| self.poll_shutdown(cx)).await.is_err() {
            return;
        }
        poll_fn(|cx| {
            while !self.is_overdue.get() {
                self.buffer.borrow_mut().clear();
                if !matches!(ready!(self.poll_fill(cx)), Ok(1..)) {
                    break;
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Whether the connection ends in a reset if its socket is dropped now.
    pub(super) fn set_reset(&self, resets: bool) {
        let io = self.io.borrow();
        let linger = resets.then_some(std::time::Duration::ZERO);
        let _ = socket2::SockRef::from(&*io).set_linger(linger);
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
