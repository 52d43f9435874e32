//! What goes out, what comes back of it, and who is to blame for a wait.

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
    worker::Site,
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
    let record = RequestRecord::new(Site::empty(), Client::Http1(conn), id, Method::PUT, None);
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
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        if self.0 { Poll::Pending } else { Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
