//! A response body on its way from the endpoint. It ends only where its framing says; a
//! connection that closes before that is an error all the way to the client (RFC 9112 section 8).

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

use super::{
    connection::Connection, idle::Idle, pool::Pool, response_framing::Framing, room::Room,
    running_upload::RunningUpload, upload::Upload,
};
use crate::{
    clock::{Deadline, Deadlines},
    error::{ProxyError, Reason},
    framing::{ChunkBounds, Rest, Taken},
};

pub(super) const CHUNK_BOUNDS: ChunkBounds = ChunkBounds { line: 4096, trailers: 16 << 10 };

pub enum ResponseBody {
    /// No body; the length is what `Content-Length` says of the body that a GET would get.
    Empty(Option<u64>),
    /// All of it came with the head.
    Whole(Option<Bytes>),
    Streamed(Box<Streamed>),
    /// No body: the connection has switched protocols, and is the caller's.
    Tunnel(Box<Connection>),
}

/// How long a body may take.
pub(super) struct BodyLimits<'a> {
    pub(super) end: Option<Deadline>,
    /// Without a byte.
    pub(super) idle: Duration,
    pub(super) deadlines: &'a Rc<Deadlines>,
}

/// A body that is still being read.
pub struct Streamed {
    /// `None` once the body is complete or has failed.
    connection: Option<Connection>,
    rest: Rest,
    size: BodySize,
    room: Room,
    reusable: bool,
    /// The rest of a request that was answered before it was sent.
    upload: Option<RunningUpload>,
    /// When it must be complete.
    end: Option<Deadline>,
    idle: Idle,
    pool: Rc<Pool>,
}

impl ResponseBody {
    pub(super) fn new(
        mut connection: Connection,
        framing: Framing,
        reusable: bool,
        limits: BodyLimits<'_>,
        pool: &Rc<Pool>,
    ) -> Self {
        let rest = match framing {
            Framing::Empty(length) => {
                release(connection, reusable, pool);
                return Self::Empty(length);
            }
            Framing::Length(length) if length <= connection.unread.len() as u64 => {
                let length = usize::try_from(length).expect("not longer than a buffer");
                let bytes = connection.unread.split_to(length).freeze();
                release(connection, reusable, pool);
                return Self::Whole(Some(bytes));
            }
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::chunked(CHUNK_BOUNDS),
            Framing::UntilClose => Rest::UntilClose,
            Framing::Tunnel => return Self::Tunnel(Box::new(connection)),
        };
        let size = match rest {
            Rest::Length(length) => BodySize::Sized(length),
            Rest::Chunked(_) | Rest::UntilClose => BodySize::Stream,
        };
        let room = Room::new(&rest, connection.scratch.clone());
        Self::Streamed(Box::new(Streamed {
            connection: Some(connection),
            rest,
            size,
            room,
            reusable,
            upload: None,
            end: limits.end,
            idle: Idle::new(limits.idle, limits.deadlines),
            pool: Rc::clone(pool),
        }))
    }
}

/// Back to the pool, or closed.
fn release(mut connection: Connection, reusable: bool, pool: &Pool) {
    if reusable && connection.unread.is_empty() {
        connection.let_go();
        pool.put(connection);
    } else {
        if reusable && connection.is_doubtful {
            pool.distrust();
        }
        connection.close();
    }
}

impl ResponseBody {
    /// Sends the rest of the request beside it, if there is something to wait for; else the upload comes
    /// back.
    pub(super) fn send_beside(&mut self, upload: Upload) -> Option<Upload> {
        let Self::Streamed(body) = self else { return Some(upload) };
        let Some(connection) = &mut body.connection else { return Some(upload) };
        body.upload = Some(RunningUpload::start(connection, upload));
        None
    }

    /// The request that is still being sent.
    pub(super) fn upload(&self) -> Option<&RunningUpload> {
        match self {
            Self::Streamed(body) => body.upload.as_ref(),
            Self::Empty(_) | Self::Whole(_) | Self::Tunnel(_) => None,
        }
    }

