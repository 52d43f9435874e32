//! Sends a request to endpoints of its service until one gives an answer that is passed on.
//!
//! A first try that goes well is all that most requests see; what follows another ending is boxed
//! aside, so that they do not carry the room for it.

use std::{
    rc::Rc,
    time::{Duration, Instant as StdInstant},
};

use actix_http::{StatusCode, header};
use actix_web::HttpResponse;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{admit::admit, outgoing::Outgoing, tunnel::Tunnel};
use crate::{
    balance::{Affinity, Ask},
    config::MirrorConfig,
    error::{ProxyError, Reason},
    record::{RequestRecord, Try, TryOutcome},
    retry::{Ended, RetryPolicy, Trouble},
    service::{Endpoint, InFlight, Service},
    upstream::{Answer, Connection, HeldBody, RequestBody, ResponseBody, SendFailure, send},
    worker::Worker,
};

/// Endpoints that have been tried; few requests try more than two.
type Tried = SmallVec<[usize; 4]>;

/// Times that a request goes back to the queue because another was quicker.
const MOST_ADMISSIONS: usize = 16;

/// A request, ready to be sent as often as need be.
pub(super) struct Attempts<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) service: &'a Service,
    pub(super) record: &'a Rc<RequestRecord>,
    pub(super) outgoing: Outgoing<'a>,
    pub(super) retry: RetryPolicy<'a>,
    /// When all of it must have ended.
    pub(super) end: Option<Instant>,
    /// The key of the request for policies that have one.
    pub(super) key: Option<u64>,
    /// What was read of the body, for other tries and for the copy.
    pub(super) held: Option<Rc<HeldBody>>,
    pub(super) mirror: Option<&'a MirrorConfig>,
}

/// A try that gave no answer.
struct Failed {
    error: ProxyError,
    is_sent: bool,
    is_repeatable: bool,
}

