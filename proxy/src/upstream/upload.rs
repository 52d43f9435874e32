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

/// The request while it is being sent.
pub(super) struct Upload {
    /// The head, the size line of the chunk, and a chunk that is small.
    lines: BytesMut,
    /// A large chunk.
    chunk: Bytes,
    /// The CRLF behind a large chunk: with it, or the endpoint would wait for the next one.
    tail: &'static [u8],
    /// `None` once it was given back.
    body: Option<RequestBody>,
    framing: RequestFraming,
    /// Whether the client's connection is told that its body is read.
    is_announced: bool,
    /// The piece of a body that is not held, as long as nothing has gone out with it.
    first: Bytes,
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
        let is_read = !body.framing.has_body();
        let mut upload = Self {
            lines: head,
            chunk: Bytes::new(),
            tail: b"",
            framing: body.framing,
            body: Some(body),
            is_announced: false,
            first: Bytes::new(),
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
        if let Some(body) = &self.body
            && self.is_announced != is_active
        {
            self.is_announced = is_active;
            body.set_uploading(is_active);
        }
    }

    /// Whether the body could be sent again from its first byte on.
    pub(super) fn is_rewindable(&self) -> bool {
        self.is_unsent() || self.body.as_ref().is_some_and(RequestBody::is_rewindable)
    }

    /// Ends it, and gives the body back if it can be sent again from its first byte on: what was read
    /// of it is held, or none of it has gone out.
    pub(super) fn rewind(mut self) -> Option<RequestBody> {
        self.set_active(false);
        let is_unsent = self.is_unsent();
        let mut body = self.body.take()?;
        if is_unsent && !self.first.is_empty() {
            body.put_back(std::mem::take(&mut self.first));
        }
        body.is_rewindable().then_some(body)
    }

    /// Whether all that was read is the first piece, and nothing of the request has gone out.
    fn is_unsent(&self) -> bool {
        self.written == 0 && self.taken == self.first.len() as u64
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
                Ok(written) => {
                    self.written += written as u64;
                    self.first = Bytes::new();
                }
                Err(error) => return Poll::Ready(Err(UploadError::Upstream(error))),
            }
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        // Nothing beyond what is held was read by another: the offset fits memory where it matters.
        let offset = usize::try_from(self.taken).unwrap_or(usize::MAX);
        self.body.as_mut().map_or(Poll::Ready(None), |body| body.poll_piece(offset, cx))
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
        if let Some(body) = &self.body {
            if !body.limit.allows(self.taken) {
                return Err(UploadError::TooLarge);
            }
            if self.written == 0 && !body.is_held() {
                self.first = bytes.clone();
            }
        }
        match self.framing {
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
        match self.framing {
            RequestFraming::Chunked => self.lines.extend_from_slice(b"0\r\n\r\n"),
            RequestFraming::Length(_) => return Err(UploadError::Short),
            RequestFraming::None => {}
        }
        self.set_read();
        Ok(())
    }

    fn set_read(&mut self) {
        self.is_read = true;
        if let Some(body) = &mut self.body {
            body.end();
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.set_active(false);
    }
}

#[cfg(test)]
mod tests {
    use std::{rc::Rc, task::Waker};

    use actix_http::{Method, header::HeaderValue};
    use tokio::{
        io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
        net::UnixStream,
    };

    use super::*;
    use crate::{
        config::BodyLimit,
        downstream::Client,
        framing::Rest,
        http1::Conn,
        record::RequestRecord,
        upstream::{body::CHUNK_BOUNDS, lazy::Lazy},
    };

    fn upload(body: RequestBody) -> Upload {
        Upload::new(BytesMut::from("HEAD "), body)
    }

    /// An upload whose client has sent "hello", and which keeps up to `most` bytes of it.
    async fn with_body(framing: RequestFraming, most: usize) -> (Upload, UnixStream) {
        let body: &[u8] = match framing {
            RequestFraming::Chunked => b"5\r\nhello\r\n0\r\n\r\n",
            _ => b"hello",
        };
        let rest = match framing {
            RequestFraming::Chunked => Rest::chunked(CHUNK_BOUNDS),
            _ => Rest::Length(5),
        };
        let (conn, mut client) = Conn::pair();
        client.write_all(body).await.expect("fits");
        conn.begin_body(rest);
        // The reactor must have seen it.
        tokio::task::yield_now().await;
        let id = HeaderValue::from_static("id");
        let record = RequestRecord::new(Client::Http1(conn), id, Method::PUT, None);
        let limit = BodyLimit::UNLIMITED;
        (upload(RequestBody::of_client(framing, limit, &Rc::new(record), most)), client)
    }

