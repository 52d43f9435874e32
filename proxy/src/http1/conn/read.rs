//! What is read from a client: heads, bodies, and that it has left. Nobody reads ahead of who wants
//! the bytes, so a client is as fast as what it talks to.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::io::poll_read_buf;

use super::{Conn, Next, Waiting};
use crate::{
    downstream::{BodyError, stall::remember},
    error::Reason,
    framing::{Rest, Taken},
    http1::{head::HeadScanner, parse},
    http2::PREFACE,
};

/// Bytes of next requests that are held back, at most.
const MOST_HELD: usize = 16 << 10;
/// A body that has more than this to come is read in place; less goes through the worker's buffer.
const READ_IN_PLACE: u64 = 16 << 10;
/// One read in place, in bytes.
const LARGEST_READ: usize = 32 << 10;
/// Of an unwanted body, this much is read so that the connection can be kept, in bytes.
const MOST_DISCARDED: u64 = 64 << 10;

impl Conn {
    /// Waits for the next request.
    pub(in crate::http1) fn poll_head(
        &self,
        scanner: &mut HeadScanner,
        cx: &mut Context<'_>,
    ) -> Poll<Next> {
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
        // RFC 9112 section 2.2: some clients put an empty line behind a body, or before they begin.
        while self.empty_lines_left.get() > 0 && buffer.starts_with(b"\r\n") {
            self.empty_lines_left.set(self.empty_lines_left.get() - 1);
            buffer.advance(2);
        }
        if buffer.is_empty() || (self.empty_lines_left.get() > 0 && &buffer[..] == b"\r") {
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
        if self.may_be_http2.get() && buffer[..length] == PREFACE[..PREFACE.len() - 6] {
            return Some(Next::Http2);
        }
        let head = buffer.split_to(length).freeze();
        if buffer.is_empty() {
            // The fields of the request live in the old one.
            *buffer = BytesMut::new();
        }
        Some(match parse::parse(head, self.arrival.peer, &mut self.credentials.borrow_mut()) {
            Ok(head) => Next::Request(head),
            Err(reason) => Next::Refused(reason),
        })
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

    /// Ready once the client has left while it should wait for its answer. What it sends
    /// meanwhile is kept for later.
    pub(in crate::http1) fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        // While a body is sent on, who reads it will notice, and is whom the sweep must wake.
        while !self.is_sent_on() && self.buffer.borrow().len() < MOST_HELD {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    // Nobody wants the body yet: its clock does not run.
                    self.wants_bytes.set(false);
                    break;
                }
            }
        }
        Poll::Pending
    }

    fn is_sent_on(&self) -> bool {
        self.waiting.get() == Waiting::Body && self.is_uploading()
    }

    /// Whether the next request can follow. The rest of a body that nobody wants is thrown away
    /// if it is there already; it is not waited for (RFC 9112 section 9.3).
    pub(in crate::http1) fn finish_body(&self, cx: &mut Context<'_>) -> bool {
        if self.is_last.get() || self.refused_body.get().is_some() {
            return false;
        }
        // An upload that was stopped lets go of the connection a moment later.
        if self.is_uploading() {
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
                _ => {
                    self.wants_bytes.set(false);
                    return false;
                }
            }
            if discarded > MOST_DISCARDED {
                return false;
            }
        }
        // What came behind an offer to switch, and the body of it, was not meant as a request.
        !self.offers_upgrade.get() || self.buffer.borrow().is_empty()
    }

    /// Whether the connection can be kept, as far as is known before the answer is sent.
    pub(in crate::http1) fn keeps(&self, cx: &mut Context<'_>) -> bool {
        self.is_uploading() || self.finish_body(cx)
    }

    /// Reads into `buffer`; 0 is the end.
    pub(super) fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = self.poll_read(cx);
        match &read {
            Poll::Pending => {
                self.wants_bytes.set(true);
                remember(&self.reader, cx.waker());
            }
            Poll::Ready(Ok(1..)) => self.wants_bytes.set(false),
            Poll::Ready(_) => {}
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
}
