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
    match header::HeaderValue::from_bytes(&location(route, found, record.path(uri), uri.query())) {
        Ok(location) => {
            let mut response = HttpResponse::new(status);
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        Err(_) => reply::reject(record, Reason::BadRequest),
    }
}

/// Where the redirect leads. A path stays a path: were it to begin with two slashes, because a
/// placeholder does, it would name another host.
pub fn location(route: &Route, found: &RouteMatch, path: &str, query: Option<&str>) -> Vec<u8> {
    let mut location = Vec::new();
    route.write_template(found, path, &mut location);
    let slashes = location.iter().take_while(|byte| b"/\\".contains(byte)).count();
    if slashes > 1 && !route.template_names_host() {
        location.drain(1..slashes);
    }
    if let Some(query) = query.filter(|_| !location.contains(&b'?')) {
        location.push(b'?');
        location.extend_from_slice(query.as_bytes());
    }
    location
}
