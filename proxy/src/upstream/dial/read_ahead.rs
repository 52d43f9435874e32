//! What TLS reads from. rustls asks for 4 KiB at a time, which makes five system calls of a record
//! of 16 KiB: where it gets all that it asks for, more is read at once, and handed out in pieces.
//! Nothing is kept while a connection waits.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Of one read, in bytes: two records and their framing.
const ROOM: usize = 33 << 10;

#[derive(Debug)]
pub(super) struct ReadAhead<S> {
    pub(super) below: S,
    ahead: BytesMut,
    /// Whether the last read brought all that there was room for.
    expects_more: bool,
}

impl<S> ReadAhead<S> {
    pub(super) fn of(below: S) -> Self {
        Self { below, ahead: BytesMut::new(), expects_more: false }
    }
}

impl<S: AsyncRead + Unpin> ReadAhead<S> {
    fn poll_straight(
        &mut self,
        buffer: &mut ReadBuf<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.below).poll_read(cx, buffer))?;
        self.expects_more = buffer.remaining() == 0;
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ahead.reserve(ROOM);
        let filled = poll_read_buf(Pin::new(&mut self.below), cx, &mut self.ahead);
        self.expects_more = matches!(filled, Poll::Ready(Ok(read)) if read >= ROOM);
        filled.map_ok(drop)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            if !this.expects_more {
                return this.poll_straight(buffer, cx);
            }
            let filled = this.poll_fill(cx);
            if this.ahead.is_empty() {
                this.ahead = BytesMut::new();
                return filled;
            }
        }
        let taken = this.ahead.len().min(buffer.remaining());
        buffer.put_slice(&this.ahead[..taken]);
        this.ahead.advance(taken);
        if this.ahead.is_empty() && !this.expects_more {
            this.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().below).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().below).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().below).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().below).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.below.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn every_byte_comes_once_and_in_order_and_nothing_is_kept_in_the_end() {
        let (below, mut peer) = duplex(100_000);
        let mut ahead = ReadAhead::of(below);
        let sent: Vec<u8> = (0..90_001_u32).map(|number| (number % 251) as u8).collect();
        peer.write_all(&sent).await.expect("fits");
        let (mut got, mut most) = (Vec::new(), 0);
        let mut piece = [0; 4096];
        while got.len() < sent.len() {
            let read = ahead.read(&mut piece).await.expect("is open");
            got.extend_from_slice(&piece[..read]);
            most = most.max(ahead.ahead.capacity());
        }
        assert!(got == sent);
        assert!((ROOM / 2..2 * ROOM).contains(&most), "{most}");
        assert_eq!(ahead.ahead.capacity(), 0);
        drop(peer);
        assert_eq!(ahead.read(&mut piece).await.expect("ends"), 0);
    }

    #[tokio::test]
    async fn what_is_short_is_read_straight() {
        let (below, mut peer) = duplex(100_000);
        let mut ahead = ReadAhead::of(below);
        peer.write_all(&[1; 4095]).await.expect("fits");
        assert_eq!(ahead.read(&mut [0; 4096]).await.expect("is open"), 4095);
        peer.write_all(&[2; 5000]).await.expect("fits");
        assert_eq!(ahead.read(&mut [0; 100]).await.expect("is open"), 100);
        assert_eq!(ahead.read(&mut [0; 4096]).await.expect("is open"), 4096);
        assert_eq!(ahead.read(&mut [0; 4096]).await.expect("is open"), 804);
        assert_eq!(ahead.ahead.capacity(), 0);
    }
}
