//! Mirroring: a share of the requests of a route goes to another service as well, which never sees
//! to it that the client gets a worse answer: the copy is sent when the request itself has been
//! answered, by a task of its own, and what comes of it is discarded. Bounds: 64 copies at once per
//! worker, `body_limit` bytes of body each; what is beyond is not copied.

use std::{cell::Cell, future::poll_fn, pin::Pin, rc::Rc, time::Duration};

use actix_http::Method;
use actix_web::body::MessageBody;
use bytes::BytesMut;
use rand::RngExt;
use tokio::time::{Instant, timeout};

use super::attempt::Attempts;
use crate::{
    balance::Ask,
    config::{HeaderRules, MirrorConfig},
    error::{ProxyError, Reason},
    upstream::{Asked, Asking, Bounds, Origin, RequestBody, Witness},
    worker::{Hop, InFlight, Permit, Worker},
};

/// Copies on their way at once, per worker.
const MOST_COPIES: usize = 64;
/// A copy that takes longer is given up, in addition to the timeout for its response head.
const BODY_TIME: Duration = Duration::from_secs(60);

/// The copies of one worker that are on their way.
#[derive(Default)]
pub struct Copies(Cell<usize>);

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// It was answered, with whatever status.
    Answered,
    Failed,
    /// There were too many, or its body was too long or not read to its end.
    Dropped,
}

/// A request of its own, written and ready to go.
struct Copy {
    worker: Rc<Worker>,
    hop: Rc<Hop>,
    origin: Rc<Origin>,
    in_flight: InFlight,
    _permit: Option<Permit>,
    method: Method,
    signs_in: bool,
    head: BytesMut,
    body: RequestBody,
    bounds: Bounds,
}

impl Copied {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// Whether this request is one of the share.
pub(super) fn is_chosen(worker: &Worker, mirror: &MirrorConfig) -> bool {
    mirror.percent >= 100 || worker.rng.borrow_mut().random_range(0..100) < mirror.percent
}

/// Sends the copy of a request that has been tried to its end.
pub(super) fn copy(attempts: &Attempts<'_>, mirror: &MirrorConfig) {
    let worker = attempts.worker;
    let hop = attempts.record.site.hop(mirror.service);
    let service = hop.service.id;
    let body = attempts.body.take().and_then(|body| body.into_copy(mirror.body_limit));
    let copies = worker.copies.0.get();
    // What has become a tunnel is no request any more.
    let is_tunnel = attempts.record.tunnel.borrow().is_some();
    let Some(body) = body.filter(|_| !is_tunnel && copies < MOST_COPIES) else {
        return worker.shard.mirrored(service, Copied::Dropped);
    };
    match prepare(attempts, hop, body) {
        Ok(copy) => {
            worker.copies.0.set(copies + 1);
            actix_rt::spawn(copy.run());
        }
        Err(copied) => worker.shard.mirrored(service, copied),
    }
}

fn prepare(attempts: &Attempts<'_>, hop: &Rc<Hop>, body: RequestBody) -> Result<Copy, Copied> {
    let (worker, service) = (attempts.worker, &*hop.service);
    let now = Instant::now();
    let permit = match service.limits() {
        Some(limits) if !limits.try_enter() => return Err(Copied::Dropped),
        Some(_) => Some(Permit::new(hop)),
        None => None,
    };
    let ask = Ask { key: None, now: hop.clock.at(now) };
    let picked = hop.pick(&ask, &[], &mut worker.rng.borrow_mut(), now);
    let mut in_flight = picked.map_err(|_| Copied::Failed)?;
    in_flight.asked_by(attempts.record.client.get());
    let outgoing = attempts.outgoing;
    let host = || outgoing.host(service, in_flight.endpoint());
    let origin = hop.end(in_flight.place()).origin_for(host).map_err(|_| Copied::Failed)?;
    Ok(Copy {
        origin,
        worker: Rc::clone(worker),
        hop: Rc::clone(hop),
        method: outgoing.method().clone(),
        signs_in: outgoing.asked().signs_in,
        head: outgoing.copied_head(service, in_flight.endpoint(), &body),
        in_flight,
        _permit: permit,
        body,
        bounds: Bounds {
            response: service.timeouts.response,
            idle: service.timeouts.idle,
            end: None,
            head: service.response_head,
        },
    })
}

impl Copy {
    async fn run(self) {
        let (worker, service) = (Rc::clone(&self.worker), self.hop.service.id);
        let longest = self.bounds.response + BODY_TIME;
        let ended = timeout(longest, self.send()).await;
        let copied = if matches!(ended, Ok(Ok(()))) { Copied::Answered } else { Copied::Failed };
        worker.shard.mirrored(service, copied);
        worker.copies.0.set(worker.copies.0.get() - 1);
    }

    async fn send(mut self) -> Result<(), ProxyError> {
        let rules = HeaderRules::default();
        let asking = Asking {
            asked: Asked {
                method: &self.method,
                upgrade: None,
                signs_in: self.signs_in,
                rules: &rules,
            },
            may_repeat: self.method.is_idempotent(),
            bounds: self.bounds,
            connect: self.hop.service.timeouts.connect,
            own: None,
            deadlines: &self.worker.deadlines,
        };
        let mut body = std::mem::take(&mut self.body);
        let asked = self.origin.ask(&mut body, &asking, &Head(&self.head)).await;
        let answer = asked.map_err(|unanswered| {
            let failure = unanswered.failure;
            // As for any request: see `Attempts::give_up`.
            let is_by_name = self.hop.end(self.in_flight.place()).is_asked_by_name();
            if !(is_by_name && failure.error.reason() == Reason::UpstreamTls) {
                self.in_flight.failed(failure.blame());
            }
            failure.error
        })?;
        self.in_flight.answered(answer.head.status, answer.sent_at);
        let mut body = answer.body;
        while let Some(piece) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            if let Err(error) = piece {
                self.in_flight.ended(Some(error.reason()));
                return Err(error);
            }
        }
        Ok(())
    }
}

/// The head of a copy. Tries of copies are not counted among those of requests.
struct Head<'a>(&'a BytesMut);

impl Witness for Head<'_> {
    fn begins(&self) {}

    fn head(&self) -> BytesMut {
        self.0.clone()
    }

    fn connected(&self, _: Duration) {}

    fn tried(&self, _: Option<u16>) {}
}
