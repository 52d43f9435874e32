//! Stage: checks the request, answers what the proxy itself is asked, finds the route, and the
//! client behind trusted proxies. That there is no route is said later: authentication decides who
//! may know.

use std::rc::Rc;

use actix_http::{Method, RequestHead, header};
use actix_rt::task::spawn_blocking;
use actix_web::{
    Error,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use super::{Found, Request};
use crate::{
    error::Reason,
    forward::redirect,
    reply,
    request::{Checked, check},
    telemetry::observe::record,
    tls::acme,
    worker::Worker,
};

/// What is named in `Allow` where CONNECT or TRACE is refused.
const FORWARDED: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Puts a `Found` into the record.
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
    let record = record(&request);
    if let Some(reason) = record.from.refusal() {
        return Ok(request.into_response(reply::reject(&record, reason)));
    }
    match check(head, gateway.paths) {
        Ok(Checked { path: Some(path) }) => drop(record.normal_path.set(path)),
        Ok(Checked { path: None }) => {}
        Err(Reason::MethodNotAllowed) => {
            return Ok(request.into_response(reply::method_not_allowed(&record, &FORWARDED)));
        }
        Err(reason) => {
            record.from.end_after_answer();
            return Ok(request.into_response(reply::reject(&record, reason)));
        }
    }
    let arrival = record.from.arrival();
    if let Some(tls) = &arrival.tls
        && !tls.stands_for(std::str::from_utf8(host(head)).unwrap_or_default())
    {
        return Ok(request.into_response(reply::reject(&record, Reason::Misdirected)));
    }
    let path = record.path(&head.uri);
    let challenges = gateway.challenges.as_ref();
    if let Some(file) = challenges.and_then(|challenges| challenges.file(path, &head.method))
        && let Ok(Some(answer)) = spawn_blocking(move || acme::answer(&file)).await
    {
        return Ok(request.into_response(reply::key_authorization(answer)));
    }
    if is_health_check(gateway.health_path.as_deref(), path, &head.method) {
        return Ok(request.into_response(reply::healthy()));
    }
    if let Some(port) = arrival.https_redirect {
        let response = redirect::to_https(head, path, port)
            .unwrap_or_else(|| reply::reject(&record, Reason::BadRequest));
        return Ok(request.into_response(response));
    }
    record.client.set(gateway.trusted_proxies.client(record.client.get(), &head.headers));
    let found = gateway.routes.find(Request {
        host: std::str::from_utf8(host(head)).unwrap_or_default(),
        path,
        method: &head.method,
        headers: &head.headers,
    });
    if let Found::Route(found) = &found {
        record.route.set(Some(found.route));
    }
    record.found.replace(Some(found));
    next.call(request).await
}

fn is_health_check(health_path: Option<&str>, path: &str, method: &Method) -> bool {
    health_path == Some(path) && [Method::GET, Method::HEAD].contains(method)
}

/// What the client called the host: the authority of an absolute target, else `Host` (RFC 9112
/// section 3.2.2).
pub fn host(head: &RequestHead) -> &[u8] {
    match head.uri.authority() {
        // A user and password before it are refused, and must not reach the log on the way.
        Some(authority) => authority.as_str().rsplit('@').next().unwrap_or_default().as_bytes(),
        None => head.headers.get(header::HOST).map_or(b"", |host| host.as_bytes()),
    }
}
