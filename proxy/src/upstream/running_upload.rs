//! The rest of a request whose response has begun: sent by a task of its own, independent of how
//! fast the client takes the response. Dropped, it stops.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use actix_rt::task::JoinHandle;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    connection::{Connection, Io},
    request_body::{Upload, UploadError},
};
use crate::error::{ProxyError, Reason};

pub(super) struct RunningUpload {
    task: JoinHandle<()>,
    progress: Rc<Progress>,
}

#[derive(Default)]
struct Progress {
    is_sent: Cell<bool>,
    /// Why the client's part of the exchange has failed.
    failure: Cell<Option<Reason>>,
    reader: RefCell<Option<Waker>>,
}

impl RunningUpload {
    pub(super) fn start(connection: &mut Connection, mut upload: Upload) -> Self {
        let mut io = SharedIo::share(connection);
        let progress = Rc::new(Progress::default());
        let told = Rc::clone(&progress);
        let task = actix_rt::spawn(async move {
            let ended = poll_fn(|cx| upload.poll_send(&mut io, cx)).await;
            drop(upload);
            match ended {
                Ok(()) => told.is_sent.set(true),
                // The endpoint may well answer to the end what it did not read to the end.
                Err(UploadError::Upstream(_)) => {}
                Err(error) => told.failure.set(Some(ProxyError::from(error).reason())),
            }
            // From now on the connection itself must see whether its client leaves.
            if let Some(reader) = told.reader.take() {
                reader.wake();
            }
        });
        Self { task, progress }
    }

    pub(super) fn is_sent(&self) -> bool {
        self.progress.is_sent.get()
    }

    /// Why no whole request will reach the endpoint, which may wait for it before it goes on. The
    /// task of `cx` is woken when it comes to that.
    pub(super) fn failure(&self, cx: &Context<'_>) -> Option<Reason> {
        let failure = self.progress.failure.get();
        if failure.is_none() {
            self.progress.reader.replace(Some(cx.waker().clone()));
        }
        failure
    }
}

impl Drop for RunningUpload {
    fn drop(&mut self) {
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
