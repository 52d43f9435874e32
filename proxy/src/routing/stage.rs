//! Three stages: the first finds the client behind trusted proxies and checks the request, the second
//! answers what the proxy itself is asked, the third finds the route. What depends on the routes, such as that there is none, is said
//! later: authentication decides who may know.

use std::{path::PathBuf, rc::Rc};

use actix_http::{Method, RequestHead, header};
use actix_rt::task::spawn_blocking;
use actix_web::HttpResponse;

use super::{Found, Request, RouteMatch};
use crate::{
    access::cors,
    downstream::TlsSession,
    error::Reason,
    forward::redirect,
    gateway::Gateway,
    pipeline::{Passing, Step},
    record::RequestRecord,
    reply,
    request::{self, Checked, asks_about_server},
    tls::acme,
    worker::Worker,
};

/// What is named in `Allow` where CONNECT or TRACE is refused, or the server is asked about.
pub const FORWARDED: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Stage: refuses what cannot be read in one way only, and says who the client is.
pub fn check(_: &Rc<Worker>, passing: &mut Passing<'_>) -> Step {
    let Passing { request, record, .. } = passing;
    let gateway = &*record.site.gateway;
    // First of all, for what is refused is logged too.
    let client = gateway.trusted_proxies.client(record.client.get(), &request.head().headers);
    record.client.set(client);
    refuse(gateway, record, request.head()).map_or(Step::Pass, Step::Answer)
}

/// Stage: what the proxy itself answers, whatever the routes are.
pub fn own_answers(_: &Rc<Worker>, passing: &mut Passing<'_>) -> Step {
    let Passing { request, record, .. } = passing;
    let gateway = &*record.site.gateway;
    if let Some(file) = challenge(gateway, record, request.head()) {
        return Step::Later(Box::new(|_, passing| Box::pin(read_challenge(file, passing))));
    }
    own_answer(gateway, record, request.head()).map_or(Step::Pass, Step::Answer)
}

/// Stage: finds the route.
pub fn route(_: &Rc<Worker>, passing: &mut Passing<'_>) -> Step {
    let Passing { request, record, passed } = passing;
    passed.found = find(&record.site.gateway, record, request.head());
    Step::Pass
}

async fn read_challenge(file: PathBuf, passing: Passing<'_>) -> Result<(), HttpResponse> {
    if let Ok(Some(answer)) = spawn_blocking(move || acme::answer(&file)).await {
        return Err(reply::key_authorization(answer));
    }
    let Passing { request, record, .. } = passing;
    own_answer(&record.site.gateway, record, request.head()).map_or(Ok(()), Err)
}

/// The answer to a request that is not as it must be; of others the record gets the normal path.
fn refuse(gateway: &Gateway, record: &RequestRecord, head: &RequestHead) -> Option<HttpResponse> {
    if let Some(reason) = record.from.refusal() {
        return Some(reply::reject(record, reason));
    }
    match request::check(head, gateway.paths) {
        Ok(Checked { path: Some(path) }) => drop(record.normal_path.set(path)),
        Ok(Checked { path: None }) => {}
        Err(Reason::MethodNotAllowed) => {
            return Some(reply::method_not_allowed(record, &FORWARDED));
        }
        Err(reason) => {
            record.from.end_after_answer();
            return Some(reply::reject(record, reason));
        }
    }
    let tls = record.from.arrival().tls.as_ref();
    let is_misdirected =
        |tls: &TlsSession| !tls.stands_for(std::str::from_utf8(host(head)).unwrap_or_default());
    tls.is_some_and(is_misdirected).then(|| reply::reject(record, Reason::Misdirected))
}

/// The file that may hold the answer to an ACME challenge.
fn challenge(gateway: &Gateway, record: &RequestRecord, head: &RequestHead) -> Option<PathBuf> {
    gateway.challenges.as_ref()?.file(record.path(&head.uri), &head.method)
}

/// What the proxy itself answers, whatever the routes are.
fn own_answer(
    gateway: &Gateway,
    record: &RequestRecord,
    head: &RequestHead,
) -> Option<HttpResponse> {
    let path = record.path(&head.uri);
    if is_health_check(gateway.health_path.as_deref(), path, &head.method) {
        return Some(reply::healthy());
    }
    let arrival = record.from.arrival();
    let port = arrival.https_redirect?;
    let peer = arrival.peer.map(|peer| peer.ip());
    // It would lead to where the client is.
    if gateway.trusted_proxies.says_https(peer, &head.headers) {
        return None;
    }
    let redirect = redirect::to_https(head, path, port);
    Some(redirect.unwrap_or_else(|| reply::reject(record, Reason::BadRequest)))
}

/// What routing makes of it; the record gets the route.
fn find(gateway: &Gateway, record: &RequestRecord, head: &RequestHead) -> Found {
    if asks_about_server(head) {
        // It is for the proxy, whatever paths its routes take.
        return Found::NoRoute;
    }
    let request = Request {
        host: std::str::from_utf8(host(head)).unwrap_or_default(),
        path: record.path(&head.uri),
        method: &head.method,
        headers: &head.headers,
    };
    if gateway.has_cors
        && let Some(method) = cors::requested(head)
        && let Some(found) = preflight(gateway, Request { method: &method, ..request })
    {
        record.is_preflight.set(true);
        record.route.set(Some(found.route));
        return Found::Route(found);
    }
    let found = gateway.find(request);
    if let Found::Route(found) = &found {
        record.route.set(Some(found.route));
    }
    found
}

/// The route of the request that a browser asks about, if it answers such questions.
fn preflight(gateway: &Gateway, asked: Request<'_>) -> Option<RouteMatch> {
    match gateway.routes.find(asked) {
        Found::Route(found) => {
            gateway.routes.route(found.route).config.cors.is_some().then_some(found)
        }
        Found::MethodNotAllowed(_) | Found::NoRoute | Found::Ambiguous => None,
    }
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
