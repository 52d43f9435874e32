//! The rest of a request whose response has begun: sent by a task of its own, independent of how
//! fast the client takes the response. Dropped, it stops.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use actix_rt::task::JoinHandle;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    connection::{Connection, Io},
    request_body::RequestBody,
    upload::{Upload, UploadError},
};
use crate::{
    downstream::stall::{remember, wake},
    error::{ProxyError, Reason},
};

pub(super) struct RunningUpload {
    task: JoinHandle<()>,
    progress: Rc<Progress>,
}

struct Progress {
    /// `None` once it was taken back.
    upload: RefCell<Option<Upload>>,
    ended: Cell<Option<Ended>>,
    /// Whether it is not to move.
    is_halted: Cell<bool>,
    writer: RefCell<Option<Waker>>,
    reader: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy)]
enum Ended {
    Sent,
    /// The endpoint takes no more; it may well answer to the end what it did not read to the end.
    Refused,
    /// The client's part of the exchange has failed.
    Failed(Reason),
}

impl RunningUpload {
    pub(super) fn start(connection: &mut Connection, upload: Upload) -> Self {
        let mut io = SharedIo::share(connection);
        let progress = Rc::new(Progress {
            upload: RefCell::new(Some(upload)),
            ended: Cell::default(),
            is_halted: Cell::default(),
            writer: RefCell::default(),
            reader: RefCell::default(),
        });
        let running = Rc::clone(&progress);
        let task =
            actix_rt::spawn(async move { poll_fn(|cx| running.poll_send(&mut io, cx)).await });
        Self { task, progress }
    }

    pub(super) fn is_sent(&self) -> bool {
        matches!(self.progress.ended.get(), Some(Ended::Sent))
    }

    /// Why no whole request will reach the endpoint, which may wait for it before it goes on. The
    /// task of `cx` is woken when it comes to that.
    pub(super) fn failure(&self, cx: &Context<'_>) -> Option<Reason> {
        if let Some(Ended::Failed(reason)) = self.progress.ended.get() {
            return Some(reason);
        }
        self.progress.reader.replace(Some(cx.waker().clone()));
        None
    }

    /// Whether the endpoint may be waiting for what the client has not sent yet.
    pub(super) fn waits_for_client(&self) -> bool {
        let upload = self.progress.upload.borrow();
        self.progress.ended.get().is_none() && upload.as_ref().is_some_and(|one| !one.is_stuck())
    }

    /// Whether the body could be sent again from its first byte on, as it is now.
    pub(super) fn is_rewindable(&self) -> bool {
        self.progress.upload.borrow().as_ref().is_some_and(Upload::is_rewindable)
    }

    /// Nothing is read or sent until `resume`.
    pub(super) fn halt(&self) {
        self.progress.set_halted(true);
    }

    pub(super) fn resume(&self) {
        self.progress.set_halted(false);
        // Whom the client's connection would wake is another by now.
        wake(&self.progress.writer);
    }

    /// Ends it; see `Upload::rewind`.
    pub(super) fn rewind(self) -> Option<RequestBody> {
        let upload = self.progress.upload.take();
        upload.and_then(Upload::rewind)
    }
}

impl Progress {
    /// Ready once the upload has ended.
    fn poll_send(&self, io: &mut SharedIo, cx: &mut Context<'_>) -> Poll<()> {
        remember(&self.writer, cx.waker());
        if self.is_halted.get() {
            return Poll::Pending;
        }
        let mut upload = self.upload.borrow_mut();
        let Some(sending) = &mut *upload else { return Poll::Ready(()) };
        let ended = match ready!(sending.poll_send(io, cx)) {
            Ok(()) => Ended::Sent,
            Err(UploadError::Upstream(_)) => Ended::Refused,
            Err(error) => Ended::Failed(ProxyError::from(error).reason()),
        };
        sending.set_active(false);
        self.ended.set(Some(ended));
        // From now on the connection itself must see whether its client leaves.
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(())
    }

    fn set_halted(&self, is_halted: bool) {
        self.is_halted.set(is_halted);
        if let Some(upload) = &mut *self.upload.borrow_mut()
            && self.ended.get().is_none()
        {
            upload.set_active(!is_halted);
        }
    }
}

impl Drop for RunningUpload {
    /// At once, and not when the task is dropped: another try may begin before that.
    fn drop(&mut self) {
        self.progress.upload.take();
        self.task.abort();
    }
}

/// One connection, read by one task and written by another of the same thread.
#[derive(Clone)]
struct SharedIo(Rc<RefCell<Box<dyn Io>>>);

impl SharedIo {
    /// Puts a shared handle in the place of the connection's own, and returns another.
    fn share(connection: &mut Connection) -> Self {
        let placeholder: Box<dyn Io> = Box::new(tokio::io::empty());
        let io = std::mem::replace(&mut connection.io, placeholder);
        let shared = Self(Rc::new(RefCell::new(io)));
        connection.io = Box::new(shared.clone());
        shared
    }
}

impl AsyncRead for SharedIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SharedIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.0.borrow_mut()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().is_write_vectored()
    }
}
