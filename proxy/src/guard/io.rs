//! The IO that actix reads and writes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    conn::{Conn, Waiting, remember},
    input::Input,
    stream::Stream,
    table::{GuardTable, Place},
};
use crate::error::Reason;

/// Bytes of next requests that are held back, at most.
const MOST_HELD: usize = 16 << 10;
/// Takes the place of a head that is refused.
const STAND_IN: &[u8] = b"REFUSED / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

pub struct GuardIo {
    stream: Stream,
    conn: Rc<Conn>,
    place: Place,
    input: Input,
    /// Bytes that were read and not handed over.
    held: BytesMut,
    /// How many of them may go on.
    released: usize,
    is_shut: bool,
}

impl GuardIo {
    /// `early` was read from the connection already, and comes before all that follows.
    pub fn new(stream: Stream, early: BytesMut, table: &Rc<GuardTable>) -> Self {
        let (conn, place) = table.enter();
        conn.holds_bytes.set(!early.is_empty());
        let input = Input::new();
        Self { stream, conn, place, input, held: early, released: 0, is_shut: false }
    }

    /// For the pipeline.
    pub fn conn(&self) -> Rc<Conn> {
        Rc::clone(&self.conn)
    }

    fn deliver(&mut self, out: &mut ReadBuf<'_>) {
        let taken = self.released.min(out.remaining());
        out.put_slice(&self.held[..taken]);
        self.held.advance(taken);
        self.released -= taken;
        if self.held.is_empty() {
            // An idle connection keeps no buffer.
            self.held = BytesMut::new();
        }
        self.conn.holds_bytes.set(!self.held.is_empty());
    }

    fn refuse(&mut self, reason: Reason) {
        self.conn.refused_head.set(Some(reason));
        self.conn.wait_for(Waiting::Answer);
        self.input.close();
        self.held = BytesMut::from(STAND_IN);
        self.released = STAND_IN.len();
    }

    /// Looks again at what is held; true if something may go on.
    fn release(&mut self) -> bool {
        if self.released == 0 && !self.held.is_empty() {
            match self.input.pass(&self.held, &self.conn, self.place.bounds()) {
                Ok(passed) => self.released = passed,
                Err(reason) => self.refuse(reason),
            }
            if self.input.is_closed() {
                self.held.truncate(self.released);
            }
        }
        self.released > 0
    }

    /// What came is handed over, held, or thrown away; true if something was handed over.
    fn sort(&mut self, out: &mut ReadBuf<'_>, before: usize) -> bool {
        let came = out.filled().len() - before;
        if !self.held.is_empty() {
            self.held.extend_from_slice(&out.filled()[before..]);
            out.set_filled(before);
            return false;
        }
        match self.input.pass(&out.filled()[before..], &self.conn, self.place.bounds()) {
            Ok(passed) => {
                if passed < came && !self.input.is_closed() {
                    self.held.extend_from_slice(&out.filled()[before + passed..]);
                    self.conn.holds_bytes.set(true);
                }
                out.set_filled(before + passed);
                passed > 0
            }
            Err(reason) => {
                out.set_filled(before);
                self.refuse(reason);
                false
            }
        }
    }

    /// Whether waiting has taken too long; `Some` is the end for the reader.
    fn give_up(&mut self) -> Option<io::Result<()>> {
        if !self.conn.is_overdue.get() {
            return None;
        }
        match self.conn.waiting.get() {
            Waiting::Fresh | Waiting::Idle | Waiting::Close => Some(Ok(())),
            Waiting::Head => {
                self.refuse(Reason::RequestTimeout);
                None
            }
            // The pipeline answers these.
            Waiting::Body | Waiting::Answer => None,
        }
    }

    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = out.filled().len();
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, out) else {
            self.conn.wants_bytes.set(true);
            return Poll::Pending;
        };
        let came = out.filled().len() - before;
        self.conn.wants_bytes.set(false);
        if read.is_err() || came == 0 {
            self.conn.client_has_left.set(true);
        }
        Poll::Ready(read.map(|()| came))
    }

    /// Reads and throws away, so that closing does not reset the connection before the client has
    /// seen the refusal (RFC 9112 section 9.6).
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 4096];
        while !self.conn.is_overdue.get() {
            let mut out = ReadBuf::new(&mut scratch);
            match ready!(self.poll_more(cx, &mut out)) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    fn is_refused(&self) -> bool {
        self.conn.refusal().is_some() || self.conn.body_refusal().is_some()
    }

    /// Keeps account of a client that does not read.
    fn count_written(
        &self,
        cx: &Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let conn = &self.conn;
        match &written {
            Poll::Ready(Ok(bytes)) if *bytes == offered => {
                conn.stalled_since.set(None);
                conn.write_progress.set(0);
            }
            Poll::Ready(Ok(bytes)) => {
                conn.write_progress.set(conn.write_progress.get() + *bytes as u64);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending if conn.write_is_overdue.get() => {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            Poll::Pending => {
                remember(&conn.writer, cx.waker());
                if conn.stalled_since.get().is_none() {
                    conn.stalled_since.set(Some(conn.tick()));
                }
            }
        }
        written
    }
}

impl AsyncRead for GuardIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        remember(&this.conn.reader, cx.waker());
        loop {
            if this.release() {
                this.deliver(out);
                return Poll::Ready(Ok(()));
            }
            if let Some(end) = this.give_up() {
                return Poll::Ready(end);
            }
            if this.released > 0 {
                continue;
            }
            if this.held.len() >= MOST_HELD && this.input.holds_back(&this.conn) {
                return Poll::Pending;
            }
            let before = out.filled().len();
            let came = ready!(this.poll_more(cx, out))?;
            if came == 0 || this.sort(out, before) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for GuardIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.count_written(cx, bytes.len(), written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.count_written(cx, slices.iter().map(|slice| slice.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_shut {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.is_shut = true;
            this.conn.wait_for(Waiting::Close);
            this.conn.is_overdue.set(false);
        }
        if !this.is_refused() {
            return Poll::Ready(Ok(()));
        }
        remember(&this.conn.reader, cx.waker());
        this.poll_linger(cx)
    }
}

/// Closing in order would tell an HTTP/1.0 client that a body without length is complete (RFC 9112
/// section 8); with a linger time of zero the connection is reset.
impl Drop for GuardIo {
    fn drop(&mut self) {
        if self.conn.must_reset.get() {
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}
