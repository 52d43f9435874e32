//! Stage: lets a request pass if its route's scheme knows the client, and the client may what the
//! route requires. Requests without a route fall under the default scheme, so that a stranger does
//! not learn which routes exist.

use std::rc::Rc;

use actix_http::header::HeaderValue;
use actix_web::{
    Error, HttpResponse,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use super::{Asked, Identity, Refused, check_by, refused::AuthResult};
use crate::{
    access, config::Required, rate_limit, record::RequestRecord, telemetry::observe::record,
    worker::Worker,
};

/// Answers 401, 403 or 429, or goes on.
///
/// # Errors
/// None of its own.
pub async fn authenticate(
    worker: Rc<Worker>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse, Error> {
    let record = record(&request);
    let asked = Asked { worker: &worker, record: &record, request: &request };
    let mut answered = match admit(asked).await {
        Ok(()) => next.call(request).await?,
        Err(refusal) => request.into_response(refusal),
    };
    rate_limit::stage::tell(&worker, &record, answered.headers_mut());
    Ok(answered)
}

/// Whether the request may pass.
async fn admit(asked: Asked<'_>) -> Result<(), HttpResponse> {
    let Asked { worker, record, request } = asked;
    if let Some(answer) = access::answer(&worker.gateway, record, request.head()) {
        return Err(answer);
    }
    rate_limit::stage::before(worker, record, request.head()).await?;
    if let Some(scheme) = worker.gateway.scheme(record.route.get()) {
        identify(scheme, asked).await?;
    }
    rate_limit::stage::after(worker, record, request.head()).await
}

/// Puts who the client is into the record.
async fn identify(scheme: usize, asked: Asked<'_>) -> Result<(), HttpResponse> {
    let checked = check_by(scheme, asked).known().await;
    let entitled = checked.and_then(|identity| entitle(identity, asked));
    let result = entitled.as_ref().map_or_else(Refused::result, |()| AuthResult::Ok);
    asked.worker.shard.authenticated(scheme, result);
    entitled.map_err(|refused| refused.answer(asked.record))
}

/// Whether the client may what the route requires.
fn entitle(identity: Rc<Identity>, asked: Asked<'_>) -> Result<(), Refused> {
    let required = required(asked.worker, asked.record);
    if let Some(required) = required.filter(|required| !identity.meets(required)) {
        return Err(Refused::Forbidden(insufficient(required)));
    }
    // Once a request: nothing else sets it.
    let _ = asked.record.identity.set(identity);
    Ok(())
}

fn required<'a>(worker: &'a Worker, record: &RequestRecord) -> Option<&'a Required> {
    let route = worker.gateway.routes.route(record.route.get()?);
    Some(&route.config.require).filter(|required| !required.is_empty())
}

/// RFC 6750 section 3.1: which scopes would do.
fn insufficient(required: &Required) -> Option<HeaderValue> {
    let mut challenge = "Bearer error=\"insufficient_scope\"".to_owned();
    if !required.scopes.is_empty() {
        challenge.push_str(&format!(", scope=\"{}\"", required.scopes.join(" ")));
    }
    HeaderValue::from_str(&challenge).ok()
}
