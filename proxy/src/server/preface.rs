//! What comes on a connection before HTTP: a PROXY header, if the listener wants one.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::proxy_protocol::{Parsed, parse};
use crate::{clock::Deadline, downstream::Stream};

/// What the header said, and what came behind it.
pub(super) struct Preface {
    /// `None` if the header does not say.
    pub client: Option<SocketAddr>,
    pub early: BytesMut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPreface {
    /// The client came and went without a word, as some health checks do.
    Silent,
    /// What it sent is no header, or none that ends.
    Malformed,
}

/// Reads the PROXY header. It is read whole or not at all: what it names decides who is believed.
pub(super) async fn read(stream: &mut Stream) -> Result<Preface, NoPreface> {
    let mut bytes = BytesMut::new();
    loop {
        match read_some(stream, &mut bytes).await {
            Ok(0) | Err(_) if bytes.is_empty() => return Err(NoPreface::Silent),
            Ok(0) | Err(_) => return Err(NoPreface::Malformed),
            Ok(_) => {}
        }
        match parse(&bytes).map_err(|_| NoPreface::Malformed)? {
            // The parser waits for so many bytes at most.
            Parsed::Partial => {}
            Parsed::Whole { length, client } => {
                bytes.advance(length);
                // A buffer without bytes would be kept for nothing.
                let early = if bytes.is_empty() { BytesMut::new() } else { bytes };
                return Ok(Preface { client, early });
            }
        }
    }
}

async fn read_some(stream: &mut Stream, bytes: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|cx| {
        // Here, so that it is no part of every connection's future.
        let mut room = [0; 1024];
        let mut out = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut out))?;
        bytes.extend_from_slice(out.filled());
        Poll::Ready(Ok(out.filled().len()))
    })
    .await
}

/// What `future` returns, or `None` if the deadline passes before.
pub(super) async fn within<F: Future>(mut deadline: Deadline, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        deadline.poll_passed(cx).map(|()| None)
    })
    .await
}
