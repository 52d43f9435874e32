//! Sends a request: the head, then the body as it arrives from the client, never more of it in
//! memory than one chunk.

use std::{
    fmt::Write,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::ready;
use tokio_util::io::poll_write_buf;

use super::{connection::Io, held::HeldBody};
use crate::{
    config::BodyLimit,
    downstream::BodyError,
    error::{ProxyError, Reason},
    record::RequestRecord,
};

/// Pieces up to this are copied, in bytes: one plain write costs less than a vectored one.
pub(super) const COPIED: usize = 4 << 10;

const CRLF: &[u8] = b"\r\n";

/// How the length of a request body is told to the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFraming {
    /// No body.
    None,
    Length(u64),
    Chunked,
}

/// A body on its way from the client.
#[derive(Clone)]
pub struct RequestBody {
    pub framing: RequestFraming,
    pub limit: BodyLimit,
    /// Knows the client's connection, and counts what was read of the body. `None` if all of the
    /// body is held.
    pub client: Option<Rc<RequestRecord>>,
    /// What was read before comes first; what is read is added.
    pub held: Option<Rc<HeldBody>>,
}

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
}

impl From<UploadError> for ProxyError {
    fn from(error: UploadError) -> Self {
        let reason = match &error {
            UploadError::Upstream(_) => Reason::UpstreamReset,
            UploadError::Client(BodyError::Gone) => Reason::ClientClosed,
            UploadError::Client(BodyError::Refused(reason)) => *reason,
            UploadError::Short => Reason::BadRequest,
            UploadError::TooLarge => Reason::BodyTooLarge,
        };
        Self::new(reason, error)
    }
}

/// Whether a body can be sent again from its beginning.
#[derive(Debug)]
pub enum Repeatable {
    AsItIs,
    /// If these bytes, which were read and did not go out, are held.
    With(Bytes),
    No,
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
    /// Whether the client's connection knows of it.
    is_announced: bool,
    /// Bytes taken of the held body.
    repeated: usize,
    /// Length of the piece that was read before anything was written.
    first: usize,
    /// Bytes of the body in all.
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
        let is_read = matches!(body.framing, RequestFraming::None | RequestFraming::Length(0));
        let is_announced = !is_read;
        if is_announced {
            body.set_uploading(true);
        }
        Self {
            lines: head,
            chunk: Bytes::new(),
            tail: b"",
            body,
            is_announced,
            repeated: 0,
            first: 0,
            taken: 0,
            is_read,
            is_flushed: true,
            written: 0,
        }
    }

    /// The body as far as it was read, if it can be sent again from its beginning: it is held,
    /// or none of it has gone out.
    pub(super) fn repeatable(&self) -> Repeatable {
        match &self.body.held {
            Some(held) if held.is_whole() => Repeatable::AsItIs,
            Some(_) => Repeatable::No,
            None if self.taken == 0 => Repeatable::AsItIs,
            None if self.written == 0 && self.taken == self.first as u64 => {
                Repeatable::With(self.unsent())
            }
            None => Repeatable::No,
        }
    }

    /// The first piece, which nothing of the request went out with.
    fn unsent(&self) -> Bytes {
        if !self.chunk.is_empty() {
            return self.chunk.clone();
        }
        let tail = if self.body.framing == RequestFraming::Chunked { CRLF.len() } else { 0 };
        let end = self.lines.len() - tail;
        Bytes::copy_from_slice(&self.lines[end - self.first..end])
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

    /// The next piece of the body: what is held, then what the client sends.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Some(held) = self.body.held.as_ref().and_then(|held| held.piece(self.repeated)) {
            self.repeated += held.len();
            return Poll::Ready(Some(Ok(held)));
        }
        let Some(client) = &self.body.client else {
            return Poll::Ready(None);
        };
        let piece = ready!(client.from.poll_body(cx));
        if let Some(Ok(bytes)) = &piece {
            client.bytes_in.set(client.bytes_in.get() + bytes.len() as u64);
            if let Some(held) = &self.body.held {
                held.keep(bytes);
                self.repeated += bytes.len();
            }
        }
        Poll::Ready(piece)
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
        self.taken += bytes.len() as u64;
        if self.written == 0 {
            self.first = bytes.len();
        }
        if !self.body.limit.allows(self.taken) {
            return Err(UploadError::TooLarge);
        }
        match self.body.framing {
            RequestFraming::Chunked => {
                write!(self.lines, "{:x}\r\n", bytes.len()).expect("a BytesMut grows");
                self.tail = CRLF;
            }
            RequestFraming::Length(length) if self.taken >= length => self.set_read(),
            RequestFraming::Length(_) | RequestFraming::None => {}
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
        match self.body.framing {
            RequestFraming::Chunked => self.lines.extend_from_slice(b"0\r\n\r\n"),
            RequestFraming::Length(_) => return Err(UploadError::Short),
            RequestFraming::None => {}
        }
        self.set_read();
        Ok(())
    }

    fn set_read(&mut self) {
        self.is_read = true;
        if let Some(held) = &self.body.held {
            held.end();
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_announced {
            self.body.set_uploading(false);
        }
    }
}

