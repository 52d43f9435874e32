//! Stage: address lists, and questions of browsers (CORS preflights). On the way back: what browsers are
//! told of other origins' pages.

use std::rc::Rc;

use actix_http::StatusCode;
use actix_web::dev::ServiceResponse;

use super::{answer, cors};
use crate::{
    pipeline::{Passing, Step},
    record::RequestRecord,
    worker::Worker,
};

pub fn access(_: &Rc<Worker>, passing: &mut Passing<'_>) -> Step {
    let Passing { request, record, .. } = passing;
    answer(&record.site.gateway, record, request.head()).map_or(Step::Pass, Step::Answer)
}

/// Tells browsers whose pages may read the answer.
pub fn tell_origin(record: &RequestRecord, response: &mut ServiceResponse) {
    let Some(cors) = record.matched().and_then(|route| route.config.cors.as_ref()) else { return };
    let origin = cors::allowed(cors, response.request().headers());
    let is_allowed = record.is_preflight.get() && response.status() == StatusCode::NO_CONTENT;
    let answer = if is_allowed { cors::Answer::Preflight } else { cors::Answer::Other };
    cors::finish(cors, origin, answer, response.headers_mut());
}
