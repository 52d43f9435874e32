//! The client's side of a request, whatever protocol it came by: how its connection arrived, where
//! its body comes from, and the sweep that ends what waits too long. `http1/` and `http2/` read and
//! write; who handles a request sees only this.

mod arrival;
mod network;
mod preread;
pub mod stall;
mod stream;
mod table;

use std::{
    cell::Ref,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;

pub use self::{
    arrival::{Arrival, TlsSession},
    network::ClientNetwork,
    preread::Preread,
    stall::Stall,
    stream::Stream,
    table::{ConnTable, Limits, Place, Watched, ticks},
};
use crate::{error::Reason, http1, http2, request::target::Raw};

/// Less progress than this within one timeout counts as none, in bytes.
pub const LEAST_PROGRESS: u64 = 1024;

/// Who has sent a request.
#[derive(Clone)]
pub enum Client {
    Http1(Rc<http1::Conn>),
    Http2(Rc<http2::Stream>),
}

/// Why no more of a request body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the client left before its request was complete")]
    Gone,
    #[error("the request body was refused")]
    Refused(Reason),
}

impl Client {
    pub fn arrival(&self) -> &Rc<Arrival> {
        match self {
            Self::Http1(conn) => conn.arrival(),
            Self::Http2(stream) => stream.arrival(),
        }
    }

    /// Why the request that was just handed to the App must be refused.
    pub fn refusal(&self) -> Option<Reason> {
        match self {
            Self::Http1(conn) => conn.refusal(),
            Self::Http2(stream) => stream.refusal(),
        }
    }

    /// Path and query as they came, if the request has them otherwise.
    pub fn raw_target(&self) -> Option<Raw> {
        match self {
            Self::Http1(conn) => conn.raw_target(),
            Self::Http2(stream) => stream.raw_target(),
        }
    }

    /// The head of the current request as it came; `None` over HTTP/2, which has none.
    pub fn head(&self) -> Option<Ref<'_, Bytes>> {
        match self {
            Self::Http1(conn) => Some(conn.head()),
            Self::Http2(_) => None,
        }
    }

    /// What the client sends is not worth understanding: no other request is read from its
    /// connection. A stream of HTTP/2 is understood apart from the others.
    pub fn end_after_answer(&self) {
        match self {
            Self::Http1(conn) => conn.end_after_answer(),
            Self::Http2(_) => {}
        }
    }

    /// The next bytes of the request body, never none; `None` at its end. A body flows only as fast
    /// as it is asked for.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match self {
            Self::Http1(conn) => conn.poll_body(cx),
            Self::Http2(stream) => stream.poll_body(cx),
        }
    }

    /// Marks the body as being sent on, or no longer; each `true` has its `false`. A client is slow only
    /// while its body is wanted.
    pub fn set_uploading(&self, uploading: bool) {
        match self {
            Self::Http1(conn) => conn.set_uploading(uploading),
            Self::Http2(stream) => stream.set_uploading(uploading),
        }
    }

    /// Why an answer did not reach its end.
    pub fn why_cut(&self) -> Reason {
        match self {
            Self::Http1(conn) => conn.why_cut(),
            Self::Http2(stream) => stream.why_cut(),
        }
    }
}
