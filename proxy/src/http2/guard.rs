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

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::session::Session;
use crate::downstream::Preread;

pub(super) struct Guard {
    io: Rc<RefCell<Preread>>,
    session: Rc<Session>,
}

impl Guard {
    pub(super) fn new(io: Rc<RefCell<Preread>>, session: Rc<Session>) -> Self {
        Self { io, session }
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
        ready!(Pin::new(&mut *this.io.borrow_mut()).poll_read(cx, out))?;
        this.session.heard(&out.filled()[before..]);
        Poll::Ready(Ok(()))
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
