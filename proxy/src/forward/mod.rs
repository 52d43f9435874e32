//! The end of the pipeline: does what the route says, and sends requests upstream.

mod attempt;
pub mod redirect;
pub mod tunnel;

use std::rc::Rc;

use actix_web::{
    Error, HttpResponse,
    dev::{ServiceRequest, ServiceResponse},
};

use self::attempt::Attempts;
use crate::{
    config::{RouteAction, ServiceChoice},
    error::Reason,
    record::RequestRecord,
    reply,
    routing::{Found, Route, RouteMatch},
    service::Service,
    telemetry::observe::record,
    worker::Worker,
};

/// Answers a request that has passed all stages.
///
/// # Errors
/// None: every failure is an answer.
pub async fn forward(
    worker: Rc<Worker>,
    request: ServiceRequest,
) -> Result<ServiceResponse, Error> {
    let record = record(&request);
    let found = match record.found.take() {
        Some(Found::Route(found)) => found,
        Some(Found::MethodNotAllowed(allowed)) => {
            return Ok(request.into_response(reply::method_not_allowed(&record, &allowed)));
        }
        Some(Found::NoRoute) | None => {
            return Ok(request.into_response(reply::reject(&record, Reason::NoRoute)));
        }
    };
    let gateway = &worker.gateway;
    let route = gateway.routes.route(found.route);
    match &route.config.action {
        RouteAction::Respond { status, body, content_type } => {
            let response = reply::with_body(*status, content_type.clone(), body.clone());
            Ok(request.into_response(response))
        }
        RouteAction::Redirect { status, .. } => {
            let response = redirect::redirect(route, &found, *status, request.uri(), &record);
            Ok(request.into_response(response))
        }
        RouteAction::Forward { service, .. } => {
            let name = match service {
                ServiceChoice::Named(index) => {
                    let service = &gateway.services()[*index];
                    return Ok(send(&worker, request, service, route, &found, &record).await);
                }
                ServiceChoice::FromPath(placeholder) => {
                    route.value(&found, placeholder, record.path(request.uri())).unwrap_or_default()
                }
            };
            match gateway.service_named(name) {
                Some(service) => Ok(send(&worker, request, service, route, &found, &record).await),
                None => {
                    let response = reply::unknown_service(&record, name);
                    Ok(request.into_response(response))
                }
            }
        }
    }
}

async fn send(
    worker: &Worker,
    request: ServiceRequest,
    service: &Service,
    route: &Route,
    found: &RouteMatch,
    record: &Rc<RequestRecord>,
) -> ServiceResponse {
    record.service.set(Some(service.index));
    // Two steps: the future of a request is smaller if it holds no result of the first.
    let attempts = match Attempts::prepare(worker, &request, service, route, found, record) {
        Ok(attempts) => attempts,
        Err(reason) => {
            let response = reply::reject(record, reason);
            return request.into_response(response);
        }
    };
    let answered = attempts.run().await;
    drop(attempts);
    let response: HttpResponse = answered.unwrap_or_else(|error| {
        tracing::debug!(
            request_id = record.request_id.to_str().unwrap_or_default(),
            error = crate::error::chain(&error),
            "request failed"
        );
        reply::reject(record, error.reason())
    });
    request.into_response(response)
}