    pub(super) fn take_upload(&mut self) -> Option<RunningUpload> {
        match self {
            Self::Streamed(body) => body.upload.take(),
            Self::Empty(_) | Self::Whole(_) | Self::Tunnel(_) => None,
        }
    }
}

impl MessageBody for ResponseBody {
    type Error = ProxyError;

    fn size(&self) -> BodySize {
        match self {
            Self::Empty(None) | Self::Tunnel(_) => BodySize::None,
            Self::Empty(Some(length)) => BodySize::Sized(*length),
            Self::Whole(bytes) => {
                BodySize::Sized(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Streamed(body) => body.size,
        }
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ProxyError>>> {
        match self.get_mut() {
            Self::Empty(_) | Self::Tunnel(_) => Poll::Ready(None),
            Self::Whole(bytes) => {
                Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty()).map(Ok))
            }
            Self::Streamed(body) => body.poll_chunk(cx),
        }
    }

    /// Saves the box that a stream would need.
    fn try_into_bytes(self) -> Result<Bytes, Self> {
        match self {
            Self::Whole(bytes) => Ok(bytes.unwrap_or_default()),
            other => Err(other),
        }
    }
}

impl Streamed {
    /// The next bytes; never empty ones, which would end a chunked body.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ProxyError>>> {
        loop {
            let Some(connection) = &mut self.connection else {
                return Poll::Ready(None);
            };
            match self.rest.take(&mut connection.unread) {
                Ok(Taken::Data(bytes)) => {
                    if matches!(self.rest, Rest::Length(0)) {
                        self.finish();
                    }
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Ok(Taken::End) => {
                    self.finish();
                    return Poll::Ready(None);
                }
                Ok(Taken::NeedsMore) => {}
                Err(error) => {
                    return self.fail(ProxyError::new(Reason::UpstreamProtocol, error));
                }
            }
            if self.end.as_mut().is_some_and(|end| end.poll_passed(cx).is_ready()) {
                return self.fail(Reason::TotalTimeout.into());
            }
            if let Some(reason) = self.upload.as_ref().and_then(|upload| upload.failure(cx)) {
                return self.fail(reason.into());
            }
            let room = self.room.of(&self.rest);
            let Poll::Ready(filled) = connection.poll_fill(room, cx) else {
                self.room.was_empty();
                connection.let_go();
                ready!(self.poll_idle(cx));
                return self.fail(Reason::IdleTimeout.into());
            };
            self.idle.moved();
            match filled {
                // Over TLS there is no such end without the peer's word for it: it is an error.
                Ok(0) if matches!(self.rest, Rest::UntilClose) => {
                    self.finish();
                    return Poll::Ready(None);
                }
                Ok(0) => {
                    let eof = io::ErrorKind::UnexpectedEof.into();
                    return self.fail(ProxyError::upstream_io(eof));
                }
                Ok(read) if read >= room => self.room.was_filled(),
                Ok(_) => {}
                Err(error) => return self.fail(ProxyError::upstream_io(error)),
            }
        }
    }

    /// Ready once the endpoint has been waited for too long. One that waits for the client does not
    /// count.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.idle.poll_waited(cx));
            if !self.upload.as_ref().is_some_and(RunningUpload::waits_for_client) {
                return Poll::Ready(());
            }
            self.idle.moved();
        }
    }

    fn finish(&mut self) {
        let is_sent = self.upload.take().is_none_or(|upload| upload.is_sent());
        if let Some(connection) = self.connection.take() {
            release(connection, self.reusable && is_sent, &self.pool);
        }
    }

    fn fail(&mut self, error: ProxyError) -> Poll<Option<Result<Bytes, ProxyError>>> {
        self.connection = None;
        self.upload = None;
        Poll::Ready(Some(Err(error)))
    }
}
