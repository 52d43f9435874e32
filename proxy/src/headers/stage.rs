//! Stage: writes the fields for the upstream on the way in. On the way out, what the route says of
//! its answers holds for those of every stage.

use std::rc::Rc;

use actix_http::StatusCode;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use bytes::BytesMut;

use super::{
    request_fields::{self, Source},
    response_fields,
};
use crate::{
    access::cors, config::HeaderRules, gateway::Gateway, record::RequestRecord,
    routing::stage::host, stage::Step, worker::Worker,
};

/// Room for the fields that the proxy adds to a request, and for each that it has, in bytes.
const OWN_FIELDS: usize = 256;
const USUAL_FIELD: usize = 64;

/// Puts the field lines for the upstream into the record.
pub fn headers(worker: &Rc<Worker>, record: &Rc<RequestRecord>, request: ServiceRequest) -> Step {
    let Some(route) = record.route.get() else { return Step::Pass(request) };
    let rules = &worker.gateway.routes.route(route).config;
    let mut fields = BytesMut::with_capacity(OWN_FIELDS + request.headers().len() * USUAL_FIELD);
    let source = source(worker, record, &request, &rules.request_headers);
    request_fields::write(&source, &mut fields);
    record.upstream_fields.replace(fields);
    Step::Pass(request)
}

/// Applies the route's rules to an answer, whichever stage has made it.
pub fn finish(gateway: &Gateway, record: &RequestRecord, response: &mut ServiceResponse) {
    let Some(route) = record.route.get() else { return };
    let route = &gateway.routes.route(route).config;
    if !route.response_headers.is_empty() {
        response_fields::apply(&route.response_headers, response.headers_mut());
    }
    if let Some(cors) = &route.cors {
        let origin = cors::allowed(cors, response.request().headers());
        let is_allowed = record.is_preflight.get() && response.status() == StatusCode::NO_CONTENT;
        let answer = if is_allowed { cors::Answer::Preflight } else { cors::Answer::Other };
        cors::finish(cors, origin, answer, response.headers_mut());
    }
}

/// What the fields of a request are made from, for the upstream and for whoever else is shown it.
pub fn source<'a>(
    worker: &'a Worker,
    record: &'a RequestRecord,
    request: &'a ServiceRequest,
    rules: &'a HeaderRules,
) -> Source<'a> {
    let head = request.head();
    // A peer over a Unix socket has no address.
    let peer = head.peer_addr.map(|peer| peer.ip());
    let trusted = &worker.gateway.trusted_proxies;
    Source {
        head,
        peer,
        peer_is_trusted: trusted.believes(peer),
        chain: trusted.chain(peer, &head.headers),
        scheme: record.from.arrival().scheme(),
        request_id: &record.request_id,
        host: host(head),
        identity: record.identity.get().map_or(&[], |identity| &identity.fields),
        identity_fields: &worker.gateway.identity_fields,
        rules,
    }
}
