//! The end of the pipeline: does what the route says, and sends requests upstream.

mod admit;
mod attempt;
mod ending;
pub mod mirror;
mod outgoing;
pub mod redirect;
pub mod tunnel;

use std::{cell::Cell, rc::Rc};

use actix_web::{
    Error, HttpResponse,
    dev::{ServiceRequest, ServiceResponse},
};
use rand::{RngExt, rngs::SmallRng};

use self::{attempt::Attempts, outgoing::Outgoing};
use crate::{
    config::{MirrorConfig, RouteAction, ServiceChoice},
    error::{ProxyError, Reason},
    pipeline::record,
    record::RequestRecord,
    reply,
    request::asks_about_server,
    retry::RetryPolicy,
    routing::{Found, Route, RouteMatch, stage::FORWARDED},
    service::Service,
    upstream::{RequestBody, RequestFraming},
    worker::{Hop, Worker},
};

/// Answers a request that has passed all stages.
///
/// # Errors
/// None: every failure is an answer.
pub async fn forward(
    worker: Rc<Worker>,
    request: ServiceRequest,
) -> Result<ServiceResponse, Error> {
    let record = record(&request);
    let found = std::mem::replace(&mut record.passed.borrow_mut().found, Found::NoRoute);
    let found = match found {
        Found::Route(found) => found,
        Found::MethodNotAllowed(allowed) => {
            return Ok(request.into_response(reply::method_not_allowed(&record, &allowed)));
        }
        Found::Ambiguous => {
            return Ok(request.into_response(reply::reject(&record, Reason::BadRequest)));
        }
        Found::NoRoute => {
            let answer = if asks_about_server(request.head()) {
                reply::options(&FORWARDED)
            } else {
                reply::reject(&record, Reason::NoRoute)
            };
            return Ok(request.into_response(answer));
        }
    };
    let route = record.site.gateway.routes.route(found.route);
    match &route.config.action {
        RouteAction::Respond { status, body, content_type } => {
            let response = reply::with_body(*status, content_type.clone(), body.clone());
            Ok(request.into_response(response))
        }
        RouteAction::Redirect { status, .. } => {
            let response = redirect::redirect(route, &found, *status, request.uri(), &record);
            Ok(request.into_response(response))
        }
        RouteAction::Forward { service, .. } => {
            let path = record.path(request.uri());
            match choose_service(&worker, service, route, &found, &record, path) {
                Ok(place) => {
                    let hop = record.hop.get_or_init(|| Rc::clone(record.site.hop(place)));
                    Ok(send(&worker, request, hop, (route, &found), &record).await)
                }
                Err(name) => {
                    let response = reply::unknown_service(&record, name);
                    Ok(request.into_response(response))
                }
            }
        }
    }
}

/// The place of the service that a request goes to, or the name in its path that no service has.
#[inline]
fn choose_service<'p>(
    worker: &Worker,
    choice: &ServiceChoice,
    route: &Route,
    found: &RouteMatch,
    record: &RequestRecord,
    path: &'p str,
) -> Result<usize, &'p str> {
    match choice {
        ServiceChoice::Named(place) => Ok(*place),
        ServiceChoice::FromPath(placeholder) => {
            let name = route.value(found, placeholder, path).unwrap_or_default();
            record.site.gateway.service_named(name).ok_or(name)
        }
        ServiceChoice::Split(parts) => Ok(choose_part(parts, &mut worker.rng.borrow_mut())),
    }
}

/// One of the parts, each as often as its weight says. Not all weights are 0.
fn choose_part(parts: &[(usize, u32)], rng: &mut SmallRng) -> usize {
    let total: u32 = parts.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.random_range(0..total);
    let drawn = parts.iter().find(|(_, weight)| match left.checked_sub(*weight) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    });
    drawn.expect("a number below the sum of the weights is in one of them").0
}

