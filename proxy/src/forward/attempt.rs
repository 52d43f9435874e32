//! Sends a request to endpoints of its service until one gives an answer that is passed on.
//!
//! A first try that goes well is all that most requests see; what follows another ending is boxed
//! aside, so that they do not carry the room for it.

use std::{
    cell::OnceCell,
    rc::Rc,
    time::{Duration, Instant as StdInstant},
};

use actix_http::header;
use actix_web::HttpResponse;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{admit::admit, outgoing::Outgoing, tunnel::Tunnel};
use crate::{
    balance::{Affinity, Ask},
    clock::Millis,
    config::MirrorConfig,
    error::{ProxyError, Reason},
    record::{RequestRecord, Try, TryOutcome},
    retry::{Ended, RetryPolicy, Trouble},
    service::{Endpoint, InFlight, Service},
    upstream::{
        Answer, Connection, HeldBody, Repeatable, RequestBody, ResponseBody, SendFailure, send,
    },
    worker::Worker,
};

/// Endpoints that have been tried; few requests try more than two.
type Tried = SmallVec<[usize; 4]>;

/// Times that a request goes back to the queue because another was quicker.
const MOST_ADMISSIONS: usize = 16;

/// A request does not keep its place in a service that limits them longer than this in a pause.
const LONGEST_WITH_PERMIT: Duration = Duration::from_secs(1);

/// A request, ready to be sent as often as need be.
pub(super) struct Attempts<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) service: &'a Service,
    pub(super) record: &'a Rc<RequestRecord>,
    pub(super) outgoing: &'a Outgoing<'a>,
    /// When the first try begins.
    pub(super) now: Millis,
    pub(super) retry: RetryPolicy<'a>,
    /// When all of it must have ended.
    pub(super) end: Option<Instant>,
    /// The key of the request for policies that have one.
    pub(super) key: Option<u64>,
    /// What was read of the body, for other tries and for the copy.
    pub(super) held: OnceCell<Rc<HeldBody>>,
    pub(super) mirror: Option<&'a MirrorConfig>,
}

/// A try that gave no answer.
struct Failed {
    error: ProxyError,
    is_sent: bool,
    is_repeatable: bool,
}

type Ending = Result<Answer, Failed>;

