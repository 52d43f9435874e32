//! Stage, within that of auth: lets a request pass if its route's limits do, those of the client's
//! address before it is known who the client is, the others after. All that applied are told to the
//! client with the answer, whatever it is.
//!
//! Limits are asked in the order in which the route names them, those before and then those after. The
//! first that refuses ends it: later ones have counted nothing.

use std::rc::Rc;

use actix_http::{RequestHead, header::HeaderMap};
use actix_web::HttpResponse;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    fields::{Standing, secs},
    gcra::Decision,
    key::Parts,
    limit::{Counted, Rate},
    places::Place,
    shared::Unavailable,
};
use crate::{error::Reason, ids::LimitId, record::RequestRecord, reply, worker::Worker};

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

/// Whether the route of a request has any.
pub fn has_limits(record: &RequestRecord) -> bool {
    record.route.get().is_some_and(|route| {
        let limits = record.site.gateway.rate_limits.of_route(route);
        !(limits.before.is_empty() && limits.after.is_empty())
    })
}

/// Asks the limits of the client's address.
///
/// # Errors
/// The answer: 429, or 503.
pub async fn before(
    worker: &Rc<Worker>,
    record: &RequestRecord,
    head: &RequestHead,
) -> Result<(), HttpResponse> {
    match record.route.get().map(|route| record.site.gateway.rate_limits.of_route(route)) {
        Some(limits) => ask(worker, record, head, &limits.before).await,
        None => Ok(()),
    }
}

/// Asks all others.
///
/// # Errors
/// The answer: 429, or 503.
pub async fn after(
    worker: &Rc<Worker>,
    record: &RequestRecord,
    head: &RequestHead,
) -> Result<(), HttpResponse> {
    match record.route.get().map(|route| record.site.gateway.rate_limits.of_route(route)) {
        Some(limits) => ask(worker, record, head, &limits.after).await,
        None => Ok(()),
    }
}

/// Writes into the answer where the client stands.
#[inline]
pub fn tell(record: &RequestRecord, headers: &mut HeaderMap) {
    if let Some(limited) = &*record.limited.borrow() {
        tell_all(record, limited, headers);
    }
}

fn tell_all(record: &RequestRecord, limited: &Limited, headers: &mut HeaderMap) {
    for (limit, standing) in &limited.standings {
        if let Some(rate) = &record.site.gateway.rate_limits.limit(*limit).rate {
            rate.policy.tell(*standing, headers);
        }
    }
}

async fn ask(
    worker: &Worker,
    record: &RequestRecord,
    head: &RequestHead,
    limits: &[usize],
) -> Result<(), HttpResponse> {
    let identity_fields = &record.site.gateway.identity_fields;
    let route = record.matched().map_or("", |route| &route.config.name);
    for index in limits {
        let limit = record.site.gateway.rate_limits.limit(*index);
        let parts = Parts { key: &limit.config.key, record, head, route, identity_fields };
        let place = match &limit.places {
            Some(places) => match places.take(parts) {
                Some(place) => Some(place),
                None => return Err(refuse(worker, record, limit.id, SOON_SECS)),
            },
            None => None,
        };
        if let Some(rate) = &limit.rate {
            match count(worker, rate, parts).await {
                Ok(Some(decision)) => {
                    let standing = Standing::from(&decision);
                    record
                        .limited
                        .borrow_mut()
                        .get_or_insert_default()
                        .standings
                        .push((*index, standing));
                    if !decision.is_allowed {
                        let retry_after = secs(decision.retry_after);
                        return Err(refuse(worker, record, limit.id, retry_after));
                    }
                }
                Ok(None) => {}
                Err(Unavailable) => {
                    return Err(reply::reject(record, Reason::RateLimitUnavailable));
                }
            }
        }
        if let Some(place) = place {
            record.limited.borrow_mut().get_or_insert_default().places.push(place);
        }
    }
    Ok(())
}

/// Counts the request; `None` if it passes uncounted.
async fn count(
    worker: &Worker,
    rate: &Rate,
    parts: Parts<'_>,
) -> Result<Option<Decision>, Unavailable> {
    match &rate.counted {
        Counted::Here(table) => {
            let now = worker.clock.nanos_at(Instant::now());
            Ok(Some(table.take(table.key(parts), &rate.quota, now)))
        }
        Counted::Shared(shared) => shared.take(worker, &rate.quota, parts).await,
    }
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
