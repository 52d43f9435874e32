//! One open connection and the bytes read from it that nobody has taken yet.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::response_head::ResponseHead;
use crate::{at_once::poll_at_once, scratch::Scratch, telemetry::metrics::UpstreamConnections};

/// awc's connection type cannot be named outside awc.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// What has come of an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    /// Of no answer that was asked for.
    Bytes,
    End,
}

pub struct Connection {
    pub(super) io: Box<dyn Io>,
    pub(super) unread: BytesMut,
    /// Whether a request has been answered over it before.
    pub(super) reused: bool,
    /// Whether there is TLS on it.
    pub(super) is_encrypted: bool,
    /// Where it leads, if that was found by a name.
    pub(super) address: Option<IpAddr>,
    /// The version of the name's addresses of which `address` was one.
    pub(super) known_in: u32,
    pub(super) opened: Instant,
    /// How long the endpoint keeps it open between two requests, less a second, if it has said so.
    pub(super) kept_for: Option<Duration>,
    /// Whether the endpoint may send a body yet that nobody reads, as some do behind the answer to a
    /// HEAD.
    pub(super) is_doubtful: bool,
    /// Whether the endpoint may know it as some client's.
    pub(super) is_owned: bool,
    pub(super) scratch: Scratch,
    counted: Arc<UpstreamConnections>,
}

impl Connection {
    pub fn new(io: Box<dyn Io>, scratch: Scratch, counted: Arc<UpstreamConnections>) -> Self {
        counted.open.add(1);
        Self {
            io,
            unread: BytesMut::new(),
            reused: false,
            is_encrypted: false,
            address: None,
            known_in: 0,
            opened: Instant::now(),
            kept_for: None,
            is_doubtful: false,
            is_owned: false,
            scratch,
            counted,
        }
    }

    /// Reads more into `unread`, making room for at least `room` bytes; 0 is the end.
    pub(super) fn poll_fill(
        &mut self,
        room: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        // To `reserve` would keep the room of what was taken, and double it.
        if !self.unread.try_reclaim(room) {
            let mut fresh = BytesMut::with_capacity(self.unread.len() + room);
            fresh.extend_from_slice(&self.unread);
            self.unread = fresh;
        }
        poll_read_buf(Pin::new(&mut *self.io), cx, &mut self.unread)
    }

    /// Reads what has come of a head, and of what follows it.
    pub(super) fn poll_fill_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.scratch.poll_read(&mut *self.io, &mut self.unread, cx)
    }

    /// Frees the buffer but for what is in it: a connection that waits keeps none.
    pub(super) fn let_go(&mut self) {
        self.unread = BytesMut::from(&self.unread[..]);
    }

    /// What comes next, in a tunnel; empty at the end.
    pub fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if self.unread.is_empty() {
            ready!(self.poll_fill_head(cx))?;
        }
        Poll::Ready(Ok(self.unread.split().freeze()))
    }

    /// Writes all of `bytes`. What TLS keeps of them goes out with `poll_flush`.
    pub fn poll_write(&mut self, bytes: &mut Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !bytes.is_empty() {
            if ready!(poll_write_buf(Pin::new(&mut *self.io), cx, bytes))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once all that was written is on its way.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    /// Closes the sending side.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }

    /// Whether it is to be looked at again before it is used.
    pub fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// Takes what a final head says of it.
    pub(super) fn note(&mut self, head: &ResponseHead, signs_in: bool) {
        self.is_doubtful = head.may_send_more;
        self.is_owned |= signs_in || head.signs_in;
        if head.kept_for.is_some() {
            self.kept_for = head.kept_for;
        }
    }

    /// Ends it between exchanges. Over TLS the endpoint is told that nothing was cut off (RFC 8446
    /// section 6.1), as far as that can be said without waiting.
    pub(super) fn close(mut self) {
        if self.is_encrypted {
            let _ = poll_at_once(|cx| self.poll_shutdown(cx));
        }
    }

    /// What the peer has done between exchanges, as far as the reactor has reported it: an idle
    /// connection can take a request if that is nothing. Costs no system call then.
    pub(super) fn heard(&mut self) -> Heard {
        if !self.unread.is_empty() {
            return Heard::Bytes;
        }
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        match poll_at_once(|cx| Pin::new(&mut *self.io).poll_read(cx, &mut buffer)) {
            Poll::Pending => Heard::Nothing,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => Heard::Bytes,
            Poll::Ready(_) => Heard::End,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.counted.open.subtract(1);
    }
}
