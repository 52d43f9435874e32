//! Sends a request to endpoints of its service until one gives an answer that is passed on.
//!
//! A first try that goes well is all that most requests see; what follows another ending is boxed
//! aside, so that they do not carry the room for it.

use std::{cell::Cell, rc::Rc, time::Duration};

use actix_http::header;
use actix_web::HttpResponse;
use bytes::BytesMut;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    admit::admit,
    ending::{Ending, Failed, halt, how, into_request, outcome},
    outgoing::Outgoing,
    tunnel::Tunnel,
};
use crate::{
    balance::{Affinity, Ask},
    clock::Millis,
    config::MirrorConfig,
    error::{ProxyError, Reason},
    record::{RequestRecord, Try},
    retry::RetryPolicy,
    upstream::{Answer, Asking, RequestBody, ResponseBody, Unanswered, Witness},
    worker::{End, Hop, InFlight, Worker},
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
    pub(super) hop: &'a Rc<Hop>,
    pub(super) record: &'a Rc<RequestRecord>,
    pub(super) outgoing: &'a Outgoing<'a>,
    /// When the first try begins.
    pub(super) now: Millis,
    pub(super) retry: RetryPolicy<'a>,
    /// When all of it must have ended.
    pub(super) end: Option<Instant>,
    /// The key of the request for policies that have one.
    pub(super) key: Option<u64>,
    /// The body, while no try has it: before the first, and after the last for the copy.
    pub(super) body: Cell<Option<RequestBody>>,
    pub(super) mirror: Option<&'a MirrorConfig>,
}

