//! A response head as h2 sends it.

use actix_http::ResponseHead;
use actix_web::body::BodySize;
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, UPGRADE},
};

use super::known_fields::KnownFields;
use crate::headers::{lines::FieldLines, request_id::X_REQUEST_ID};

/// Room for the fields of a usual answer.
const USUAL: usize = 12;

/// A whole head. `passed` are the fields of the upstream; `date` writes the value of `Date` where
/// the response has none.
pub(super) fn head(
    head: &ResponseHead,
    size: BodySize,
    passed: FieldLines,
    known: &KnownFields,
    date: impl FnOnce(&mut BytesMut),
) -> Response<()> {
    let mut response = Response::new(());
    let status = StatusCode::from_u16(head.status.as_u16());
    *response.status_mut() = status.expect("both crates know the same statuses");
    let mut fields = HeaderMap::with_capacity(USUAL);
    if let BodySize::Sized(length) = size
        && response.status() != StatusCode::NO_CONTENT
    {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let has_date = passed.has_date();
    pass(passed, known, &mut fields);
    for (name, value) in head.headers.iter() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(mut value)) = (name, value) {
            // Never the same again: in the table of the connection it would only be in the way of
            // what is, and h2 compares all values that a name has there.
            value.set_sensitive(name.as_str() == X_REQUEST_ID.as_str());
            add(name, value, &mut fields);
        }
    }
    if !has_date && !fields.contains_key(DATE) {
        let mut now = BytesMut::new();
        date(&mut now);
        if let Ok(now) = HeaderValue::from_maybe_shared(now.freeze()) {
            fields.insert(DATE, now);
        }
    }
    *response.headers_mut() = fields;
    response
}

fn pass(lines: FieldLines, known: &KnownFields, into: &mut HeaderMap) {
    let lines: Bytes = lines.into_bytes();
    let mut rest = &lines[..];
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if let Some((name, value)) = known.read(line.trim_ascii_end(), &lines) {
            add(name, value, into);
        }
    }
}

/// RFC 9113 section 8.2.2: nothing about a connection.
fn add(name: HeaderName, value: HeaderValue, into: &mut HeaderMap) {
    let is_of_connection = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE].contains(&name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection");
    if !is_of_connection {
        into.append(name, value);
    }
}