    fn send(upload: &mut Upload, io: &mut dyn Io) -> Poll<Result<(), UploadError>> {
        upload.poll_send(io, &mut Context::from_waker(Waker::noop()))
    }

    /// All that goes out of `upload`, which must not wait for anything.
    async fn sent(mut upload: Upload) -> String {
        let (mut io, mut peer) = duplex(64);
        assert!(matches!(send(&mut upload, &mut io), Poll::Ready(Ok(()))));
        drop(io);
        let mut sent = String::new();
        peer.read_to_string(&mut sent).await.expect("is text");
        sent
    }

    fn closed() -> DuplexStream {
        duplex(64).0
    }

    /// Lets nothing out, and then fails.
    struct Stuck(bool);

    #[test]
    fn a_body_that_was_read_and_not_sent_goes_out_whole_on_another_connection() {
        actix_rt::System::new().block_on(async {
            for most in [0, 100] {
                for framing in [RequestFraming::Length(5), RequestFraming::Chunked] {
                    let (mut first, _client) = with_body(framing, most).await;
                    let refused = send(&mut first, &mut closed());
                    assert!(matches!(refused, Poll::Ready(Err(UploadError::Upstream(_)))));
                    let again = first.rewind().expect("nothing was lost");
                    let expected = match framing {
                        RequestFraming::Chunked => "HEAD 5\r\nhello\r\n0\r\n\r\n",
                        _ => "HEAD hello",
                    };
                    assert_eq!(sent(upload(again)).await, expected, "{framing:?}, {most}");
                }
            }
        });
    }

    /// The end of the body may be read while its first piece still waits.
    #[test]
    fn what_is_put_back_is_the_body_and_not_how_it_was_framed() {
        actix_rt::System::new().block_on(async {
            let (mut first, _client) = with_body(RequestFraming::Chunked, 0).await;
            let mut stuck = Stuck(true);
            assert!(send(&mut first, &mut stuck).is_pending());
            assert!(send(&mut first, &mut stuck).is_pending());
            stuck.0 = false;
            assert!(matches!(send(&mut first, &mut stuck), Poll::Ready(Err(_))));
            let again = first.rewind().expect("nothing was lost");
            assert_eq!(sent(upload(again)).await, "HEAD 5\r\nhello\r\n0\r\n\r\n");
        });
    }

    #[test]
    fn a_request_that_waits_below_is_not_sent_and_holds_the_endpoint_to_blame() {
        actix_rt::System::new().block_on(async {
            let (below, mut peer) = duplex(64);
            let (mut upload, _client) = with_body(RequestFraming::Length(5), 0).await;
            let mut io = Lazy::over(below);
            assert!(send(&mut upload, &mut io).is_pending());
            assert!(upload.is_stuck());
            assert!(matches!(send(&mut upload, &mut io), Poll::Ready(Ok(()))));
            assert!(!upload.is_stuck());
            drop(io);
            let mut sent = String::new();
            peer.read_to_string(&mut sent).await.expect("is text");
            assert_eq!(sent, "HEAD hello");
        });
    }

    #[test]
    fn a_body_of_which_some_may_have_gone_out_cannot_be_sent_again() {
        actix_rt::System::new().block_on(async {
            let (mut narrow, peer) = duplex(7);
            let (mut upload, _client) = with_body(RequestFraming::Length(5), 0).await;
            assert!(send(&mut upload, &mut narrow).is_pending());
            drop(peer);
            assert!(matches!(send(&mut upload, &mut narrow), Poll::Ready(Err(_))));
            assert!(!upload.is_rewindable());
            assert!(upload.rewind().is_none());
        });
    }

    impl AsyncRead for Stuck {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Stuck {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.0 { Poll::Pending } else { Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}
