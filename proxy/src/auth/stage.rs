//! Stage: lets a request pass if its route's scheme knows the client, and the client may what the
//! route requires. Requests without a route fall under the default scheme, so that a stranger does
//! not learn which routes exist.

use std::rc::Rc;

use actix_http::header::HeaderValue;
use actix_web::{HttpResponse, dev::ServiceResponse};

use super::{Asked, Checked, Identity, Refused, Verdict, ask_by, check_by, refused::AuthResult};
use crate::{
    access,
    config::Required,
    pipeline::{Passing, Step},
    record::RequestRecord,
    worker::Worker,
};

/// Answers 401, 403, 429 or 503, or goes on.
pub fn authenticate(worker: &Rc<Worker>, passing: &mut Passing<'_>) -> Step {
    let Passing { request, record, .. } = passing;
    let Some(scheme) = record.site.gateway.scheme(record.route.get()) else {
        return Step::Pass;
    };
    let asked = Asked { worker, record, request };
    match check_by(scheme, asked) {
        Verdict::Now(checked) => conclude(scheme, checked, asked).map_or(Step::Pass, Step::Answer),
        Verdict::Ask(question) => Step::Later(Box::new(move |worker, passing| {
            Box::pin(async move {
                let Passing { request, record, .. } = passing;
                let asked = Asked { worker, record, request };
                let checked = ask_by(scheme, question, asked).await;
                conclude(scheme, checked, asked).map_or(Ok(()), Err)
            })
        })),
    }
}

/// Tells the client what the server that knows it wants it to be told.
pub fn tell_client(record: &RequestRecord, response: &mut ServiceResponse) {
    if let Some(identity) = record.identity.get() {
        for (name, value) in &identity.to_client {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
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