async fn send(
    worker: &Rc<Worker>,
    request: ServiceRequest,
    hop: &Rc<Hop>,
    (route, found): (&Route, &RouteMatch),
    record: &Rc<RequestRecord>,
) -> ServiceResponse {
    let service = &*hop.service;
    let prepared = Outgoing::prepare(&request, service, (route, found), record);
    let mut outgoing = match prepared {
        Ok(outgoing) => outgoing,
        Err(reason) => {
            let response = reply::reject(record, reason);
            return request.into_response(response);
        }
    };
    let mut content = content(worker, service, route, record, &outgoing);
    if let Some(most) = service.buffer_request
        && outgoing.framing.has_body()
        && let Err(error) = Box::pin(hold(worker, most, &mut outgoing, &mut content.body)).await
    {
        return request.into_response(refuse(record, &error));
    }
    let attempts = prepare(worker, &request, hop, record, &outgoing, content);
    let answered = attempts.run().await;
    // What was refused before it was sent anywhere is not copied either.
    if let Some(mirror) = attempts.mirror
        && record.attempts.get() > 0
    {
        mirror::copy(&attempts, mirror);
    }
    drop(attempts);
    drop(outgoing);
    let response = answered.unwrap_or_else(|error| refuse(record, &error));
    request.into_response(response)
}

fn refuse(record: &RequestRecord, error: &ProxyError) -> HttpResponse {
    tracing::debug!(
        request_id = record.request_id.to_str().unwrap_or_default(),
        error = crate::error::chain(error),
        "request failed"
    );
    reply::reject(record, error.reason())
}

/// What the body of a request is kept for while it is sent.
struct Content<'a> {
    body: RequestBody,
    retry: RetryPolicy<'a>,
    mirror: Option<&'a MirrorConfig>,
}

fn content<'a>(
    worker: &Worker,
    service: &'a Service,
    route: &'a Route,
    record: &Rc<RequestRecord>,
    outgoing: &Outgoing<'_>,
) -> Content<'a> {
    let retry = RetryPolicy::of(&service.retry, &route.config.retry);
    let mirror = route.config.action.mirror().filter(|one| mirror::is_chosen(worker, one));
    let body = if outgoing.framing.has_body() {
        let retried = if retry.repeats(outgoing.method()) { retry.body_limit() } else { 0 };
        let most = mirror.map_or(retried, |mirror| retried.max(mirror.body_limit));
        RequestBody::of_client(outgoing.framing, outgoing.limit, record, most)
    } else {
        RequestBody::default()
    };
    Content { body, retry, mirror }
}

/// Has the whole body before an endpoint is asked for, so that its length can be told. One that is
/// announced longer than `most` has a length already: it streams.
async fn hold(
    worker: &Worker,
    most: usize,
    outgoing: &mut Outgoing<'_>,
    body: &mut RequestBody,
) -> Result<(), ProxyError> {
    if matches!(outgoing.framing, RequestFraming::Length(length) if length > most as u64) {
        return Ok(());
    }
    let end = outgoing.end().map(|end| worker.deadlines.start(end));
    body.hold(most, end).await?;
    outgoing.framing = body.framing();
    Ok(())
}

fn prepare<'a>(
    worker: &'a Rc<Worker>,
    request: &ServiceRequest,
    hop: &'a Rc<Hop>,
    record: &'a Rc<RequestRecord>,
    outgoing: &'a Outgoing<'a>,
    content: Content<'a>,
) -> Attempts<'a> {
    let Content { body, retry, mirror } = content;
    let now = worker.clock.at(record.started);
    hop.budget.request(now);
    let end = outgoing.end();
    let key = hop.service.affinity.key(request.head(), record.client.get());
    let body = Cell::new(Some(body));
    Attempts { worker, hop, record, outgoing, now, retry, end, key, body, mirror }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn each_part_of_a_split_gets_its_share_of_the_requests() {
        let mut rng = SmallRng::seed_from_u64(7);
        for weights in [&[90, 10][..], &[1, 1], &[0, 1], &[1000, 0, 1], &[5; 16], &[1, 2, 3, 4]] {
            let parts: Vec<(usize, u32)> = (0..).zip(weights.iter().copied()).collect();
            let total: u32 = weights.iter().sum();
            let mut picks = vec![0_u32; parts.len()];
            for _ in 0..100_000 {
                picks[choose_part(&parts, &mut rng)] += 1;
            }
            for ((_, weight), picked) in parts.iter().zip(picks) {
                let share = 100_000.0 * f64::from(*weight) / f64::from(total);
                let off = (f64::from(picked) - share).abs();
                assert!(off <= 2000.0, "{weights:?}: {picked} of {share}");
                assert!(*weight > 0 || picked == 0, "{weights:?}");
            }
        }
    }
}
