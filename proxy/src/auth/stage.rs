//! Stage: lets a request pass if its route's scheme knows the client, and the client may what the
//! route requires. Requests without a route fall under the default scheme, so that a stranger does
//! not learn which routes exist.

use std::rc::Rc;

use actix_http::header::HeaderValue;
use actix_web::{HttpResponse, dev::ServiceRequest};

use super::{Asked, Checked, Identity, Refused, Verdict, check_by, refused::AuthResult};
use crate::{
    access, config::Required, rate_limit, record::RequestRecord, stage::Step, worker::Worker,
};

/// Answers 401, 403, 429 or 503, or goes on.
pub fn authenticate(
    worker: &Rc<Worker>,
    record: &Rc<RequestRecord>,
    request: ServiceRequest,
) -> Step {
    if let Some(answer) = access::answer(&record.site.gateway, record, request.head()) {
        return Step::Answer(request.into_response(answer));
    }
    if rate_limit::stage::has_limits(record) {
        return later(worker, record, request);
    }
    let Some(scheme) = record.site.gateway.scheme(record.route.get()) else {
        return Step::Pass(request);
    };
    let asked = Asked { worker, record, request: &request };
    let concluded = match check_by(scheme, asked) {
        Verdict::Now(checked) => Some(conclude(scheme, checked, asked)),
        // It borrows the request, which must move: it is asked again where it stays.
        Verdict::Later(_) => None,
    };
    match concluded {
        Some(None) => Step::Pass(request),
        Some(Some(refusal)) => Step::Answer(request.into_response(refusal)),
        None => later(worker, record, request),
    }
}

fn later(worker: &Rc<Worker>, record: &Rc<RequestRecord>, request: ServiceRequest) -> Step {
    let (worker, record) = (Rc::clone(worker), Rc::clone(record));
    Step::Later(Box::pin(async move {
        match admit(Asked { worker: &worker, record: &record, request: &request }).await {
            Ok(()) => Ok(request),
            Err(refusal) => Err(request.into_response(refusal)),
        }
    }))
}

/// Whether the request may pass.
async fn admit(asked: Asked<'_>) -> Result<(), HttpResponse> {
    let Asked { worker, record, request } = asked;
    rate_limit::stage::before(worker, record, request.head()).await?;
    if let Some(scheme) = record.site.gateway.scheme(record.route.get()) {
        let refusal = conclude(scheme, check_by(scheme, asked).known().await, asked);
        refusal.map_or(Ok(()), Err)?;
    }
    rate_limit::stage::after(worker, record, request.head()).await
}

/// Puts who the client is into the record, or says what to answer.
fn conclude(scheme: usize, checked: Checked, asked: Asked<'_>) -> Option<HttpResponse> {
    asked.record.is_stranger.set(checked.is_err());
    let entitled = checked.and_then(|identity| entitle(identity, asked));
    let result = entitled.as_ref().map_or_else(Refused::result, |()| AuthResult::Ok);
    let id = asked.record.site.scheme(scheme).shared.id;
    asked.worker.shard.authenticated(id, result);
    entitled.err().map(|refused| refused.answer(asked.record))
}

/// Whether the client may what the route requires, from where it is.
fn entitle(identity: Rc<Identity>, asked: Asked<'_>) -> Result<(), Refused> {
    if access::is_barred(asked.record) {
        return Err(Refused::Forbidden(None));
    }
    let required = required(asked.record);
    if let Some(required) = required.filter(|required| !identity.meets(required)) {
        return Err(Refused::Forbidden(insufficient(required)));
    }
    // Once a request: nothing else sets it.
    let _ = asked.record.identity.set(identity);
    Ok(())
}

fn required(record: &RequestRecord) -> Option<&Required> {
    let route = record.matched()?;
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
