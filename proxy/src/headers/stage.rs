//! Stage: writes the fields for the upstream on the way in. On the way out, what the route says of
//! its answers holds for those of every stage, but for answers to clients that are not known.

use std::rc::Rc;

use actix_http::{StatusCode, header};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use bytes::BytesMut;

use super::{
    cdn_loop::MOST_RETURNS,
    request_fields::{self, Source},
    request_id::X_REQUEST_ID,
    response_fields,
    spelling::Spelling,
};
use crate::{
    access::cors,
    config::{CorsConfig, HeaderRules},
    error::Reason,
    rate_limit,
    record::RequestRecord,
    reply,
    routing::stage::host,
    stage::Step,
    worker::Worker,
};

/// Room for the fields that the proxy adds to a request, and for each that it has, in bytes.
const OWN_FIELDS: usize = 256;
const USUAL_FIELD: usize = 64;

/// Puts the field lines for the upstream into the record.
pub fn headers(_: &Rc<Worker>, record: &Rc<RequestRecord>, request: ServiceRequest) -> Step {
    let Some(route) = record.matched() else { return Step::Pass(request) };
    let rules = &route.config;
    let mut fields = BytesMut::with_capacity(OWN_FIELDS + request.headers().len() * USUAL_FIELD);
    let head = record.from.head();
    let head = head.as_deref().map_or(&b""[..], |head| head);
    let source = source(record, &request, head, &rules.request_headers);
    let passed = request_fields::write(&source, &mut fields);
    if passed.returns >= MOST_RETURNS {
        let response = reply::reject(record, Reason::LoopDetected);
        return Step::Answer(request.into_response(response));
    }
    record.signs_in.set(passed.signs_in);
    record.upstream_fields.replace(fields);
    Step::Pass(request)
}

/// Completes an answer, whichever stage has made it, by what the proxy says in it. Of the upstream's
/// fields those go that the proxy has written as well: nobody reads two.
pub fn finish(record: &RequestRecord, response: &mut ServiceResponse) {
    let gateway = &*record.site.gateway;
    let route = record.matched().map(|route| &route.config);
    let is_stranger = record.is_stranger.get();
    if !(is_stranger && gateway.hides_routes()) {
        rate_limit::stage::tell(record, response.headers_mut());
    }
    if let Some(identity) = record.identity.get() {
        for (name, value) in &identity.to_client {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    // Who is not known learns nothing of the route but what browsers need to read the answer.
    let of_route = route.map(|route| &route.response_headers);
    let rules = if is_stranger { Some(&gateway.strangers_headers) } else { of_route };
    if let Some(rules) = rules.filter(|rules| !rules.is_empty()) {
        response_fields::apply(rules, response.headers_mut());
    }
    if let Some(cors) = route.and_then(|route| route.cors.as_ref()) {
        finish_cors(cors, record, response);
    }
    response.headers_mut().insert(X_REQUEST_ID, record.request_id.clone());
    let tls = record.from.arrival().tls.as_ref();
    if let Some(hsts) = tls.and_then(|tls| tls.hsts.as_ref()) {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    let mut passed = record.passed_fields.borrow_mut();
    if !passed.as_bytes().is_empty() {
        let cookie = record.service().and_then(|service| service.affinity.sets_cookie());
        response_fields::replace(&mut passed, response.headers(), rules, cookie);
    }
}

fn finish_cors(cors: &CorsConfig, record: &RequestRecord, response: &mut ServiceResponse) {
    let origin = cors::allowed(cors, response.request().headers());
    let is_allowed = record.is_preflight.get() && response.status() == StatusCode::NO_CONTENT;
    let answer = if is_allowed { cors::Answer::Preflight } else { cors::Answer::Other };
    cors::finish(cors, origin, answer, response.headers_mut());
}

/// What the fields of a request are made from, for the upstream and for whoever else is shown it;
/// `came` is the head of HTTP/1.
pub fn source<'a>(
    record: &'a RequestRecord,
    request: &'a ServiceRequest,
    came: &'a [u8],
    rules: &'a HeaderRules,
) -> Source<'a> {
    let head = request.head();
    // A peer over a Unix socket has no address.
    let peer = head.peer_addr.map(|peer| peer.ip());
    let gateway = &*record.site.gateway;
    let trusted = &gateway.trusted_proxies;
    Source {
        head,
        spelling: Spelling { head: came, case: gateway.case },
        peer,
        peer_is_trusted: trusted.believes(peer),
        chain: trusted.chain(peer, &head.headers),
        scheme: record.from.arrival().scheme(),
        request_id: &record.request_id,
        host: host(head),
        identity: record.identity.get().map_or(&[], |identity| &identity.fields),
        identity_fields: &gateway.identity_fields,
        rules,
        cdn_loop: &gateway.cdn_loop,
    }
}
