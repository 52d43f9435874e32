//! Two stages: the limits of the client's address are asked before it is known who the client is, the
//! others after. All that applied are told to the client with the answer, whatever it is.
//!
//! Limits are asked in the order in which the route names them, those before and then those after. The
//! first that refuses ends it: later ones have counted nothing.

use std::rc::Rc;

use actix_http::header::HeaderMap;
use actix_web::{HttpResponse, dev::ServiceResponse};
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    fields::{Standing, secs},
    gcra::Decision,
    key::Parts,
    limit::{Counted, Limit, Rate},
    places::Place,
    shared::Unavailable,
};
use crate::{
    error::Reason,
    ids::LimitId,
    pipeline::{Passing, Step},
    record::RequestRecord,
    reply,
    worker::Worker,
};

/// What limits have to do with one request.
#[derive(Default)]
pub struct Limited {
    /// By the index of the limit.
    standings: SmallVec<[(usize, Standing); 2]>,
    /// Given back when the record is closed.
    places: SmallVec<[Place; 1]>,
}

/// For requests in flight nobody knows when one of them ends.
const SOON_SECS: u64 = 1;

/// Stage: the limits of the client's address, before it is known who the client is.
pub fn limit_addresses(worker: &Rc<Worker>, passing: &mut Passing<'_>) -> Step {
    limit(worker, passing, Time::Before, 0)
}

/// Stage: all other limits.
pub fn limit_clients(worker: &Rc<Worker>, passing: &mut Passing<'_>) -> Step {
    limit(worker, passing, Time::After, 0)
}

/// Writes into the answer where the client stands. Who must not learn which routes there are is told
/// nothing.
#[inline]
pub fn tell_limits(record: &RequestRecord, response: &mut ServiceResponse) {
    if let Some(limited) = &*record.limited.borrow()
        && !(record.is_stranger.get() && record.site.gateway.hides_routes())
    {
        tell_all(record, limited, response.headers_mut());
    }
}

fn tell_all(record: &RequestRecord, limited: &Limited, headers: &mut HeaderMap) {
    for (limit, standing) in &limited.standings {
        if let Some(rate) = &record.site.gateway.rate_limits.limit(*limit).rate {
            rate.policy.tell(*standing, headers);
        }
    }
}

/// Which of a route's limits are asked.
#[derive(Clone, Copy)]
enum Time {
    Before,
    After,
}

/// The limits of the route, from the one at `first` on: those that are counted here decide at once.
#[inline]
fn limit(worker: &Worker, passing: &Passing<'_>, time: Time, first: usize) -> Step {
    let limits = &passing.record.site.gateway.rate_limits;
    match passing.record.route.get() {
        Some(route) if !limits.all().is_empty() => {
            let of_route = limits.of_route(route);
            let asked = match time {
                Time::Before => &of_route.before,
                Time::After => &of_route.after,
            };
            ask(worker, passing, asked, time, first)
        }
        Some(_) | None => Step::Pass,
    }
}

fn ask(worker: &Worker, passing: &Passing<'_>, asked: &[usize], time: Time, first: usize) -> Step {
    let limits = &passing.record.site.gateway.rate_limits;
    for (place, index) in asked.iter().enumerate().skip(first) {
        let limit = limits.limit(*index);
        let parts = parts(passing, limit);
        let taken = limit.places.as_ref().map(|places| places.take(parts));
        if let Some(None) = taken {
            return Step::Answer(refuse(worker, passing.record, limit.id, SOON_SECS));
        }
        let taken = taken.flatten();
        let decided = match &limit.rate {
            None => None,
            Some(Rate { counted: Counted::Here(table), quota, .. }) => {
                let now = worker.clock.nanos_at(Instant::now());
                Some(table.take(table.key(parts), quota, now))
            }
            Some(Rate { counted: Counted::Shared(_), .. }) => {
                let index = *index;
                return Step::Later(Box::new(move |worker, passing| {
                    Box::pin(wait(worker, passing, time, (place, index), taken))
                }));
            }
        };
        if let Some(answer) = note(worker, passing.record, (*index, limit), decided, taken) {
            return Step::Answer(answer);
        }
    }
    Step::Pass
}

/// Asks the store for the limit at `place`, which is `index` among all, and those behind it.
async fn wait(
    worker: &Rc<Worker>,
    passing: Passing<'_>,
    time: Time,
    (place, index): (usize, usize),
    taken: Option<Place>,
) -> Result<(), HttpResponse> {
    let limit = passing.record.site.gateway.rate_limits.limit(index);
    let decided = match &limit.rate {
        Some(Rate { counted: Counted::Shared(shared), quota, .. }) => {
            match shared.take(worker, quota, parts(&passing, limit)).await {
                Ok(decided) => decided,
                Err(Unavailable) => {
                    return Err(reply::reject(passing.record, Reason::RateLimitUnavailable));
                }
            }
        }
        Some(_) | None => None,
    };
    note(worker, passing.record, (index, limit), decided, taken).map_or(Ok(()), Err)?;
    match self::limit(worker, &passing, time, place + 1) {
        Step::Pass => Ok(()),
        Step::Answer(answer) => Err(answer),
        Step::Later(waiting) => waiting(worker, passing).await,
    }
}

fn parts<'a>(passing: &Passing<'a>, limit: &'a Limit) -> Parts<'a> {
    let Passing { request, record, .. } = passing;
    Parts {
        key: &limit.config.key,
        record,
        head: request.head(),
        route: record.matched().map_or("", |route| &route.config.name),
        identity_fields: &record.site.gateway.identity_fields,
    }
}

/// Keeps what was decided, for the answer, and a place until the record is closed; a refusal is given
/// back.
fn note(
    worker: &Worker,
    record: &RequestRecord,
    (index, limit): (usize, &Limit),
    decided: Option<Decision>,
    taken: Option<Place>,
) -> Option<HttpResponse> {
    if decided.is_none() && taken.is_none() {
        return None;
    }
    let mut limited = record.limited.borrow_mut();
    let limited = limited.get_or_insert_default();
    if let Some(decision) = decided {
        limited.standings.push((index, Standing::from(&decision)));
        if !decision.is_allowed {
            return Some(refuse(worker, record, limit.id, secs(decision.retry_after)));
        }
    }
    limited.places.extend(taken);
    None
}

fn refuse(
    worker: &Worker,
    record: &RequestRecord,
    limit: LimitId,
    retry_after_secs: u64,
) -> HttpResponse {
    worker.shard.rate_limited(limit);
    reply::rate_limited(record, retry_after_secs)
}
