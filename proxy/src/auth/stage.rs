//! Stage: lets a request pass if its route's scheme knows the client. Requests without a route
//! fall under the default scheme, so that a stranger does not learn which routes exist.

use std::rc::Rc;

use actix_web::{
    Error,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use crate::{reply, telemetry::observe::record, worker::Worker};

/// Answers 401, or goes on.
///
/// # Errors
/// None of its own.
pub async fn authenticate(
    worker: Rc<Worker>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse, Error> {
    let record = record(&request);
    let checked = match worker.gateway.authenticator(record.route.get()) {
        Some(scheme) => scheme.check(request.headers()),
        None => Ok(()),
    };
    match checked {
        Ok(()) => next.call(request).await,
        Err(refused) => {
            Ok(request.into_response(reply::not_authenticated(&record, refused.challenge)))
        }
    }
}