impl Attempts<'_> {
    pub(super) async fn run(&self) -> Result<HttpResponse, ProxyError> {
        let (mut began, mut now) = (self.record.started, self.now);
        for _ in 0..MOST_ADMISSIONS {
            if let Some(limits) = &self.service.limits {
                let admitted = Box::pin(admit(self.worker, self.service, limits, self.end)).await;
                self.record.permit.replace(Some(admitted?));
                began = Instant::now();
                now = self.worker.gateway.at(began);
            }
            match self.pick(&[], began, now) {
                Ok(first) => {
                    let place = self.begin(first);
                    return match self.attempt(place).await {
                        Ok(answer) if !self.retry.is_unwanted(answer.head.status) => {
                            Ok(self.respond(answer))
                        }
                        ended => Box::pin(self.go_on(ended, place, began)).await,
                    };
                }
                // The last room at an endpoint went to another request.
                Err(Reason::QueueFull) => drop(self.record.permit.take()),
                Err(reason) => return Err(reason.into()),
            }
        }
        Err(Reason::QueueFull.into())
    }

    /// From now on the record holds the try, to its end; where its endpoint stands comes back.
    fn begin(&self, picked: InFlight) -> usize {
        let place = picked.place();
        self.record.endpoint.set(Some(self.service.endpoint(place).index));
        self.record.in_flight.replace(Some(picked));
        place
    }

    /// Tells the try how it has ended.
    fn failed(&self, reason: Reason) {
        if let Some(mut in_flight) = self.record.in_flight.take() {
            in_flight.failed(reason);
        }
    }

    /// What follows a try that did not give the answer wanted.
    async fn go_on(
        &self,
        mut ended: Ending,
        first: usize,
        mut began: Instant,
    ) -> Result<HttpResponse, ProxyError> {
        let mut tried = Tried::new();
        let mut place = first;
        for tries in 1.. {
            self.note(&ended, place, began);
            tried.push(place);
            let Some(pause) = self.pause(&ended, tries) else { break };
            self.record.in_flight.take();
            if !pause.is_zero() {
                // A timer is aligned to a line of the cache: inside, every request would be.
                Box::pin(actix_rt::time::sleep(pause)).await;
            }
            began = Instant::now();
            // Without an endpoint to try, an answer is still an answer.
            let now = self.worker.gateway.at(began);
            let Ok(in_flight) = self.pick(&tried, began, now) else { break };
            self.worker.shard.retry(self.how(&ended).trouble, true);
            drop(ended);
            place = self.begin(in_flight);
            ended = self.attempt(place).await;
            if self.is_wanted(&ended) {
                self.note(&ended, place, began);
                break;
            }
        }
        match ended {
            Ok(answer) => Ok(self.respond(answer)),
            Err(failed) => Err(failed.error),
        }
    }

    fn pick(&self, tried: &[usize], began: Instant, now: Millis) -> Result<InFlight, Reason> {
        let ask = Ask { key: self.key, now };
        self.service.pick(&ask, tried, self.worker, began)
    }

    fn is_wanted(&self, ended: &Ending) -> bool {
        ended.as_ref().is_ok_and(|answer| !self.retry.is_unwanted(answer.head.status))
    }

    /// How long to wait before the next try; `None` if there is none.
    fn pause(&self, ended: &Ending, tries: u32) -> Option<Duration> {
        let how = self.how(ended);
        if !self.retry.allows(self.outgoing.method(), tries, &how) {
            return None;
        }
        let pause = self.retry.delay(tries, &how, &mut self.worker.rng.borrow_mut());
        // A request that waits keeps its place in a service that has few.
        let is_long = self.service.limits.is_some() && pause > LONGEST_WITH_PERMIT;
        if is_long || self.end.is_some_and(|end| Instant::now() + pause >= end) {
            return None;
        }
        let now = self.worker.gateway.now();
        let is_affordable = self.worker.budget(self.service.index).take(now);
        if !is_affordable {
            self.worker.shard.retry(how.trouble, false);
        }
        is_affordable.then_some(pause)
    }

    fn how(&self, ended: &Ending) -> Ended {
        match ended {
            Ok(answer) => Ended {
                trouble: Trouble::Status(answer.head.status),
                is_repeatable: self.is_repeatable(),
                retry_after: answer.head.retry_after,
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
        match self.held.get() {
            Some(held) => held.is_whole(),
            None => self.record.bytes_in.get() == 0,
        }
    }

    /// One endpoint; a second connection to it if the first turns out to have been closed.
    async fn attempt(&self, place: usize) -> Ending {
        let endpoint = self.service.endpoint(place);
        let (mut is_fresh, mut was_stale) = (false, false);
        loop {
            self.record.attempts.set(self.record.attempts.get() + 1);
            let pooled = if is_fresh { None } else { self.worker.pool(endpoint.index).take() };
            let connection = match pooled {
                Some(connection) => connection,
                // Boxed: it is rare, and every request would carry its size.
                None => Box::pin(self.connect(endpoint)).await?,
            };
            is_fresh = true;
            let sent = self.exchange(endpoint, connection).await;
            let code = sent.as_ref().ok().map(|answer| answer.head.status.as_u16());
            self.worker.shard.upstream_answered(endpoint.index, code);
            match sent {
                Ok(answer) => {
                    if let Some(in_flight) = &mut *self.record.in_flight.borrow_mut() {
                        in_flight.answered(answer.head.status, answer.sent_at);
                    }
                    return Ok(answer);
                }
                Err(failure) => {
                    let is_repeatable = self.keep(&failure);
                    if !self.is_lost_by_chance(&failure, is_repeatable) {
                        self.failed(failure.blame());
                        // The connection after one that was closed has not fared better: the
                        // endpoint is going. What may be sent twice may be sent elsewhere.
                        let may_go_on = was_stale
                            && self.outgoing.method().is_idempotent()
                            && self.service.endpoints().len() > 1;
                        let is_sent = failure.is_sent && (failure.is_answered || !may_go_on);
                        return Err(Failed { error: failure.error, is_sent, is_repeatable });
                    }
                    was_stale = true;
                }
            }
        }
    }

    /// Whether the body can be sent again; what was read of it and did not go out is held then.
    fn keep(&self, failure: &SendFailure) -> bool {
        match &failure.repeatable {
            Repeatable::AsItIs => true,
            Repeatable::With(bytes) => self.held.set(Rc::new(HeldBody::of(bytes))).is_ok(),
            Repeatable::No => false,
        }
    }

    /// An idle connection was closed while the request was on its way: nothing is known of the
    /// endpoint yet (RFC 9112 section 9.3.1).
    fn is_lost_by_chance(&self, failure: &SendFailure, is_repeatable: bool) -> bool {
        let is_safe = self.outgoing.method().is_idempotent() || !failure.is_sent;
        failure.is_stale && is_repeatable && is_safe
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, Failed> {
        let started = StdInstant::now();
        let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
        let bound = self.outgoing.timeouts().connect;
        let is_last = left.is_some_and(|left| left < bound);
        let dialler = self.worker.dialer(endpoint.index);
        let connected = dialler.connect(left.map_or(bound, |left| left.min(bound))).await;
        if connected.is_ok() {
            self.worker.shard.upstream_connected(endpoint.index, started.elapsed());
        }
        connected.map_err(|error| {
            self.worker.shard.upstream_answered(endpoint.index, None);
            let error = match error.reason() {
                Reason::ConnectTimeout if is_last => ProxyError::new(Reason::TotalTimeout, error),
                _ => error,
            };
            self.failed(error.reason());
            Failed { error, is_sent: false, is_repeatable: true }
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
            held: self.held.get().cloned(),
        };
        let bounds = self.outgoing.bounds(self.end);
        let pool = self.worker.pool(endpoint.index);
        let deadlines = &self.worker.deadlines;
        send(connection, head, body, self.outgoing.asked(), bounds, deadlines, pool)
    }

    fn note(&self, ended: &Ending, place: usize, began: Instant) {
        let outcome = match ended {
            Ok(answer) => TryOutcome::Status(answer.head.status),
            Err(failed) => TryOutcome::Failed(failed.error.reason()),
        };
        let endpoint = self.service.endpoint(place).index;
        let started = began - self.record.started;
        let noted = Try { endpoint, outcome, started, took: began.elapsed() };
        self.record.tries.borrow_mut().push(noted);
    }

    fn respond(&self, answer: Answer) -> HttpResponse {
        let body = match answer.body {
            ResponseBody::Tunnel(upstream) => {
                let (limits, counted) = (self.service.tunnel, self.worker.shard.open_tunnel());
                let tunnel = Tunnel::new(*upstream, limits, &self.worker.deadlines, counted);
                self.record.tunnel.replace(Some(Box::new(tunnel)));
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
            && let Some(cookie) = self.service.affinity.cookie(
                &endpoint.url,
                self.key,
                self.record.from.arrival().tls.is_some(),
            )
        {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}
