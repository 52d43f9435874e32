//! Stage: writes the fields for the upstream on the way in, applies the route's rules on the way
//! out.

use std::rc::Rc;

use actix_web::{
    Error,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use bytes::BytesMut;

use super::{
    request_fields::{self, Source},
    response_fields,
};
use crate::{
    config::HeaderRules, record::RequestRecord, routing::stage::host, telemetry::observe::record,
    worker::Worker,
};

/// Room for the fields of a usual request, in bytes.
const USUAL_FIELDS: usize = 512;

/// Puts the field lines for the upstream into the record.
///
/// # Errors
/// None of its own.
pub async fn headers(
    worker: Rc<Worker>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse, Error> {
    let record = record(&request);
    let Some(route) = record.route.get() else {
        return next.call(request).await;
    };
    let rules = &worker.gateway.routes.route(route).config;
    let mut fields = BytesMut::with_capacity(USUAL_FIELDS);
    let source = source(&worker, &record, &request, &rules.request_headers);
    request_fields::write(&source, &mut fields);
    record.upstream_fields.replace(fields);
    let mut response = next.call(request).await?;
    if !rules.response_headers.is_empty() {
        response_fields::apply(&rules.response_headers, response.headers_mut());
    }
    Ok(response)
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
    Source {
        head,
        peer,
        peer_is_trusted: worker.gateway.trusted_proxies.believes(peer),
        scheme: record.from.arrival().scheme(),
        request_id: &record.request_id,
        host: host(head),
        identity: record.identity.get().map_or(&[], |identity| &identity.fields),
        identity_fields: &worker.gateway.identity_fields,
        rules,
    }
}
