//! Stage: finds the route and the client behind trusted proxies. It never refuses: who may know
//! that there is no route is decided by authentication.

use std::rc::Rc;

use actix_http::{Method, RequestHead, header};
use actix_web::{
    Error, HttpMessage,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use super::{Found, Request};
use crate::{reply, telemetry::observe::record, worker::Worker};

/// Puts a `Found` beside the request.
///
/// # Errors
/// None of its own.
pub async fn route(
    worker: Rc<Worker>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse, Error> {
    let gateway = &worker.gateway;
    let head = request.head();
    if is_health_check(gateway.health_path.as_deref(), head) {
        return Ok(request.into_response(reply::healthy()));
    }
    let record = record(&request);
    record.client.set(gateway.trusted_proxies.client(record.client.get(), &head.headers));
    let found = gateway.routes.find(Request {
        host: std::str::from_utf8(host(head)).unwrap_or_default(),
        path: head.uri.path(),
        method: &head.method,
        headers: &head.headers,
    });
    if let Found::Route(found) = &found {
        record.route.set(Some(found.route));
    }
    request.extensions_mut().insert(found);
    next.call(request).await
}

fn is_health_check(path: Option<&str>, head: &RequestHead) -> bool {
    path == Some(head.uri.path()) && [Method::GET, Method::HEAD].contains(&head.method)
}

/// What the client called the host: the authority of an absolute target, else `Host` (RFC 9112
/// section 3.2.2).
pub fn host(head: &RequestHead) -> &[u8] {
    match head.uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => head.headers.get(header::HOST).map_or(b"", |host| host.as_bytes()),
    }
}
