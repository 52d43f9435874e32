//! The proxy's own answers: a failure of the table, as HTTP.

use actix_http::{
    Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use actix_web::{HttpResponse, body::BoxBody};

use crate::{error::Reason, record::RequestRecord};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
/// In seconds; what makes a service unavailable may be over by then (RFC 9110 section 10.2.3).
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer for `reason`, which goes into the record too.
pub fn reject(record: &RequestRecord, reason: Reason) -> HttpResponse {
    reject_with_body(record, reason, reason.body().to_owned())
}

/// 401 with the schemes to use (RFC 9110 section 11.6.1).
pub fn not_authenticated(
    record: &RequestRecord,
    challenges: impl IntoIterator<Item = HeaderValue>,
) -> HttpResponse {
    let mut response = reject(record, Reason::NotAuthenticated);
    for challenge in challenges {
        response.headers_mut().append(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// 429 with the time after which another request may pass (RFC 6585 section 4).
pub fn rate_limited(record: &RequestRecord, retry_after_secs: u64) -> HttpResponse {
    let mut response = reject(record, Reason::RateLimited);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_secs));
    response
}

/// 404 that names the service.
pub fn unknown_service(record: &RequestRecord, name: &str) -> HttpResponse {
    let mut body = b"{\"message\": \"Service '".to_vec();
    crate::telemetry::access_log::escape(name.as_bytes(), &mut body);
    body.extend_from_slice(b"' not found\"}");
    reject_with_body(record, Reason::UnknownService, body)
}

/// 405 with the methods there are (RFC 9110 section 15.5.6).
pub fn method_not_allowed(record: &RequestRecord, allowed: &[Method]) -> HttpResponse {
    let mut response = reject(record, Reason::MethodNotAllowed);
    allow(&mut response, allowed);
    response
}

/// 204 with the methods that the proxy takes (RFC 9110 section 9.3.7).
pub fn options(allowed: &[Method]) -> HttpResponse {
    let mut response = HttpResponse::with_body(StatusCode::NO_CONTENT, BoxBody::new(()));
    allow(&mut response, allowed);
    response
}

fn allow(response: &mut HttpResponse, methods: &[Method]) {
    let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
}

/// What `health_path` answers.
pub fn healthy() -> HttpResponse {
    with_body(StatusCode::OK, JSON, "{\"status\": \"ok\"}".to_owned())
}

/// The answer to an ACME challenge (RFC 8555 section 8.3).
pub fn key_authorization(text: String) -> HttpResponse {
    with_body(StatusCode::OK, BYTES, text)
}

pub fn with_body(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Into<bytes::Bytes>,
) -> HttpResponse {
    let mut response = HttpResponse::with_body(status, BoxBody::new(body.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

fn reject_with_body(
    record: &RequestRecord,
    reason: Reason,
    body: impl Into<bytes::Bytes>,
) -> HttpResponse {
    record.reason.set(Some(reason));
    let mut response = with_body(reason.status(), JSON, body);
    response.headers_mut().insert(PROXY_STATUS, reason.proxy_status());
    if reason.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}
