//! What is written to a client, how long it may take to read it, and how its connection ends.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Buf;
use tokio::io::AsyncWrite;
use tokio_util::io::poll_write_buf;

use super::{Conn, Waiting};
use crate::{at_once::poll_at_once, downstream::stall::remember, error::Reason, framing::Rest};

impl Conn {
    /// RFC 9110 section 10.1.1: only once somebody wants the body.
    pub(in crate::http1) fn poll_continue(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut left = self.continue_left.get();
        let written = self.poll_write(cx, &mut left);
        self.continue_left.set(left);
        written
    }

    pub(in crate::http1) fn expects_continue(&self) -> bool {
        !self.continue_left.get().is_empty()
    }

    /// Writes what it can of `bytes`, and keeps account of a client that does not read.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &mut impl Buf) -> Poll<io::Result<()>> {
        while bytes.has_remaining() {
            let offered = bytes.remaining();
            match self.poll_write_once(cx, bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) if written == offered => self.write_stall.end(),
                Poll::Ready(Ok(written)) => self.write_stall.moved(written),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.stalled(cx).map(Err),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once all that was written is on its way: TLS holds back what the socket did not take.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.io.borrow_mut()).poll_flush(cx);
        match flushed {
            Poll::Pending => self.stalled(cx).map(Err),
            Poll::Ready(flushed) => {
                self.write_stall.end();
                Poll::Ready(flushed)
            }
        }
    }

    /// The client does not read; ready once it has taken too long.
    fn stalled(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.write_stall.is_overdue() {
            return Poll::Ready(io::ErrorKind::TimedOut.into());
        }
        self.write_stall.wait(cx.waker(), self.table.tick());
        Poll::Pending
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

    /// Tells a client with TLS that nothing follows (RFC 8446 section 6.1), as far as the socket
    /// takes it at once: who is told so does not take it for an attack.
    pub(in crate::http1) fn end_session(&self) {
        if self.arrival.tls.is_some() {
            let _ = poll_at_once(|cx| self.poll_shutdown(cx));
        }
    }

    /// Why an answer did not reach its end.
    pub fn why_cut(&self) -> Reason {
        if self.write_stall.is_overdue() { Reason::WriteTimeout } else { Reason::ClientClosed }
    }

    /// Closes so that the client can read the last answer: were bytes of it unread when the socket
    /// goes, the connection would be reset under the answer (RFC 9112 section 9.6).
    pub(in crate::http1) async fn close(&self) {
        self.is_overdue.set(false);
        self.wait_for(Waiting::Close);
        self.body.replace(Rest::Length(0));
        let shut = poll_fn(|cx| {
            remember(&self.reader, cx.waker());
            match self.poll_shutdown(cx) {
                // What TLS says at the end needs room in the socket.
                Poll::Pending if self.is_overdue.get() => {
                    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
                }
                shut => shut,
            }
        });
        if shut.await.is_err() {
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
    pub(in crate::http1) fn set_reset(&self, resets: bool) {
        let io = self.io.borrow();
        let linger = resets.then_some(Duration::ZERO);
        let _ = socket2::SockRef::from(&*io).set_linger(linger);
    }
}
