//! A request body that can be sent, from its first byte on.
//!
//! There is one of it, and who sends it owns it: an upload takes it, and gives a body back only if
//! nothing that was read of it is lost. So no try begins amid a body, whatever has happened to the one
//! before it and whatever the client has sent meanwhile.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use super::held::Held;
use crate::{config::BodyLimit, downstream::BodyError, record::RequestRecord};

/// How the length of a request body is told to the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFraming {
    /// No body.
    None,
    Length(u64),
    Chunked,
}

impl RequestFraming {
    /// Whether a body follows the head.
    pub fn has_body(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }
}

/// Not `Clone`: two of it would share one client, and each would get a part of the body.
pub struct RequestBody {
    pub(super) framing: RequestFraming,
    pub(super) limit: BodyLimit,
    /// Knows the client's connection, and counts what was read of the body. `None` if nothing is to be
    /// read.
    client: Option<Rc<RequestRecord>>,
    /// What was read, if it is kept.
    held: Option<Box<Held>>,
    /// Whether something was read that is not held.
    is_begun: bool,
}

impl RequestBody {
    /// The body of a request, of which nothing was read yet. Up to `most` bytes of it are kept while it
    /// is sent; 0 is for a body that goes out once.
    pub fn of_client(
        framing: RequestFraming,
        limit: BodyLimit,
        client: &Rc<RequestRecord>,
        most: usize,
    ) -> Self {
        let has_body = framing.has_body();
        let client = has_body.then(|| Rc::clone(client));
        let held = (has_body && most > 0).then(|| Box::new(Held::new(most)));
        Self { framing, limit, client, held, is_begun: false }
    }

    /// A body that is all here.
    pub fn whole(bytes: Bytes) -> Self {
        let framing = match bytes.len() as u64 {
            0 => RequestFraming::None,
            length => RequestFraming::Length(length),
        };
        let held = framing.has_body().then(|| Box::new(Held::whole(bytes.into())));
        Self { framing, limit: BodyLimit::UNLIMITED, client: None, held, is_begun: false }
    }

    /// The same body for another service, which needs no client; `None` if it was not read to its end,
    /// or has more than `most` bytes.
    pub fn into_copy(self, most: usize) -> Option<Self> {
        let is_here = match &self.held {
            Some(held) => held.is_whole() && held.length() <= most,
            None => !self.framing.has_body(),
        };
        is_here.then(|| Self { limit: BodyLimit::UNLIMITED, client: None, ..self })
    }

    pub fn framing(&self) -> RequestFraming {
        self.framing
    }

    /// Whether it is still one from its first byte on.
    pub(super) fn is_rewindable(&self) -> bool {
        !self.is_begun && self.held.as_ref().is_none_or(|held| held.is_all_that_was_read())
    }

    /// Takes back the first bytes that were read of a body that is not held: they have not gone out.
    pub(super) fn put_back(&mut self, first: Bytes) {
        self.held = Some(Box::new(Held::beginning(first.into())));
        self.is_begun = false;
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// What follows the first `offset` bytes, never an empty piece: what is held, then what the client
    /// sends. `None` at the end.
    pub(super) fn poll_piece(
        &mut self,
        offset: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Some(held) = &self.held {
            if let Some(piece) = held.piece(offset) {
                return Poll::Ready(Some(Ok(piece)));
            }
            if held.is_whole() {
                return Poll::Ready(None);
            }
        }
        let Some(client) = &self.client else {
            return Poll::Ready(None);
        };
        let piece = ready!(client.from.poll_body(cx));
        match &piece {
            Some(Ok(bytes)) => {
                client.bytes_in.set(client.bytes_in.get() + bytes.len() as u64);
                match &mut self.held {
                    Some(held) => held.keep(bytes),
                    None => self.is_begun = true,
                }
            }
            Some(Err(_)) => {}
            None => self.end(),
        }
        Poll::Ready(piece)
    }

    /// All of it has been read.
    pub(super) fn end(&mut self) {
        if let Some(held) = &mut self.held {
            held.end();
        }
    }

    /// Tells the client's connection whether somebody reads the body.
    pub(super) fn set_uploading(&self, uploading: bool) {
        if let Some(client) = &self.client {
            client.from.set_uploading(uploading);
        }
    }
}
