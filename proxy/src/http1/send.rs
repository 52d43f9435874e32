//! Sends one response: the head with the first bytes of the body, then the body as it comes. Large
//! pieces are written where they lie; small ones are gathered with what stands before them.

use std::{
    fmt::Write,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::body::MessageBody;
use bytes::{Buf, Bytes, BytesMut};

use super::{answer::Delimited, conn::Conn};

/// Pieces up to this are copied, in bytes: one plain write costs less than a vectored one.
const COPIED: usize = 4 << 10;
/// Nothing is gathered beyond this, in bytes.
const MOST_GATHERED: usize = 16 << 10;

/// After so many bytes the other connections of the worker get their turn.
const MOST_PER_TURN: usize = 256 << 10;

pub(super) struct Sending<'a, B> {
    conn: &'a Conn,
    /// The head, size lines of chunks, small pieces of the body.
    out: BytesMut,
    /// A large piece of the body, behind `out`.
    piece: Bytes,
    /// The CRLF behind a large chunk.
    tail: &'static [u8],
    body: B,
    delimited: Delimited,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Broken,
}

/// The answer did not reach its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut;

impl<'a, B: MessageBody + Unpin> Sending<'a, B> {
    pub(super) fn new(conn: &'a Conn, head: BytesMut, body: B, delimited: Delimited) -> Self {
        let is_empty = matches!(delimited, Delimited::Empty | Delimited::Length(0));
        let end = is_empty.then_some(End::Whole);
        Self { conn, out: head, piece: Bytes::new(), tail: b"", body, delimited, end }
    }

    pub(super) fn into_body(self) -> B {
        self.body
    }

    /// Ready once all is written, or nothing more can be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        let mut sent = 0;
        loop {
            self.gather(cx);
            let mut pieces = (&mut self.out).chain(&mut self.piece).chain(&mut self.tail);
            if pieces.has_remaining() {
                sent += pieces.remaining();
                ready!(self.conn.poll_write(cx, &mut pieces)).map_err(|_| Cut)?;
                self.out.clear();
                // The next read may have its buffer again.
                self.piece = Bytes::new();
                if sent >= MOST_PER_TURN && self.end.is_none() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            ready!(self.conn.poll_flush(cx)).map_err(|_| Cut)?;
            return match self.end {
                None => Poll::Pending,
                Some(End::Whole) => Poll::Ready(Ok(())),
                Some(End::Broken) => Poll::Ready(Err(Cut)),
            };
        }
    }

    fn gather(&mut self, cx: &mut Context<'_>) {
        while self.takes_more() {
            match Pin::new(&mut self.body).poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(bytes))) => self.take(bytes),
                Poll::Ready(Some(Err(_))) => self.end = Some(End::Broken),
                Poll::Ready(None) => self.finish(),
            }
        }
    }

    /// What stands in `out` goes before a piece and its tail: nothing may be added to it while
    /// one of them waits.
    fn takes_more(&self) -> bool {
        let has_room = self.out.len() < MOST_GATHERED;
        self.end.is_none() && self.piece.is_empty() && self.tail.is_empty() && has_room
    }

    fn take(&mut self, mut bytes: Bytes) {
        if let Delimited::Length(left) = &mut self.delimited {
            bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= bytes.len() as u64;
            if *left == 0 {
                self.end = Some(End::Whole);
            }
        }
        let is_chunk = self.delimited == Delimited::Chunked;
        if is_chunk && bytes.is_empty() {
            return;
        }
        if is_chunk {
            write!(self.out, "{:x}\r\n", bytes.len()).expect("a BytesMut grows");
        }
        let tail: &[u8] = if is_chunk { b"\r\n" } else { b"" };
        if bytes.len() <= COPIED {
            self.out.extend_from_slice(&bytes);
            self.out.extend_from_slice(tail);
        } else {
            self.piece = bytes;
            self.tail = tail;
        }
    }

    /// A body that ends before its length is as broken as one that fails.
    fn finish(&mut self) {
        if self.delimited == Delimited::Chunked {
            self.out.extend_from_slice(b"0\r\n\r\n");
        }
        let is_short = matches!(self.delimited, Delimited::Length(1..));
        self.end = Some(if is_short { End::Broken } else { End::Whole });
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, rc::Rc};

    use actix_web::body::BodySize;
    use tokio::{io::AsyncReadExt, net::UnixStream};

    use super::*;
    use crate::{
        config::{ClientTimeouts, HeadBounds},
        downstream::ConnTable,
        scratch::Scratch,
    };

    struct Pieces(VecDeque<Bytes>);

    impl MessageBody for Pieces {
        type Error = std::convert::Infallible;

        fn size(&self) -> BodySize {
            BodySize::Stream
        }

        fn poll_next(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Bytes, Self::Error>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    /// Large and small pieces by turns, against a reader that takes odd amounts: writes stop
    /// anywhere, between a chunk and its CRLF too.
    #[test]
    fn chunks_stay_whole_wherever_a_write_stops() {
        actix_rt::System::new().block_on(async {
            let pieces: Vec<Bytes> = (0..400)
                .map(|n: usize| {
                    vec![b'a' + (n % 26) as u8; if n.is_multiple_of(2) { 5000 + n } else { 7 }]
                })
                .map(Bytes::from)
                .collect();
            let expected: Vec<u8> = pieces
                .iter()
                .flat_map(|piece| {
                    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
                })
                .chain(*b"0\r\n\r\n")
                .collect();
            let (ours, mut theirs) = UnixStream::pair().expect("a pair can be made");
            socket2::SockRef::from(&ours).set_send_buffer_size(4608).expect("can be set");
            let bounds = HeadBounds::default();
            let (table, _) =
                ConnTable::new(bounds, 1 << 20, ClientTimeouts::default(), Scratch::default());
            let conn = Rc::new(Conn::new(ours.into(), BytesMut::new(), Rc::default(), &table));
            let reader = actix_rt::spawn(async move {
                let (mut read, mut buffer) = (Vec::new(), [0; 1013]);
                loop {
                    match theirs.read(&mut buffer).await.expect("is open") {
                        0 => return read,
                        length => read.extend_from_slice(&buffer[..length]),
                    }
                }
            });
            let mut waiting =
                Sending::new(&conn, BytesMut::new(), Pieces(VecDeque::new()), Delimited::Chunked);
            waiting.take(Bytes::from(vec![b'x'; COPIED + 1]));
            // A write that stops before the CRLF.
            (waiting.out, waiting.piece) = (BytesMut::new(), Bytes::new());
            assert!(!waiting.takes_more());
            let body = Pieces(pieces.into());
            let mut sending = Sending::new(&conn, BytesMut::new(), body, Delimited::Chunked);
            let sent = std::future::poll_fn(|cx| sending.poll(cx)).await;
            assert_eq!(sent, Ok(()));
            drop(sending);
            drop(conn);
            assert!(reader.await.expect("does not panic") == expected);
        });
    }
}
