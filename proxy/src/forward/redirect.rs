//! Redirects: the template filled from the path, with the query of the request unless the
//! template has one. Placeholders hold bytes of a request target, so no line can be split.

use actix_http::{StatusCode, Uri, header};
use actix_web::HttpResponse;

use crate::{
    error::Reason,
    record::RequestRecord,
    reply,
    routing::{Route, RouteMatch},
};

pub(super) fn redirect(
    route: &Route,
    found: &RouteMatch,
    status: StatusCode,
    uri: &Uri,
    record: &RequestRecord,
) -> HttpResponse {
    let mut location = Vec::new();
    route.write_template(found, uri.path(), &mut location);
    if let Some(query) = uri.query().filter(|_| !location.contains(&b'?')) {
        location.push(b'?');
        location.extend_from_slice(query.as_bytes());
    }
    match header::HeaderValue::from_bytes(&location) {
        Ok(location) => {
            let mut response = HttpResponse::new(status);
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        Err(_) => reply::reject(record, Reason::BadRequest),
    }
}
