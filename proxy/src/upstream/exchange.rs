//! One HTTP/1.1 exchange: the request goes out while the response comes in.
//!
//! A connection returns to its pool only if the response ended by its own framing, the whole
//! request was sent, and no byte is left over. An interim response is skipped; a final one that
//! comes before the request is sent is delivered, and with its end the upload ends too.

use std::{
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use tokio::time::Instant;

use super::{
    body::{BodyLimits, ResponseBody},
    connection::Connection,
    idle::Idle,
    own_pools::Home,
    request_body::RequestBody,
    response_framing::Framing,
    response_head::{Asked, HeadBounds, Parsed, ResponseHead, parse},
    upload::{Upload, UploadError},
};
use crate::{
    clock::{Deadline, Deadlines},
    error::{ProxyError, Reason},
};

/// More interim responses than this are an error.
const MOST_INTERIM: u8 = 16;
/// How long an answer is waited for that may have come before the endpoint took no more.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What an exchange may take.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// From the request sent to the end of the response head.
    pub response: Duration,
    /// Without a byte, while the request goes out and while the body comes in.
    pub idle: Duration,
    /// When the whole request must have been answered, body and all.
    pub end: Option<Instant>,
    /// Of one response head.
    pub head: HeadBounds,
}

/// A final response; the body may still be on its way.
pub struct Answer {
    pub head: ResponseHead,
    pub body: ResponseBody,
    /// When the whole request had gone out; `None` if the answer came before that.
    pub sent_at: Option<Instant>,
    /// The body of the request, once its upload has ended, if it can be sent again.
    request: Option<RequestBody>,
}

/// Why there is no answer.
pub struct SendFailure {
    pub error: ProxyError,
    /// Whether the endpoint may have seen some of the request.
    pub is_sent: bool,
    /// Whether some of an answer has come.
    pub is_answered: bool,
    /// Whether all of the request was sent: what is missing is the endpoint's.
    pub is_sent_whole: bool,
    /// The body of the request, if it can be sent again.
    pub request: Option<RequestBody>,
    /// Whether an idle connection was closed by its peer before it answered anything, or what came over
    /// it belongs to an answer before.
    pub is_stale: bool,
}

impl Answer {
    /// Whether the request can be sent again in place of this answer: then nothing more of it is read or
    /// sent until `resume`.
    pub fn halt(&self) -> bool {
        let Some(upload) = self.body.upload() else { return self.request.is_some() };
        let is_rewindable = upload.is_rewindable();
        if is_rewindable {
            upload.halt();
        }
        is_rewindable
    }

    /// The answer is taken as it is, and its request goes on.
    pub fn resume(&self) {
        if let Some(upload) = self.body.upload() {
            upload.resume();
        }
    }

    /// Gives the answer up, and ends what was still being sent.
    pub fn into_request(mut self) -> Option<RequestBody> {
        match self.body.take_upload() {
            Some(upload) => upload.rewind(),
            None => self.request,
        }
    }

    /// The body of the request, if its upload has ended and it can be sent again.
    pub fn take_request(&mut self) -> Option<RequestBody> {
        self.request.take()
    }
}

impl SendFailure {
    /// Nothing of the request was sent.
    pub fn unsent(error: ProxyError, request: RequestBody) -> Self {
        Self {
            error,
            is_sent: false,
            is_answered: false,
            is_sent_whole: false,
            request: Some(request),
            is_stale: false,
        }
    }

    /// Whether an idle connection was closed while the request was on its way: nothing is known of the
    /// endpoint yet (RFC 9112 section 9.3.1). What may not be repeated is lost by chance only if none of
    /// it was sent.
    pub fn is_lost_by_chance(&self, may_repeat: bool) -> bool {
        self.is_stale && (may_repeat || !self.is_sent)
    }

    /// The reason, as far as the endpoint is to blame for it: what comes too late in all is its
    /// fault only if it had the whole request.
    pub fn blame(&self) -> Reason {
        match self.error.reason() {
            Reason::TotalTimeout if self.is_sent_whole => Reason::ResponseTimeout,
            reason => reason,
        }
    }
}

struct Attempt<'a> {
    connection: Connection,
    upload: Upload,
    is_sent: bool,
    sent_at: Option<Instant>,
    /// Why the endpoint takes no more; what it has said before that is still read.
    write_error: Option<io::Error>,
    answered_bytes: bool,
    /// A 101 that waits for the end of the request: only then may the client speak the other protocol
    /// (RFC 9110 section 7.8).
    switched: Option<Box<ResponseHead>>,
    interims: u8,
    asked: Asked<'a>,
    response: Duration,
    head: HeadBounds,
    idle_limit: Duration,
    deadlines: &'a Rc<Deadlines>,
    /// For the response head.
    deadline: Option<Deadline>,
    /// For all of it.
    end: Option<Deadline>,
    /// Made when the endpoint is waited for: few requests see it.
    idle: Option<Idle>,
}

/// Sends `head` and `body` over `connection` and waits for the final response head.
pub fn send<'a>(
    connection: Connection,
    head: BytesMut,
    body: RequestBody,
    asked: Asked<'a>,
    bounds: Bounds,
    deadlines: &'a Rc<Deadlines>,
    home: Home<'a>,
) -> impl Future<Output = Result<Answer, SendFailure>> + use<'a> {
    // On the heap: the futures around it, which are moved more than once, stay small.
    let mut attempt = Box::new(Attempt {
        connection,
        upload: Upload::new(head, body),
        is_sent: false,
        sent_at: None,
        write_error: None,
        answered_bytes: false,
        switched: None,
        interims: 0,
        asked,
        response: bounds.response,
        head: bounds.head,
        idle_limit: bounds.idle,
        deadlines,
        deadline: None,
        end: bounds.end.map(|end| deadlines.start(end)),
        idle: None,
    });
    async move {
        match poll_fn(|cx| attempt.poll(cx)).await {
            Ok(head) => Ok(attempt.into_answer(head, home)),
            Err(error) => Err(attempt.into_failure(error)),
        }
    }
}

