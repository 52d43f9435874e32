//! What is decided before anybody asks who a client is: whether its address may, and what a browser
//! is told that asks on behalf of a page of another origin.

mod clients;
pub mod cors;

use actix_http::{RequestHead, StatusCode};
use actix_web::HttpResponse;

use crate::{error::Reason, gateway::Gateway, record::RequestRecord, reply};

/// The answer to a request that goes no further.
pub fn answer(
    gateway: &Gateway,
    record: &RequestRecord,
    head: &RequestHead,
) -> Option<HttpResponse> {
    let route = &gateway.routes.route(record.route.get()?).config;
    if !clients::may(&route.clients, record.client.get()) {
        return Some(reply::reject(record, Reason::Forbidden));
    }
    let cors = route.cors.as_ref().filter(|_| record.is_preflight.get())?;
    Some(match cors::allowed(cors, &head.headers) {
        Some(_) => HttpResponse::new(StatusCode::NO_CONTENT),
        None => reply::reject(record, Reason::Forbidden),
    })
}
