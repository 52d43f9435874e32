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
    error::ProxyError,
    record::Index,
    service::{InFlight, Permit},
    upstream::{Asked, Bounds, Home, RequestBody, send},
    worker::Worker,
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
    service: Index,
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
    let service = Index::try_from(mirror.service).unwrap_or(Index::MAX);
    let body = attempts.body.take().and_then(|body| body.into_copy(mirror.body_limit));
    let copies = worker.copies.0.get();
    // What has become a tunnel is no request any more.
    let is_tunnel = attempts.record.tunnel.borrow().is_some();
    let Some(body) = body.filter(|_| !is_tunnel && copies < MOST_COPIES) else {
        return worker.shard.mirrored(service, Copied::Dropped);
    };
    match prepare(attempts, service, body) {
        Ok(copy) => {
            worker.copies.0.set(copies + 1);
            actix_rt::spawn(copy.run());
        }
        Err(copied) => worker.shard.mirrored(service, copied),
    }
}

fn prepare(attempts: &Attempts<'_>, index: Index, body: RequestBody) -> Result<Copy, Copied> {
    let worker = attempts.worker;
    let service = worker.gateway.service(index);
    let now = Instant::now();
    let permit = match &service.limits {
        Some(limits) if !limits.try_enter() => return Err(Copied::Dropped),
        Some(_) => Some(Permit::new(worker, index)),
        None => None,
    };
    let ask = Ask { key: None, now: worker.gateway.at(now) };
    let mut in_flight = service.pick(&ask, &[], worker, now).map_err(|_| Copied::Failed)?;
    in_flight.asked_by(attempts.record.client.get());
    let outgoing = attempts.outgoing;
    Ok(Copy {
        worker: Rc::clone(worker),
        service: index,
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
        let (worker, service) = (Rc::clone(&self.worker), self.service);
        let longest = self.bounds.response + BODY_TIME;
        let ended = timeout(longest, self.send()).await;
        let copied = if matches!(ended, Ok(Ok(()))) { Copied::Answered } else { Copied::Failed };
        worker.shard.mirrored(service, copied);
        worker.copies.0.set(worker.copies.0.get() - 1);
    }

    async fn send(self) -> Result<(), ProxyError> {
        let Self {
            worker,
            service,
            mut in_flight,
            _permit,
            method,
            signs_in,
            head,
            mut body,
            bounds,
        } = self;
        let connect_timeout = worker.gateway.service(service).timeouts.connect;
        let endpoint = in_flight.endpoint().index;
        let pool = worker.pool(endpoint);
        let mut pooled = match pool.take() {
            Some(taken) if taken.is_doubtful() => pool.look_again(taken).await,
            taken => taken,
        };
        let rules = HeaderRules::default();
        let answer = loop {
            let connection = match pooled.take() {
                Some(connection) => connection,
                None => {
                    let connecting = worker.dialer(endpoint).connect(connect_timeout);
                    connecting.await.inspect_err(|error| in_flight.failed(error.reason()))?
                }
            };
            let asked = Asked { method: &method, upgrade: None, signs_in, rules: &rules };
            let home = Home { pool, own: None };
            let deadlines = &worker.deadlines;
            match send(connection, head.clone(), body, asked, bounds, deadlines, home).await {
                Ok(answer) => break answer,
                Err(mut failure) => match failure.request.take() {
                    // An idle connection that was closed, as for any request.
                    Some(again) if failure.is_stale => body = again,
                    _ => {
                        in_flight.failed(failure.blame());
                        return Err(failure.error);
                    }
                },
            }
        };
        in_flight.answered(answer.head.status, answer.sent_at);
        let mut body = answer.body;
        while let Some(piece) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            if let Err(error) = piece {
                in_flight.ended(Some(error.reason()));
                return Err(error);
            }
        }
        Ok(())
    }
}
