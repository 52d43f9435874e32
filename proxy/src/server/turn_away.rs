//! How a connection is answered that is one too many: without a request, a buffer or a wait for
//! it, as there may be any number of them.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Poll, ready},
    time::Duration,
};

use actix_rt::time::Instant;
use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};

use super::preface::within;
use crate::{clock::Deadlines, downstream::Stream, error::Reason};

/// Connections of a worker and listener that are answered and not yet closed.
const MOST_LINGERING: usize = 64;
/// How long each of them stays, and how many of its bytes are read.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 << 10;

pub(super) struct TurnAway {
    answer: Vec<u8>,
    lingering: Cell<usize>,
    deadlines: Rc<Deadlines>,
}

impl TurnAway {
    pub(super) fn new(deadlines: Rc<Deadlines>) -> Self {
        let answer = answer(Reason::TooManyConnections).into_bytes();
        Self { answer, lingering: Cell::default(), deadlines }
    }

    /// Writes the answer as far as the socket takes it at once, and closes. If there is room, the
    /// request is read first: closing with unread bytes would reset the connection, perhaps before
    /// the client has seen the answer (RFC 9112 section 9.6).
    pub(super) async fn answer(&self, mut stream: Stream) {
        let socket = SockRef::from(&stream);
        let _ = socket.send(&self.answer);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        if self.lingering.get() >= MOST_LINGERING {
            return;
        }
        let _place = Place::take(&self.lingering);
        let deadline = self.deadlines.start(Instant::now() + LINGER);
        within(deadline, read_away(&mut stream)).await;
    }
}

/// One of `MOST_LINGERING`, given back when dropped.
struct Place<'a>(&'a Cell<usize>);

impl<'a> Place<'a> {
    fn take(lingering: &'a Cell<usize>) -> Self {
        lingering.set(lingering.get() + 1);
        Self(lingering)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Reads until the client closes or has sent too much.
async fn read_away(stream: &mut Stream) {
    let mut left = LINGER_BYTES;
    poll_fn(|cx| {
        let mut scratch = [0; 1024];
        while left > 0 {
            let mut out = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut out));
            if read.is_err() || out.filled().is_empty() {
                break;
            }
            left = left.saturating_sub(out.filled().len());
        }
        Poll::Ready(())
    })
    .await;
}

fn answer(reason: Reason) -> String {
    let (status, body) = (reason.status(), reason.body());
    let (code, phrase) = (status.as_u16(), status.canonical_reason().unwrap_or_default());
    let (error, details) = (reason.error_type(), reason.word());
    format!(
        "HTTP/1.1 {code} {phrase}\r\n\
         Content-Type: application/json\r\n\
         Content-Length: {}\r\n\
         Proxy-Status: proxy; error={error}; details=\"{details}\"\r\n\
         Retry-After: 1\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}