impl Attempts<'_> {
    pub(super) async fn run(&self) -> Result<HttpResponse, ProxyError> {
        let body = self.body.take().expect("no try has it yet");
        let (mut began, mut now) = (self.record.started, self.now);
        for _ in 0..MOST_ADMISSIONS {
            if let Some(limits) = self.hop.service.limits() {
                let admitted = Box::pin(admit(self.worker, self.hop, limits, self.end)).await;
                self.record.permit.replace(Some(admitted?));
                began = Instant::now();
                now = self.hop.clock.at(began);
            }
            match self.pick(&[], began, now) {
                Ok(first) => {
                    let place = self.begin(first);
                    return match self.attempt(place, body).await {
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
    fn begin(&self, mut picked: InFlight) -> usize {
        picked.asked_by(self.record.client.get());
        let place = picked.place();
        self.record.endpoint.set(Some(place));
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
            let now = self.hop.clock.at(began);
            let Ok(in_flight) = self.pick(&tried, began, now) else { break };
            self.worker.shard.retry(how(&ended).trouble, true);
            place = self.begin(in_flight);
            ended = self.attempt(place, into_request(ended)).await;
            if self.is_wanted(&ended) {
                self.note(&ended, place, began);
                break;
            }
        }
        match ended {
            Ok(answer) => {
                answer.resume();
                Ok(self.respond(answer))
            }
            Err(failed) => {
                self.body.set(failed.request);
                Err(failed.error)
            }
        }
    }

    fn pick(&self, tried: &[usize], began: Instant, now: Millis) -> Result<InFlight, Reason> {
        let ask = Ask { key: self.key, now };
        if tried.is_empty()
            && let Some(own) = self.pick_own(began, now)
        {
            return Ok(own);
        }
        self.hop.pick(&ask, tried, &mut self.worker.rng.borrow_mut(), began)
    }

    /// The endpoint to which the client has a connection of its own: what it has begun there goes on.
    fn pick_own(&self, began: Instant, now: Millis) -> Option<InFlight> {
        let own = &self.record.from.arrival().own;
        if own.is_empty() { None } else { self.hop.pick_own(own, began, now) }
    }

    fn is_wanted(&self, ended: &Ending) -> bool {
        ended.as_ref().is_ok_and(|answer| !self.retry.is_unwanted(answer.head.status))
    }

    /// How long to wait before the next try; `None` if there is none. Of a request that is to be tried
    /// again nothing more is read or sent.
    fn pause(&self, ended: &Ending, tries: u32) -> Option<Duration> {
        let how = how(ended);
        if !self.retry.allows(self.outgoing.method(), tries, &how) {
            return None;
        }
        let pause = self.retry.delay(tries, &how, &mut self.worker.rng.borrow_mut());
        // A request that waits keeps its place in a service that has few.
        let is_long = self.hop.service.limits().is_some() && pause > LONGEST_WITH_PERMIT;
        if is_long || self.end.is_some_and(|end| Instant::now() + pause >= end) {
            return None;
        }
        // What cannot be sent again costs the budget nothing.
        if !halt(ended) {
            return None;
        }
        let now = self.hop.clock.now();
        let is_affordable = self.hop.budget.take(now);
        if !is_affordable {
            self.worker.shard.retry(how.trouble, false);
        }
        is_affordable.then_some(pause)
    }

    /// One endpoint; a second connection to it if the first turns out to have been closed.
    async fn attempt(&self, place: usize, mut body: RequestBody) -> Ending {
        let to = To { attempts: self, end: self.hop.end(place) };
        let host = || self.outgoing.host(&self.hop.service, &to.end.endpoint);
        let origin = match to.end.origin_for(host) {
            Ok(origin) => origin,
            Err(error) => return Err(Failed { error, is_sent: false, request: Some(body) }),
        };
        let asking = Asking {
            asked: self.outgoing.asked(),
            may_repeat: self.outgoing.method().is_idempotent(),
            bounds: self.outgoing.bounds(self.end),
            connect: self.outgoing.timeouts.connect,
            own: Some(&self.record.from.arrival().own),
            deadlines: &self.worker.deadlines,
        };
        match origin.ask(&mut body, &asking, &to).await {
            Ok(answer) => {
                if let Some(in_flight) = &mut *self.record.in_flight.borrow_mut() {
                    in_flight.answered(answer.head.status, answer.sent_at);
                }
                Ok(answer)
            }
            Err(unanswered) => Err(self.give_up(to.end, unanswered)),
        }
    }

    fn give_up(&self, end: &End, unanswered: Unanswered) -> Failed {
        let Unanswered { failure, was_stale } = unanswered;
        // Any client could have an endpoint put out by names that it is not for.
        let is_of_client = failure.error.reason() == Reason::UpstreamTls && end.is_asked_by_name();
        if !is_of_client {
            self.failed(failure.blame());
        }
        // The connection after one that was closed has not fared better: the endpoint is going. What
        // may be sent twice may be sent elsewhere.
        let may_go_on =
            was_stale && self.outgoing.method().is_idempotent() && self.hop.ends().len() > 1;
        let is_sent = failure.is_sent && (failure.is_answered || !may_go_on);
        Failed { error: failure.error, is_sent, request: failure.request }
    }

    fn note(&self, ended: &Ending, place: usize, began: Instant) {
        let started = began - self.record.started;
        let noted =
            Try { endpoint: place, outcome: outcome(ended), started, took: began.elapsed() };
        self.record.tries.borrow_mut().push(noted);
    }

    fn respond(&self, mut answer: Answer) -> HttpResponse {
        if self.mirror.is_some() {
            self.body.set(answer.take_request());
        }
        let body = match answer.body {
            ResponseBody::Tunnel(upstream) => {
                let (limits, counted) = (self.hop.service.tunnel, self.worker.shard.open_tunnel());
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
        let service = &*self.hop.service;
        if let Affinity::Sticky(_) = service.affinity
            && let Some(place) = self.record.endpoint.get()
            && let Some(cookie) =
                service
                    .affinity
                    .cookie(&service.endpoint(place).url, self.key, || self.outgoing.is_secured())
        {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}

/// A try at one endpoint.
struct To<'a> {
    attempts: &'a Attempts<'a>,
    end: &'a End,
}

impl Witness for To<'_> {
    fn begins(&self) {
        let attempts = &self.attempts.record.attempts;
        attempts.set(attempts.get() + 1);
    }

    fn head(&self) -> BytesMut {
        let Attempts { outgoing, hop, end, .. } = self.attempts;
        outgoing.head(&hop.service, &self.end.endpoint, *end)
    }

    fn connected(&self, took: Duration) {
        self.attempts.worker.shard.upstream_connected(self.end.endpoint.id, took);
    }

    fn tried(&self, code: Option<u16>) {
        self.attempts.worker.shard.upstream_answered(self.end.endpoint.id, code);
    }
}
