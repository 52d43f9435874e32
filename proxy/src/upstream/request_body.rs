//! A request body that can be sent, from its first byte on.
//!
//! There is one of it, and who sends it owns it: an upload takes it, and gives a body back only if
//! nothing that was read of it is lost. So no try begins amid a body, whatever has happened to the one
//! before it and whatever the client has sent meanwhile.

use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};

use super::{held::Held, upload::UploadError};
use crate::{
    clock::Deadline,
    config::BodyLimit,
    downstream::BodyError,
    error::{ProxyError, Reason},
    record::RequestRecord,
};

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

/// Not `Clone`: two of it would share one client, and each would get a part of the body. Nothing is on
/// the heap for a request without one.
#[derive(Default)]
pub struct RequestBody(Option<Box<Content>>);

struct Content {
    framing: RequestFraming,
    limit: BodyLimit,
    /// Knows the client's connection, and counts what was read of the body. `None` if nothing is to be
    /// read.
    client: Option<Rc<RequestRecord>>,
    /// What was read, if it is kept.
    held: Option<Held>,
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
        let client = Some(Rc::clone(client));
        let held = (most > 0).then(|| Held::new(most));
        Self::new(Content { framing, limit, client, held, is_begun: false })
    }

    /// A body that is all here.
    pub fn whole(bytes: Bytes) -> Self {
        let framing = RequestFraming::Length(bytes.len() as u64);
        let held = Some(Held::whole(bytes.into()));
        let limit = BodyLimit::UNLIMITED;
        Self::new(Content { framing, limit, client: None, held, is_begun: false })
    }

    fn new(content: Content) -> Self {
        Self(content.framing.has_body().then(|| Box::new(content)))
    }

    /// Reads it to its end, so that its length can be told and it needs no client any more. For a body
    /// that is still one from its first byte on.
    ///
    /// # Errors
    /// `body_too_large` beyond `most` bytes or the bound of the route, `total_timeout` at `end`, and what
    /// the client does wrong.
    pub async fn hold(&mut self, most: usize, mut end: Option<Deadline>) -> Result<(), ProxyError> {
        let Some(content) = &mut self.0 else { return Ok(()) };
        content.held = Some(Held::new(most));
        let reading = Reading::start(self);
        poll_fn(|cx| {
            if let Poll::Ready(ended) = reading.0.poll_to_end(cx) {
                return Poll::Ready(ended.map_err(ProxyError::from));
            }
            let end = end.as_mut().map_or(Poll::Pending, |end| end.poll_passed(cx));
            end.map(|()| Err(Reason::TotalTimeout.into()))
        })
        .await?;
        drop(reading);
        self.settle();
        Ok(())
    }

    fn poll_to_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        loop {
            let Some(Content { framing, limit, held: Some(held), .. }) = self.0.as_deref_mut()
            else {
                return Poll::Ready(Ok(()));
            };
            let (read, length) = (held.length(), held.length() as u64);
            if !held.is_all_that_was_read() {
                return Poll::Ready(Err(UploadError::TooLargeToHold));
            }
            if !limit.allows(length) {
                return Poll::Ready(Err(UploadError::TooLarge));
            }
            let announced = match *framing {
                RequestFraming::Length(announced) => Some(announced),
                RequestFraming::Chunked | RequestFraming::None => None,
            };
            if announced.is_some_and(|announced| length >= announced) {
                held.end();
                return Poll::Ready(Ok(()));
            }
            match ready!(self.poll_piece(read, cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(UploadError::Client(error))),
                None if announced.is_some() => return Poll::Ready(Err(UploadError::Short)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// What is here whole has a length, and is read from nobody.
    fn settle(&mut self) {
        if let Some(content) = &mut self.0
            && let Some(held) = content.held.as_ref().filter(|held| held.is_whole())
        {
            content.framing = RequestFraming::Length(held.length() as u64);
            content.limit = BodyLimit::UNLIMITED;
            content.client = None;
        }
    }

    /// The same body for another service, which needs no client; `None` if it was not read to its end,
    /// or has more than `most` bytes.
    pub fn into_copy(mut self, most: usize) -> Option<Self> {
        let Some(content) = &self.0 else { return Some(self) };
        let is_here =
            content.held.as_ref().is_some_and(|held| held.is_whole() && held.length() <= most);
        self.settle();
        is_here.then_some(self)
    }

    pub fn framing(&self) -> RequestFraming {
        self.0.as_ref().map_or(RequestFraming::None, |content| content.framing)
    }

    /// Whether so many bytes of it may be sent.
    pub(super) fn allows(&self, bytes: u64) -> bool {
        self.0.as_ref().is_none_or(|content| content.limit.allows(bytes))
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it is still one from its first byte on.
    pub(super) fn is_rewindable(&self) -> bool {
        self.0.as_ref().is_none_or(|content| match &content.held {
            Some(held) => held.is_all_that_was_read(),
            None => !content.is_begun,
        })
    }

    /// Takes back the first bytes that were read of a body that is not held: they have not gone out.
    pub(super) fn put_back(&mut self, first: BytesMut) {
        if let Some(content) = &mut self.0
            && content.held.is_none()
        {
            content.held = Some(Held::beginning(first));
        }
    }

    /// What follows the first `offset` bytes, never an empty piece: what is held, then what the client
    /// sends. `None` at the end.
    pub(super) fn poll_piece(
        &mut self,
        offset: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(content) = &mut self.0 else { return Poll::Ready(None) };
        if let Some(held) = &content.held {
            if let Some(piece) = held.piece(offset) {
                return Poll::Ready(Some(Ok(piece)));
            }
            if held.is_whole() {
                return Poll::Ready(None);
            }
        }
        let Some(client) = &content.client else { return Poll::Ready(None) };
        let piece = ready!(client.from.poll_body(cx));
        match (&piece, &mut content.held) {
            (Some(Ok(bytes)), held) => {
                client.bytes_in.set(client.bytes_in.get() + bytes.len() as u64);
                match held {
                    Some(held) => held.keep(bytes),
                    None => content.is_begun = true,
                }
            }
            (None, Some(held)) => held.end(),
            (None, None) | (Some(Err(_)), _) => {}
        }
        Poll::Ready(piece)
    }

    /// All of it has been read.
    pub(super) fn end(&mut self) {
        if let Some(held) = self.0.as_mut().and_then(|content| content.held.as_mut()) {
            held.end();
        }
    }

    /// Tells the client's connection whether somebody reads the body.
    pub(super) fn set_uploading(&self, uploading: bool) {
        if let Some(client) = self.0.as_ref().and_then(|content| content.client.as_ref()) {
            client.from.set_uploading(uploading);
        }
    }
}

/// A body that is being read, as its client's connection is told, for as long as that is so.
struct Reading<'a>(&'a mut RequestBody);

impl<'a> Reading<'a> {
    fn start(body: &'a mut RequestBody) -> Self {
        body.set_uploading(true);
        Self(body)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.set_uploading(false);
    }
}
