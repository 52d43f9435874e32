//! The socket under h2: shows what is read to the frame walk, and keeps account of a client that
//! sends nothing or does not read.

use std::{
    cell::RefCell,
    io,
    io::IoSlice,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{frames::HEADER, session::Session};
use crate::downstream::Preread;

/// Room for a header where h2 has none.
const SMALL: usize = 4 * HEADER;

pub(super) struct Guard {
    io: Rc<RefCell<Preread>>,
    session: Rc<Session>,
    /// The beginning of a frame's header, which h2 gets with the rest of it.
    begun: [u8; HEADER],
    begun_length: usize,
    /// What was looked at and did not fit where h2 wanted it.
    ready: SmallVec<[u8; SMALL]>,
}

impl Guard {
    pub(super) fn new(io: Rc<RefCell<Preread>>, session: Rc<Session>) -> Self {
        Self { io, session, begun: [0; HEADER], begun_length: 0, ready: SmallVec::new() }
    }

    /// Reads and looks at what has come, into more room than a header has begun with. Ready with what is
    /// for h2, which is nothing only at the end.
    fn poll_look(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let begun = self.begun_length;
        out.put_slice(&self.begun[..begun]);
        let read = Pin::new(&mut *self.io.borrow_mut()).poll_read(cx, out);
        if !matches!(read, Poll::Ready(Ok(()))) {
            out.set_filled(before);
            return read;
        }
        self.begun_length = 0;
        if out.filled().len() > before + begun {
            let come = &mut out.filled_mut()[before..];
            let whole = come.len() - self.session.heard(come);
            self.begun_length = come.len() - whole;
            self.begun[..self.begun_length].copy_from_slice(&come[whole..]);
            out.set_filled(before + whole);
        }
        read
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
            if !this.ready.is_empty() {
                let fits = this.ready.len().min(out.remaining());
                out.put_slice(&this.ready[..fits]);
                this.ready.drain(..fits);
                return Poll::Ready(Ok(()));
            }
            let begun = this.begun_length;
            if out.remaining() > begun {
                ready!(this.poll_look(cx, out))?;
            } else {
                let mut room = [0; SMALL];
                let mut room = ReadBuf::new(&mut room);
                ready!(this.poll_look(cx, &mut room))?;
                this.ready.extend_from_slice(room.filled());
            }
            let is_end = this.begun_length == 0 && this.ready.is_empty();
            if out.filled().len() > before || is_end {
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
