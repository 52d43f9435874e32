//! Redirects: the template filled from the path, with the query of the request unless the
//! template has one. Placeholders hold bytes of a request target, so no line can be split.

use std::fmt::Write;

use actix_http::{RequestHead, StatusCode, Uri, header};
use actix_web::HttpResponse;

use crate::{
    error::Reason,
    record::RequestRecord,
    reply,
    request::without_port,
    routing::{Route, RouteMatch, stage::host},
};

/// The port that `https` has if none is named.
const HTTPS: u16 = 443;

/// The same place over `https` on `port`: 308 keeps method and body (RFC 9110 section 15.4.9).
/// `None` if the client has not said which host it means.
pub fn to_https(head: &RequestHead, path: &str, port: u16) -> Option<HttpResponse> {
    let given = std::str::from_utf8(host(head)).ok().filter(|host| !host.is_empty())?;
    let mut location = format!("https://{}", without_port(given));
    if port != HTTPS {
        write!(location, ":{port}").expect("a String grows");
    }
    location.push_str(path);
    if let Some(query) = head.uri.query() {
        location.push('?');
        location.push_str(query);
    }
    let location = header::HeaderValue::from_str(&location).ok()?;
    let mut response = HttpResponse::new(StatusCode::PERMANENT_REDIRECT);
    response.headers_mut().insert(header::LOCATION, location);
    Some(response)
}

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
    let Some(target) = route.fill_template(found, path) else { return Vec::new() };
    let mut location = target.path;
    let slashes = location.iter().take_while(|byte| b"/\\".contains(byte)).count();
    if slashes > 1 && !route.template_names_host() {
        location.drain(1..slashes);
    }
    let parts = [
        (b'?', target.query.as_deref().or(query.map(str::as_bytes))),
        (b'#', target.fragment.as_deref()),
    ];
    for (mark, part) in parts {
        if let Some(part) = part {
            location.push(mark);
            location.extend_from_slice(part);
        }
    }
    location
}
