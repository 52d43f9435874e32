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
    config::{BodyLimit, HeaderRules, MirrorConfig},
    error::{ProxyError, Reason},
    record::Index,
    service::{InFlight, Picked},
    upstream::{Asked, Bounds, HeldBody, RequestBody, RequestFraming, send},
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
    picked: Picked,
    method: Method,
    head: BytesMut,
    framing: RequestFraming,
    held: Option<Rc<HeldBody>>,
    bounds: Bounds,
}

impl Copied {
    pub const ALL: [Self; 3] = [Self::Answered, Self::Failed, Self::Dropped];

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
    let is_there = attempts.held.as_ref().is_none_or(|held| held.is_complete());
    let copies = worker.copies.0.get();
    if !is_there || copies >= MOST_COPIES {
        return worker.shard.mirrored(service, Copied::Dropped);
    }
    match prepare(attempts, service) {
        Ok(copy) => {
            worker.copies.0.set(copies + 1);
            actix_rt::spawn(copy.run());
        }
        Err(_) => worker.shard.mirrored(service, Copied::Failed),
    }
}

fn prepare(attempts: &Attempts<'_>, index: Index) -> Result<Copy, Reason> {
    let worker = attempts.worker;
    let service = worker.gateway.service(index);
    let ask = Ask { key: None, now: worker.gateway.now() };
    let picked = service.pick(&ask, &[], worker)?;
    let outgoing = &attempts.outgoing;
    Ok(Copy {
        worker: Rc::clone(worker),
        service: index,
        method: outgoing.method().clone(),
        head: outgoing.head(service, service.endpoint(picked.place), None),
        picked,
        framing: outgoing.framing,
        held: attempts.held.clone(),
        bounds: Bounds {
            response: service.timeouts.response,
            idle: service.timeouts.idle,
            end: None,
            head_bytes: service.response_head_bytes,
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
        let Self { worker, service, picked, method, head, framing, held, bounds } = self;
        let service = worker.gateway.service(service);
        let endpoint = service.endpoint(picked.place);
        let pool = worker.pool(endpoint.index);
        let mut in_flight = InFlight::begin(&worker, service, picked, Instant::now());
        let connection = match pool.take() {
            Some(connection) => connection,
            None => {
                let connecting = worker.dialer(endpoint.index).connect(service.timeouts.connect);
                connecting.await.inspect_err(|error| in_flight.failed(error.reason()))?
            }
        };
        let body = RequestBody { framing, limit: BodyLimit::UNLIMITED, client: None, held };
        let rules = HeaderRules::default();
        let asked = Asked { method: &method, upgrade: None, rules: &rules };
        let sent = send(connection, head, body, asked, bounds, &worker.deadlines, pool).await;
        let answer = sent.map_err(|failure| {
            in_flight.failed(failure.error.reason());
            failure.error
        })?;
        in_flight.answered(answer.head.status);
        let mut body = answer.body;
        while let Some(piece) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            piece?;
        }
        in_flight.ended(None);
        Ok(())
    }
}