impl RequestBody {
    fn set_uploading(&self, uploading: bool) {
        if let Some(client) = &self.client {
            client.from.set_uploading(uploading);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, duplex};

    use super::*;
    use crate::upstream::lazy::Lazy;

    fn upload(held: Option<HeldBody>) -> Upload {
        let (framing, limit) = (RequestFraming::Length(5), BodyLimit::UNLIMITED);
        let body = RequestBody { framing, limit, client: None, held: held.map(Rc::new) };
        Upload::new(BytesMut::from("HEAD "), body)
    }

    /// An upload that has read its body from the client.
    fn with_body() -> Upload {
        let mut upload = upload(None);
        upload.take(Bytes::from_static(b"hello")).expect("is within its limit");
        upload
    }

    fn send(upload: &mut Upload, io: &mut dyn Io) -> Poll<Result<(), UploadError>> {
        upload.poll_send(io, &mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_body_that_was_read_and_not_sent_goes_out_whole_on_another_connection() {
        let (mut reset, peer) = duplex(64);
        drop(peer);
        let mut first = with_body();
        assert!(matches!(send(&mut first, &mut reset), Poll::Ready(Err(UploadError::Upstream(_)))));
        let Repeatable::With(bytes) = first.repeatable() else { panic!("it was lost") };

        let (mut fresh, mut peer) = duplex(64);
        let mut second = upload(Some(HeldBody::of(&bytes)));
        assert!(matches!(send(&mut second, &mut fresh), Poll::Ready(Ok(()))));
        drop(fresh);
        let mut sent = String::new();
        peer.read_to_string(&mut sent).await.expect("is text");
        assert_eq!(sent, "HEAD hello");
    }

    #[tokio::test]
    async fn a_request_that_waits_below_is_not_sent_and_holds_the_endpoint_to_blame() {
        let (below, mut peer) = duplex(64);
        let (mut io, mut upload) = (Lazy::over(below), with_body());
        assert!(send(&mut upload, &mut io).is_pending());
        assert!(upload.is_stuck());
        assert!(matches!(send(&mut upload, &mut io), Poll::Ready(Ok(()))));
        assert!(!upload.is_stuck());
        drop(io);
        let mut sent = String::new();
        peer.read_to_string(&mut sent).await.expect("is text");
        assert_eq!(sent, "HEAD hello");
    }

    #[test]
    fn a_body_of_which_some_may_have_gone_out_cannot_be_sent_again() {
        let (mut narrow, peer) = duplex(7);
        let mut upload = with_body();
        assert!(send(&mut upload, &mut narrow).is_pending());
        drop(peer);
        assert!(matches!(send(&mut upload, &mut narrow), Poll::Ready(Err(_))));
        assert!(matches!(upload.repeatable(), Repeatable::No));
    }
}
