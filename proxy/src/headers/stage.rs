//! Stage: writes the fields for the upstream on the way in. On the way out, what the route says of
//! its answers holds for those of every stage, but for answers to clients that are not known.

use std::rc::Rc;

use actix_http::header;
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
    config::HeaderRules,
    error::Reason,
    pipeline::{Passing, Step},
    record::RequestRecord,
    reply,
    routing::stage::host,
    worker::Worker,
};

/// Room for the fields that the proxy adds to a request, and for each that it has, in bytes.
const OWN_FIELDS: usize = 256;
const USUAL_FIELD: usize = 64;

/// Stage: writes the field lines for the upstream.
pub fn write_fields(_: &Rc<Worker>, passing: &mut Passing<'_>) -> Step {
    let Passing { request, record, passed } = passing;
    let Some(route) = record.matched() else { return Step::Pass };
    let mut fields = BytesMut::with_capacity(OWN_FIELDS + request.headers().len() * USUAL_FIELD);
    let head = record.from.head();
    let head = head.as_deref().map_or(&b""[..], |head| head);
    let source = source(record, request, head, &route.config.request_headers);
    let written = request_fields::write(&source, &mut fields);
    if written.returns >= MOST_RETURNS {
        return Step::Answer(reply::reject(record, Reason::LoopDetected));
    }
    (passed.fields, passed.signs_in) = (fields, written.signs_in);
    Step::Pass
}

/// Applies the route's rules for answers. Who is not known learns nothing of the route but what browsers
/// need to read the answer.
pub fn apply_rules(record: &RequestRecord, response: &mut ServiceResponse) {
    if let Some(rules) = rules(record).filter(|rules| !rules.is_empty()) {
        response_fields::apply(rules, response.headers_mut());
    }
}

fn rules(record: &RequestRecord) -> Option<&HeaderRules> {
    match record.is_stranger.get() {
        true => Some(&record.site.gateway.strangers_headers),
        false => record.matched().map(|route| &route.config.response_headers),
    }
}

/// Names the request to the client.
pub fn name_request(record: &RequestRecord, response: &mut ServiceResponse) {
    response.headers_mut().insert(X_REQUEST_ID, record.request_id.clone());
}

/// Tells browsers to come by `https` (HSTS), where the listener does.
pub fn keep_to_https(record: &RequestRecord, response: &mut ServiceResponse) {
    let tls = record.from.arrival().tls.as_ref();
    if let Some(hsts) = tls.and_then(|tls| tls.hsts.as_ref()) {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
}

/// Of the upstream's fields those go that the proxy has written as well: nobody reads two. So it is the
/// last step.
pub fn leave_out_what_is_said(record: &RequestRecord, response: &mut ServiceResponse) {
    let mut passed = record.passed_fields.borrow_mut();
    if !passed.as_bytes().is_empty() {
        let cookie = record.service().and_then(|service| service.affinity.sets_cookie());
        response_fields::replace(&mut passed, response.headers(), rules(record), cookie);
    }
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
