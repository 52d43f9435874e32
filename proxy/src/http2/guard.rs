//! The socket under h2: shows what is read to the frame walk, and keeps account of a client that
//! sends nothing or does not read.
//!
//! What is read goes where h2 wants it, and is looked at there. Only where a header or a header block is
//! not whole, or is written anew, it goes through buffers of this file.

use std::{
    cell::RefCell,
    io,
    io::IoSlice,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{frames::Taken, session::Session};
use crate::downstream::Preread;

/// What is held may be copied to h2 and back with each read, if it is so little.
const SMALL: usize = 64;
/// Room for what is read behind what is held.
const ROOM: usize = 4 << 10;

pub(super) struct Guard {
    io: Rc<RefCell<Preread>>,
    session: Rc<Session>,
    /// The beginning of a header or of a header block, which h2 gets with the rest of it (bounded by
    /// `blocks::Longest`), and what was read behind a block that was written anew.
    held: BytesMut,
    /// Whether the walk has not seen what is held.
    is_unseen: bool,
    /// What was looked at and did not fit where h2 wanted it.
    ready: BytesMut,
}

impl Guard {
    pub(super) fn new(io: Rc<RefCell<Preread>>, session: Rc<Session>) -> Self {
        let (held, ready) = (BytesMut::new(), BytesMut::new());
        Self { io, session, held, is_unseen: false, ready }
    }

    /// Reads and looks at what has come, into more room than is held. Ready with what is for h2; whether the
    /// client has ended.
    fn poll_look(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = out.filled().len();
        let held = self.held.len();
        out.put_slice(&self.held);
        let read = Pin::new(&mut *self.io.borrow_mut()).poll_read(cx, out);
        if !matches!(read, Poll::Ready(Ok(()))) {
            out.set_filled(before);
            return read.map_ok(|()| false);
        }
        self.held.clear();
        if out.filled().len() == before + held {
            return Poll::Ready(Ok(true));
        }
        let come = &mut out.filled_mut()[before..];
        let whole = match self.session.heard(come) {
            Taken::AllBut(left) => {
                let whole = come.len() - left;
                self.held.extend_from_slice(&come[whole..]);
                whole
            }
            Taken::Anew { at, length, block } => {
                self.ready.extend_from_slice(&block);
                self.held.extend_from_slice(&come[at + length..]);
                self.is_unseen = !self.held.is_empty();
                at
            }
            Taken::TooMuch => come.len(),
        };
        out.set_filled(before + whole);
        Poll::Ready(Ok(false))
    }

    /// Reads behind what is held, unless all of that is still to be looked at, and looks at it. Whether
    /// the client has ended.
    fn poll_look_at_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.is_unseen {
            let mut room = [0; ROOM];
            let mut room = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut *self.io.borrow_mut()).poll_read(cx, &mut room))?;
            if room.filled().is_empty() {
                self.ready.unsplit(self.held.split());
                return Poll::Ready(Ok(true));
            }
            self.held.extend_from_slice(room.filled());
        }
        self.is_unseen = false;
        match self.session.heard(&mut self.held) {
            Taken::Anew { at, length, block } => {
                self.ready.unsplit(self.held.split_to(at));
                self.ready.extend_from_slice(&block);
                self.held.advance(length);
                self.is_unseen = !self.held.is_empty();
            }
            Taken::AllBut(left) => {
                let whole = self.held.len() - left;
                self.ready.unsplit(self.held.split_to(whole));
            }
            Taken::TooMuch => self.held.clear(),
        }
        Poll::Ready(Ok(false))
    }

    /// Keeps account of a socket that takes nothing.
    fn watch<T>(&self, written: Poll<io::Result<T>>, cx: &Context<'_>) -> Poll<io::Result<T>> {
        if written.is_pending() {
            if self.session.write_stall.is_overdue() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.session.write_stall.wait(cx.waker(), self.session.tick());
        }
        written
    }
}

impl AsyncRead for Guard {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.session.is_flooded() {
            // The connection ends; nothing more of it is wanted.
            return Poll::Pending;
        }
        let before = out.filled().len();
        loop {
            let held = this.held.len();
            let is_end = if !this.ready.is_empty() {
                let fits = this.ready.len().min(out.remaining());
                out.put_slice(&this.ready[..fits]);
                this.ready.advance(fits);
                return Poll::Ready(Ok(()));
            } else if this.is_unseen || held > SMALL || held >= out.remaining() {
                ready!(this.poll_look_at_held(cx))? && this.ready.is_empty()
            } else {
                ready!(this.poll_look(cx, out))?
            };
            if is_end || out.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Guard {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut *this.io.borrow_mut()).poll_write(cx, bytes);
        let written = ready!(this.watch(written, cx))?;
        this.session.said(&bytes[..written]);
        this.session.wrote(written, written == bytes.len());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut *this.io.borrow_mut()).poll_write_vectored(cx, slices);
        let written = ready!(this.watch(written, cx))?;
        let mut left = written;
        for slice in slices {
            this.session.said(&slice[..left.min(slice.len())]);
            left = left.saturating_sub(slice.len());
        }
        let offered = slices.iter().map(|slice| slice.len()).sum::<usize>();
        this.session.wrote(written, written == offered);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut *this.io.borrow_mut()).poll_flush(cx);
        ready!(this.watch(flushed, cx))?;
        this.session.write_stall.end();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let closed = Pin::new(&mut *this.io.borrow_mut()).poll_shutdown(cx);
        this.watch(closed, cx)
    }
}