impl Attempt<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, ProxyError>> {
        if !self.is_sent && self.write_error.is_none() {
            self.poll_upload(cx)?;
        }
        if let Poll::Ready(answer) = self.poll_head(cx) {
            return Poll::Ready(answer);
        }
        let reason = ready!(self.poll_deadline(cx));
        Poll::Ready(Err(match self.write_error.take() {
            Some(error) => ProxyError::upstream_io(error),
            None => reason.into(),
        }))
    }

    /// While the request goes out, only an endpoint that takes none of it is late.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        if let Some(end) = &mut self.end
            && end.poll_passed(cx).is_ready()
        {
            return Poll::Ready(Reason::TotalTimeout);
        }
        match &mut self.deadline {
            Some(deadline) => deadline.poll_passed(cx).map(|()| Reason::ResponseTimeout),
            None if self.upload.is_stuck() => {
                let idle =
                    self.idle.get_or_insert_with(|| Idle::new(self.idle_limit, self.deadlines));
                idle.poll_waited(cx).map(|()| Reason::IdleTimeout)
            }
            None => {
                // It is the client who is waited for.
                if let Some(idle) = &mut self.idle {
                    idle.moved();
                }
                Poll::Pending
            }
        }
    }

    /// Sends what it can. A failed write is kept back: the endpoint may have answered first.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), ProxyError> {
        let before = self.upload.written;
        let sent = self.upload.poll_send(&mut *self.connection.io, cx);
        if self.upload.written > before
            && let Some(idle) = &mut self.idle
        {
            idle.moved();
        }
        match sent {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) => {
                self.is_sent = true;
                let now = Instant::now();
                self.sent_at = Some(now);
                self.deadline = Some(self.deadlines.start(now + self.response));
                Ok(())
            }
            Poll::Ready(Err(UploadError::Upstream(error))) => {
                self.write_error = Some(error);
                self.deadline = Some(self.deadlines.start(Instant::now() + LAST_WORDS));
                Ok(())
            }
            Poll::Ready(Err(error)) => Err(error.into()),
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, ProxyError>> {
        if self.switched.is_some() {
            return self.poll_switched();
        }
        loop {
            while !self.connection.unread.is_empty() {
                self.answered_bytes = true;
                match parse(&mut self.connection.unread, self.asked, self.head) {
                    Ok(Parsed::Final(head)) if head.framing == Framing::Tunnel => {
                        self.switched = Some(Box::new(head));
                        return self.poll_switched();
                    }
                    Ok(Parsed::Final(head)) => return Poll::Ready(Ok(head)),
                    Ok(Parsed::Partial) => break,
                    Ok(Parsed::Interim) if self.interims < MOST_INTERIM => self.interims += 1,
                    Ok(Parsed::Interim) => {
                        let error = "too many interim responses";
                        return Poll::Ready(Err(ProxyError::new(Reason::UpstreamProtocol, error)));
                    }
                    Err(error) => {
                        return Poll::Ready(Err(ProxyError::new(Reason::UpstreamProtocol, error)));
                    }
                }
            }
            match ready!(self.connection.poll_fill_head(cx)) {
                Ok(0) => {
                    let eof = io::ErrorKind::UnexpectedEof.into();
                    return Poll::Ready(Err(ProxyError::upstream_io(eof)));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(ProxyError::upstream_io(error))),
            }
        }
    }

    fn poll_switched(&mut self) -> Poll<Result<ResponseHead, ProxyError>> {
        let head = if self.is_sent { self.switched.take() } else { None };
        head.map_or(Poll::Pending, |head| Poll::Ready(Ok(*head)))
    }

    fn into_answer(self: Box<Self>, head: ResponseHead, home: Home<'_>) -> Answer {
        let is_sending = !self.is_sent && self.write_error.is_none();
        let reusable = head.keeps_alive && self.is_sent;
        let (end, idle_limit, deadlines) = (self.end, self.idle_limit, self.deadlines);
        let (mut connection, sent_at) = (self.connection, self.sent_at);
        connection.note(&head, self.asked.signs_in);
        let limits = BodyLimits {
            end: end.filter(|_| !head.is_event_stream()),
            idle: idle_limit,
            deadlines,
        };
        let owned = if connection.is_owned { home.of_owner() } else { None };
        let reusable = reusable && (owned.is_some() || !connection.is_owned);
        let pool = owned.as_ref().unwrap_or(home.pool);
        let mut body = ResponseBody::new(connection, head.framing, reusable, limits, pool);
        let upload = if is_sending { body.send_beside(self.upload) } else { Some(self.upload) };
        Answer { head, body, sent_at, request: upload.and_then(Upload::rewind) }
    }

    fn into_failure(self: Box<Self>, error: ProxyError) -> SendFailure {
        let is_closed = !self.answered_bytes
            && matches!(error.reason(), Reason::UpstreamReset | Reason::UpstreamTls);
        // What is no answer at all was sent behind the one before.
        let is_left_over =
            self.connection.is_doubtful && error.reason() == Reason::UpstreamProtocol;
        let is_stale = self.connection.reused && (is_closed || is_left_over);
        SendFailure {
            error,
            is_sent: self.upload.written > 0,
            is_answered: self.answered_bytes,
            is_sent_whole: self.is_sent,
            request: self.upload.rewind(),
            is_stale,
        }
    }
}
