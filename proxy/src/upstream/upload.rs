//! Sends a request: the head, then the body as it arrives from the client, never more of it in
//! memory than one chunk.

use std::{
    fmt::Write,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::ready;
use tokio_util::io::poll_write_buf;

use super::{
    connection::Io,
    request_body::{RequestBody, RequestFraming},
};
use crate::{
    downstream::BodyError,
    error::{ProxyError, Reason},
};

/// Pieces up to this are copied, in bytes: one plain write costs less than a vectored one.
pub(super) const COPIED: usize = 4 << 10;

const CRLF: &[u8] = b"\r\n";

#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    /// The endpoint does not take it; it may have answered all the same.
    #[error("the request could not be written")]
    Upstream(#[source] io::Error),
    /// The client's part failed.
    #[error("the request body could not be read")]
    Client(#[source] BodyError),
    #[error("the request body ended early")]
    Short,
    #[error("the request body is larger than max_body")]
    TooLarge,
    #[error("the request body has no length, and is larger than buffer_request")]
    TooLargeToHold,
}

impl From<UploadError> for ProxyError {
    fn from(error: UploadError) -> Self {
        let reason = match &error {
            UploadError::Upstream(_) => Reason::UpstreamReset,
            UploadError::Client(BodyError::Gone) => Reason::ClientClosed,
            UploadError::Client(BodyError::Refused(reason)) => *reason,
            UploadError::Short => Reason::BadRequest,
            UploadError::TooLarge | UploadError::TooLargeToHold => Reason::BodyTooLarge,
        };
        Self::new(reason, error)
    }
}

/// The request while it is being sent.
pub(super) struct Upload {
    /// The head, the size line of the chunk, and a chunk that is small.
    lines: BytesMut,
    /// A large chunk.
    chunk: Bytes,
    /// The CRLF behind a large chunk: with it, or the endpoint would wait for the next one.
    tail: &'static [u8],
    body: RequestBody,
    framing: RequestFraming,
    /// Whether the client's connection is told that its body is read.
    is_announced: bool,
    /// Length of the piece that was read first, and where it stands in `lines` if it was copied there.
    first: usize,
    first_at: usize,
    /// Bytes of the body that have become bytes of the request.
    taken: u64,
    /// Whether all of the body has been read.
    is_read: bool,
    /// Whether nothing that was written waits in a layer below, as TLS lets it.
    is_flushed: bool,
    /// Bytes that the connection has taken.
    pub(super) written: u64,
}

impl Upload {
    pub(super) fn new(head: BytesMut, body: RequestBody) -> Self {
        let is_read = body.is_none();
        let mut upload = Self {
            lines: head,
            chunk: Bytes::new(),
            tail: b"",
            framing: body.framing(),
            body,
            is_announced: false,
            first: 0,
            first_at: 0,
            taken: 0,
            is_read,
            is_flushed: true,
            written: 0,
        };
        if !is_read {
            upload.set_active(true);
        }
        upload
    }

    /// Whether it will be polled for now: while it is not, nobody wants bytes of the client.
    pub(super) fn set_active(&mut self, is_active: bool) {
        if self.is_announced != is_active {
            self.is_announced = is_active;
            self.body.set_uploading(is_active);
        }
    }

    /// Whether the body could be sent again from its first byte on.
    pub(super) fn is_rewindable(&self) -> bool {
        self.is_unsent() || self.body.is_rewindable()
    }

    /// Ends it, and gives the body back if it can be sent again from its first byte on: what was read
    /// of it is held, or none of it has gone out.
    #[inline]
    pub(super) fn rewind(self) -> Option<RequestBody> {
        if self.body.is_none() { Some(RequestBody::default()) } else { self.rewind_body() }
    }

    fn rewind_body(mut self) -> Option<RequestBody> {
        self.set_active(false);
        let mut body = std::mem::take(&mut self.body);
        if !body.is_rewindable() {
            if !self.is_unsent() {
                return None;
            }
            body.put_back(self.first_piece());
        }
        Some(body)
    }

    /// The piece that nothing of the request went out with.
    fn first_piece(&self) -> BytesMut {
        let copied = || &self.lines[self.first_at..][..self.first];
        BytesMut::from(if self.chunk.is_empty() { copied() } else { &self.chunk })
    }

    /// Whether all that was read is the first piece, and nothing of the request has gone out.
    fn is_unsent(&self) -> bool {
        self.written == 0 && self.taken == self.first as u64
    }

    /// Sends until the whole request is written.
    pub(super) fn poll_send(
        &mut self,
        io: &mut dyn Io,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UploadError>> {
        loop {
            // The body is asked before the head is written, so that both leave in one segment.
            let takes_more = self.chunk.is_empty() && self.tail.is_empty();
            if takes_more && !self.is_read {
                match self.poll_piece(cx) {
                    Poll::Ready(Some(Ok(bytes))) => self.take(bytes)?,
                    Poll::Ready(Some(Err(error))) => {
                        return Poll::Ready(Err(UploadError::Client(error)));
                    }
                    Poll::Ready(None) => self.end()?,
                    Poll::Pending => {}
                }
            }
            if self.is_written() {
                let flushed = Pin::new(io).poll_flush(cx);
                self.is_flushed = flushed.is_ready();
                ready!(flushed).map_err(UploadError::Upstream)?;
                return if self.is_read { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            match ready!(self.poll_write(&mut *io, cx)) {
                Ok(0) => {
                    return Poll::Ready(Err(UploadError::Upstream(
                        io::ErrorKind::WriteZero.into(),
                    )));
                }
                Ok(written) => self.written += written as u64,
                Err(error) => return Poll::Ready(Err(UploadError::Upstream(error))),
            }
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        // Nothing beyond what is held was read by another: the offset fits memory where it matters.
        let offset = usize::try_from(self.taken).unwrap_or(usize::MAX);
        self.body.poll_piece(offset, cx)
    }

    /// A vectored write only where there are two pieces: the plain one is cheaper.
    fn poll_write(&mut self, io: &mut dyn Io, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(io);
        if self.chunk.is_empty() && self.tail.is_empty() {
            let written = ready!(io.poll_write(cx, &self.lines))?;
            self.lines.advance(written);
            return Poll::Ready(Ok(written));
        }
        let pieces = (&mut self.lines).chain(&mut self.chunk).chain(&mut self.tail);
        poll_write_buf(io, cx, &mut { pieces })
    }

    /// Whether the endpoint lets it wait, not the client.
    pub(super) fn is_stuck(&self) -> bool {
        !self.is_written() || !self.is_flushed
    }

    /// Whether nothing waits to be written.
    fn is_written(&self) -> bool {
        self.lines.is_empty() && self.chunk.is_empty() && self.tail.is_empty()
    }

    /// The next bytes of the body become the next bytes of the request.
    fn take(&mut self, bytes: Bytes) -> Result<(), UploadError> {
        let is_first = self.taken == 0;
        self.taken += bytes.len() as u64;
        if !self.body.allows(self.taken) {
            return Err(UploadError::TooLarge);
        }
        match self.framing {
            RequestFraming::Chunked => {
                write!(self.lines, "{:x}\r\n", bytes.len()).expect("a BytesMut grows");
                self.tail = CRLF;
            }
            RequestFraming::Length(length) if self.taken >= length => self.set_read(),
            RequestFraming::Length(_) | RequestFraming::None => {}
        }
        if is_first {
            (self.first, self.first_at) = (bytes.len(), self.lines.len());
        }
        if bytes.len() <= COPIED {
            self.lines.extend_from_slice(&bytes);
            self.lines.extend_from_slice(std::mem::take(&mut self.tail));
        } else {
            self.chunk = bytes;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), UploadError> {
        match self.framing {
            RequestFraming::Chunked => self.lines.extend_from_slice(b"0\r\n\r\n"),
            RequestFraming::Length(length) if self.taken < length => {
                return Err(UploadError::Short);
            }
            RequestFraming::Length(_) | RequestFraming::None => {}
        }
        self.set_read();
        Ok(())
    }

    fn set_read(&mut self) {
        self.is_read = true;
        self.body.end();
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.set_active(false);
    }
}

#[cfg(test)]
mod tests;
