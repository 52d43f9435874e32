//! Whether a client's address may, and what a browser is told that asks on behalf of a page of another
//! origin. Both are decided before anybody asks who the client is, but for addresses where strangers
//! must not learn which routes there are.

mod clients;
pub mod cors;
pub mod stage;

use actix_http::{RequestHead, StatusCode};
use actix_web::HttpResponse;

use crate::{
    config::RouteConfig, error::Reason, gateway::Gateway, record::RequestRecord, reply,
    routing::Route,
};

/// The answer to a request that goes no further.
pub fn answer(
    gateway: &Gateway,
    record: &RequestRecord,
    head: &RequestHead,
) -> Option<HttpResponse> {
    let route = &record.matched()?.config;
    if is_barred(record) && !may_wait(gateway, route, record) {
        return Some(reply::reject(record, Reason::Forbidden));
    }
    let cors = route.cors.as_ref().filter(|_| record.is_preflight.get())?;
    Some(match cors::allowed(cors, &head.headers) {
        Some(_) => HttpResponse::new(StatusCode::NO_CONTENT),
        None => reply::reject(record, Reason::Forbidden),
    })
}

/// Whether the route wants no requests from the client's address.
#[inline]
pub fn is_barred(record: &RequestRecord) -> bool {
    let is_barred = |route: &Route| !clients::may(&route.config.clients, record.client.get());
    record.matched().is_some_and(is_barred)
}

/// Whether the client is told once it is known that its address may not. Its guesses are no better for
/// it: the scheme is the one that it is asked by where there is no route, from any address.
fn may_wait(gateway: &Gateway, route: &RouteConfig, record: &RequestRecord) -> bool {
    gateway.hides_routes() && route.auth == gateway.scheme(None) && !record.is_preflight.get()
}
