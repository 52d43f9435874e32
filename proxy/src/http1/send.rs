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
                if sent >= MOST_PER_TURN && self.end.is_none() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            return match self.end {
                None => Poll::Pending,
                Some(End::Whole) => Poll::Ready(Ok(())),
                Some(End::Broken) => Poll::Ready(Err(Cut)),
            };
        }
    }

    fn gather(&mut self, cx: &mut Context<'_>) {
        while self.end.is_none() && self.piece.is_empty() && self.out.len() < MOST_GATHERED {
            match Pin::new(&mut self.body).poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(bytes))) => self.take(bytes),
                Poll::Ready(Some(Err(_))) => self.end = Some(End::Broken),
                Poll::Ready(None) => self.finish(),
            }
        }
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