impl Attempts<'_> {
    pub(super) async fn run(&self) -> Result<HttpResponse, ProxyError> {
        let mut began = self.record.started;
        for _ in 0..MOST_ADMISSIONS {
            if let Some(limits) = &self.service.limits {
                let admitted = Box::pin(admit(self.worker, self.service, limits, self.end)).await;
                self.record.permit.replace(Some(admitted?));
                began = Instant::now();
            }
            let mut tried = Tried::new();
            match self.attempt(&mut tried, began).await {
                Ok(answer) if !self.is_unwanted(answer.head.status) => {
                    return Ok(self.respond(answer));
                }
                // The last room at an endpoint went to another request.
                Err(failed) if failed.error.reason() == Reason::QueueFull => {
                    self.record.permit.take();
                }
                ended => return Box::pin(self.go_on(ended, tried, began)).await,
            }
        }
        Err(Reason::QueueFull.into())
    }

    /// What follows a try that did not give the answer wanted.
    async fn go_on(
        &self,
        mut ended: Result<Answer, Failed>,
        mut tried: Tried,
        mut began: Instant,
    ) -> Result<HttpResponse, ProxyError> {
        for tries in 1.. {
            self.note(&ended, began);
            let Some(pause) = self.pause(&ended, tries) else { break };
            // An answer that is not wanted goes before the next try begins.
            drop(ended);
            self.record.in_flight.take();
            if !pause.is_zero() {
                actix_rt::time::sleep(pause).await;
            }
            began = Instant::now();
            ended = self.attempt(&mut tried, began).await;
            if let Ok(answer) = &ended
                && !self.is_unwanted(answer.head.status)
            {
                self.note(&ended, began);
                break;
            }
        }
        match ended {
            Ok(answer) => Ok(self.respond(answer)),
            Err(failed) => Err(failed.error),
        }
    }

    /// How long to wait before the next try; `None` if there is none.
    fn pause(&self, ended: &Result<Answer, Failed>, tries: u32) -> Option<Duration> {
        let how = self.how(ended);
        let method = self.outgoing.method();
        if !self.retry.allows(method, tries, &how) {
            return None;
        }
        let pause = self.retry.delay(tries, &how, &mut self.worker.rng.borrow_mut());
        if self.end.is_some_and(|end| Instant::now() + pause >= end) {
            return None;
        }
        let now = self.worker.gateway.now();
        let is_affordable = self.worker.budget(self.service.index).take(now);
        self.worker.shard.retry(how.trouble, is_affordable);
        is_affordable.then_some(pause)
    }

    fn how(&self, ended: &Result<Answer, Failed>) -> Ended {
        match ended {
            Ok(answer) => Ended {
                trouble: Trouble::Status(answer.head.status),
                is_repeatable: self.is_repeatable(),
                retry_after: answer
                    .head
                    .retry_after
                    .map(|seconds| Duration::from_secs(seconds.into())),
            },
            Err(failed) => Ended {
                trouble: Trouble::of(failed.error.reason(), failed.is_sent),
                is_repeatable: failed.is_repeatable,
                retry_after: None,
            },
        }
    }

    /// Whether the request body can be sent again from its beginning.
    fn is_repeatable(&self) -> bool {
        match &self.held {
            Some(held) => held.is_whole(),
            None => self.record.bytes_in.get() == 0,
        }
    }

    fn is_unwanted(&self, status: StatusCode) -> bool {
        status.is_server_error() && self.retry.is_unwanted(status)
    }

    /// One endpoint; a second connection to it if the first turns out to have been closed.
    async fn attempt(&self, tried: &mut Tried, began: Instant) -> Result<Answer, Failed> {
        let ask = Ask { key: self.key, now: self.worker.gateway.at(began) };
        let picked = self.service.pick(&ask, tried, self.worker);
        let picked = picked.map_err(Failed::before_sending)?;
        tried.push(picked.place);
        let endpoint = self.service.endpoint(picked.place);
        self.record.endpoint.set(Some(endpoint.index));
        let mut in_flight = InFlight::begin(self.worker, self.service, picked, began);
        let ended = self.send_to(endpoint).await;
        match &ended {
            Ok(answer) => {
                in_flight.answered(answer.head.status);
                self.record.in_flight.replace(Some(in_flight));
            }
            Err(failed) => in_flight.failed(failed.error.reason()),
        }
        ended
    }

    async fn send_to(&self, endpoint: &Endpoint) -> Result<Answer, Failed> {
        let mut pooled = self.worker.pool(endpoint.index).take();
        loop {
            self.record.attempts.set(self.record.attempts.get() + 1);
            let connection = match pooled.take() {
                Some(connection) => connection,
                // Boxed: it is rare, and every request would carry its size.
                None => Box::pin(self.connect(endpoint)).await.map_err(Failed::before_sending)?,
            };
            let sent = self.exchange(endpoint, connection).await;
            let code = sent.as_ref().ok().map(|answer| answer.head.status.as_u16());
            self.worker.shard.upstream_answered(endpoint.index, code);
            match sent {
                Ok(answer) => return Ok(answer),
                Err(failure) if self.is_lost_by_chance(&failure) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// An idle connection was closed while the request was on its way: nothing is known of the
    /// endpoint yet (RFC 9112 section 9.3.1).
    fn is_lost_by_chance(&self, failure: &SendFailure) -> bool {
        let is_safe = self.outgoing.method().is_idempotent() || !failure.is_sent;
        failure.is_stale && failure.is_repeatable && is_safe
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, ProxyError> {
        let started = StdInstant::now();
        let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
        let bound = self.outgoing.timeouts.connect;
        let is_last = left.is_some_and(|left| left < bound);
        let dialler = self.worker.dialer(endpoint.index);
        let connected = dialler.connect(left.map_or(bound, |left| left.min(bound))).await;
        match &connected {
            Ok(_) => self.worker.shard.upstream_connected(endpoint.index, started.elapsed()),
            Err(_) => self.worker.shard.upstream_answered(endpoint.index, None),
        }
        connected.map_err(|error| match error.reason() {
            Reason::ConnectTimeout if is_last => ProxyError::new(Reason::TotalTimeout, error),
            _ => error,
        })
    }

    fn exchange(
        &self,
        endpoint: &Endpoint,
        connection: Connection,
    ) -> impl Future<Output = Result<Answer, SendFailure>> {
        let head = self.outgoing.head(self.service, endpoint, self.end);
        let body = RequestBody {
            framing: self.outgoing.framing,
            limit: self.outgoing.limit,
            client: Some(Rc::clone(self.record)),
            held: self.held.clone(),
        };
        let bounds = self.outgoing.bounds(self.end);
        let pool = self.worker.pool(endpoint.index);
        let deadlines = &self.worker.deadlines;
        send(connection, head, body, self.outgoing.asked(), bounds, deadlines, pool)
    }

    fn note(&self, ended: &Result<Answer, Failed>, began: Instant) {
        let outcome = match ended {
            Ok(answer) => TryOutcome::Status(answer.head.status),
            Err(failed) => TryOutcome::Failed(failed.error.reason()),
        };
        // Who was not even picked has no endpoint.
        let endpoint = self.record.endpoint.get();
        let started = began - self.record.started;
        let noted = Try { endpoint, outcome, started, took: began.elapsed() };
        self.record.tries.borrow_mut().push(noted);
    }

    fn respond(&self, answer: Answer) -> HttpResponse {
        let body = match answer.body {
            ResponseBody::Tunnel(upstream) => {
                let (limits, counted) = (self.service.tunnel, self.worker.shard.open_tunnel());
                let tunnel = Tunnel::new(*upstream, limits, &self.worker.deadlines, counted);
                self.record.tunnel.replace(Some(tunnel));
                ResponseBody::Empty(None)
            }
            body => body,
        };
        self.record.passed_fields.replace(answer.head.fields);
        let mut response = HttpResponse::with_body(answer.head.status, body).map_into_boxed_body();
        self.keep_client(&mut response);
        response
    }
}

impl Attempts<'_> {
    /// Where a cookie names the endpoint, the client gets it.
    fn keep_client(&self, response: &mut HttpResponse) {
        let endpoint = || self.record.endpoint.get().map(|at| self.worker.gateway.endpoint(at));
        if let Affinity::Sticky(_) = self.service.affinity
            && let Some(endpoint) = endpoint()
            && let Some(cookie) = self.service.affinity.cookie(&endpoint.url, self.key)
        {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}

impl Failed {
    fn before_sending(error: impl Into<ProxyError>) -> Self {
        Self { error: error.into(), is_sent: false, is_repeatable: true }
    }
}

impl From<SendFailure> for Failed {
    fn from(failure: SendFailure) -> Self {
        let SendFailure { error, is_sent, is_repeatable, .. } = failure;
        Self { error, is_sent, is_repeatable }
    }
}
