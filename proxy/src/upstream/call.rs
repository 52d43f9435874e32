//! Questions that the proxy itself asks of one URL, over connections that are kept: it takes the way
//! that requests take. What is asked, and what an answer means, is not known here.
//!
//! Bounds: 128 questions at once, of which one client has its share (`limits/turns.rs`); others wait, and
//! beyond 1,024 that wait, 512 of one client, a question fails without being asked. Each has a time for
//! all of it, the wait too, and a length for the body of its answer. Only what may be asked twice can
//! be asked: a kept connection that turns out to have been closed is replaced by a fresh one, once.

use std::{cell::Cell, fmt, rc::Rc, time::Duration};

use actix_http::{Method, StatusCode};
use actix_web::body::to_bytes_limited;
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use super::{
    Answer, Asked, Asking, Bounds, HeadBounds, Origin, RequestBody, RequestFraming, Witness,
    request_head::{self, RequestLine},
};
use crate::{
    clock::Deadlines,
    config::{CallUrl, HeaderRules, NameCase},
    downstream::ClientNetwork,
    error::{ProxyError, Reason},
    headers::lines::FieldLines,
    limits::turns::Turns,
};

const MOST_CALLS: usize = 128;
const MOST_WAITING: usize = 1024;
const MOST_OF_ONE: usize = 512;
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);
/// Of the head of an answer.
const MOST_HEAD: HeadBounds = HeadBounds { bytes: 64 << 10, fields: 1000 };

/// Asks one URL for one worker.
pub struct Caller {
    url: CallUrl,
    origin: Origin,
    deadlines: Rc<Deadlines>,
    calls: Turns<Option<ClientNetwork>>,
    /// As the log has it.
    is_failing: Cell<bool>,
    warned_at: Cell<Option<Instant>>,
}

/// One question.
pub struct Call<'a> {
    /// Because of whom it is asked; the proxy itself, and all peers over Unix sockets, are one.
    pub client: Option<ClientNetwork>,
    pub method: Method,
    /// Whether its fields hold credentials for the connection.
    pub signs_in: bool,
    /// Field lines as they go on the wire, without `Host` and the length fields.
    pub fields: &'a [u8],
    /// Sent with `Content-Length` unless it is empty.
    pub body: Bytes,
    /// From now to the last byte of the answer.
    pub time: Duration,
    /// Longest body of the answer, in bytes.
    pub most: usize,
}

/// A whole answer.
pub struct Called {
    pub status: StatusCode,
    /// The end-to-end fields, without `Content-Length`.
    pub fields: FieldLines,
    pub body: Bytes,
}

#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("too many questions wait already")]
    TooMany,
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
}

impl Caller {
    pub fn new(url: &CallUrl, origin: Origin, deadlines: &Rc<Deadlines>) -> Self {
        Self {
            url: url.clone(),
            origin,
            deadlines: Rc::clone(deadlines),
            calls: Turns::new(MOST_CALLS, MOST_WAITING, MOST_OF_ONE),
            is_failing: Cell::default(),
            warned_at: Cell::default(),
        }
    }

    /// Asks, and waits for the whole answer, whatever its status is.
    ///
    /// # Errors
    /// `queue_full` if too many wait, `total_timeout` after `time`, else why there is no answer.
    pub async fn call(&self, call: Call<'_>) -> Result<Called, ProxyError> {
        let asking = async {
            let turn = self.calls.take(call.client).await;
            let _turn = turn.map_err(|_| ProxyError::new(Reason::QueueFull, CallError::TooMany))?;
            let Answer { head, body, .. } = self.answer(&call).await?;
            let body = to_bytes_limited(body, call.most).await.map_err(|_| {
                ProxyError::new(Reason::UpstreamProtocol, CallError::TooLong(call.most))
            })??;
            Ok(Called { status: head.status, fields: head.fields, body })
        };
        match timeout_at(Instant::now() + call.time, asking).await {
            Ok(answered) => answered,
            Err(elapsed) => Err(ProxyError::new(Reason::TotalTimeout, elapsed)),
        }
    }

    /// Says in the log, once, that questions of `scheme` are not answered, and why; or that they are
    /// again.
    pub fn tell(&self, scheme: &str, failure: Option<&dyn fmt::Display>) {
        let url = self.url();
        match (failure, self.is_failing.get()) {
            (Some(error), false) if self.may_warn() => {
                self.is_failing.set(true);
                tracing::warn!(scheme, url, %error, "who is asked about clients does not answer");
            }
            (Some(error), _) => tracing::debug!(scheme, url, %error, "no answer about a client"),
            (None, true) => {
                self.is_failing.set(false);
                tracing::info!(scheme, url, "who is asked about clients answers again");
            }
            (None, false) => {}
        }
    }

    /// Not twice within a while: strangers may know what is answered and what is not.
    fn may_warn(&self) -> bool {
        let now = Instant::now();
        let may = self.warned_at.get().is_none_or(|warned| now - warned >= BETWEEN_WARNINGS);
        if may {
            self.warned_at.set(Some(now));
        }
        may
    }

    /// Whom it asks, for the log.
    pub fn url(&self) -> &str {
        &self.url.endpoint.url
    }

    /// Drops kept connections that are old or closed.
    pub fn sweep(&self) {
        self.origin.sweep();
    }

    async fn answer(&self, call: &Call<'_>) -> Result<Answer, ProxyError> {
        let mut body = RequestBody::whole(call.body.clone());
        let rules = HeaderRules::default();
        // The end of it all is the caller's timer.
        let (response, idle) = (call.time, call.time);
        let asking = Asking {
            asked: Asked {
                method: &call.method,
                upgrade: None,
                signs_in: call.signs_in,
                rules: &rules,
            },
            may_repeat: true,
            bounds: Bounds { response, idle, end: None, head: MOST_HEAD },
            connect: call.time,
            own: None,
            deadlines: &self.deadlines,
        };
        let question = Question { caller: self, call, framing: body.framing() };
        let asked = self.origin.ask(&mut body, &asking, &question).await;
        asked.map_err(|unanswered| unanswered.failure.error)
    }
}

/// A call as it goes on the wire.
struct Question<'a> {
    caller: &'a Caller,
    call: &'a Call<'a>,
    framing: RequestFraming,
}

/// Whom schemes ask is no endpoint, and is not counted among them.
impl Witness for Question<'_> {
    fn begins(&self) {}

    fn head(&self) -> BytesMut {
        let url = &self.caller.url;
        let line = RequestLine {
            method: &self.call.method,
            base: "",
            path: url.target.as_bytes(),
            query: None,
            host: url.endpoint.authority.as_bytes(),
            case: NameCase::Title,
        };
        request_head::write(&line, self.framing, None, None, self.call.fields)
    }

    fn connected(&self, _: Duration) {}

    fn tried(&self, _: Option<u16>) {}
}
