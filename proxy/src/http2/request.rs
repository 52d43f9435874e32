//! Turns a request of h2's into the one that the App gets (RFC 9113 section 8.3): as if it had come
//! over HTTP/1, with one `Host`, one `Cookie` and a body that is either as long as it says or ends
//! where its stream ends. What h2 lets through and two readers could understand differently is
//! refused here; the rest of the rules are those of `request/`, the same for both protocols.

use actix_http::{
    Method, Request, Uri, Version,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use bytes::{BufMut, Bytes, BytesMut};
use http::request::Parts;

use super::blocks::ODD_PATH;
use crate::{
    config::HeadBounds,
    downstream::Arrival,
    error::Reason,
    request::target::{self, Raw, Target},
};

static ODD_PATH_FIELD: http::HeaderName = http::HeaderName::from_static(ODD_PATH);

/// A request without its body.
pub(super) struct Head {
    pub(super) request: Request,
    /// Path and query as they came, if `request` has them otherwise.
    pub(super) raw_target: Option<Raw>,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    /// Why it is refused; what was understood of it stands in `request` for the log.
    pub(super) refusal: Option<Reason>,
}

/// `has_body`: the stream has not ended with the head.
pub(super) fn read(
    mut parts: Parts,
    has_body: bool,
    bounds: HeadBounds,
    arrival: &Arrival,
) -> Head {
    let odd_path = parts.headers.remove(&ODD_PATH_FIELD);
    let parts = &parts;
    let mut request = Request::new();
    let head = request.head_mut();
    head.version = Version::HTTP_2;
    head.peer_addr = arrival.peer;
    head.method = Method::from_bytes(parts.method.as_str().as_bytes()).unwrap_or_default();
    let mut raw_target = None;
    let read = read_target(parts, odd_path.as_ref(), bounds)
        .map(|target| (head.uri, raw_target) = (target.uri, target.raw))
        .and_then(|()| read_fields(parts, bounds, &mut head.headers))
        .and_then(|()| read_host(parts, &mut head.headers))
        .and_then(|()| read_length(has_body, &mut head.headers));
    let expects = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    let expects_continue = has_body && head.headers.get(header::EXPECT).is_some_and(expects);
    Head { request, raw_target, expects_continue, refusal: read.err() }
}

/// RFC 9113 section 8.3.1: a path from "/". Whole URLs and `*` are for proxies and servers of
/// another kind. The scheme is what the client believes; how it came is known better.
fn read_target(
    parts: &Parts,
    odd_path: Option<&http::HeaderValue>,
    bounds: HeadBounds,
) -> Result<Target, Reason> {
    if parts.method == http::Method::CONNECT {
        return Ok(Target { uri: Uri::default(), raw: None });
    }
    // h2 keeps no scheme where there is no authority.
    let is_known = match parts.uri.scheme_str() {
        Some(scheme) => matches!(scheme, "http" | "https"),
        None => parts.uri.authority().is_none(),
    };
    if !is_known {
        return Err(Reason::BadRequest);
    }
    let path = || parts.uri.path_and_query().map_or(&b""[..], |path| path.as_str().as_bytes());
    let target = odd_path.map_or_else(path, http::HeaderValue::as_bytes);
    if target.len() > bounds.target {
        return Err(Reason::UriTooLong);
    }
    if !target.starts_with(b"/") {
        return Err(Reason::BadRequest);
    }
    let target = Bytes::copy_from_slice(target);
    target::parse(&target, &target)
}

/// Copies the fields, cookies aside, within the bounds that HTTP/1 has: a field counts as the line
/// that it would be.
fn read_fields(parts: &Parts, bounds: HeadBounds, into: &mut HeaderMap) -> Result<(), Reason> {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + 4
    };
    let bytes: usize = parts.headers.iter().map(line).sum();
    let cookies = parts.headers.get_all(http::header::COOKIE).iter().count();
    let fields = parts.headers.len() - cookies.saturating_sub(1);
    if bytes > bounds.bytes || fields > bounds.fields {
        return Err(Reason::HeadersTooLarge);
    }
    // RFC 9113 section 8.2.1: white space around a value, which HTTP/1 would take off, makes a
    // request malformed.
    if parts.headers.values().any(|value| value.as_bytes().trim_ascii().len() < value.len()) {
        return Err(Reason::BadRequest);
    }
    // One buffer for all values.
    let mut values = BytesMut::with_capacity(bytes);
    for (name, value) in &parts.headers {
        if name != http::header::COOKIE {
            values.put_slice(value.as_bytes());
            add(name, values.split().freeze(), into)?;
        }
    }
    if cookies > 0 {
        join(parts, &mut values);
        add(&http::header::COOKIE, values.freeze(), into)?;
    }
    Ok(())
}

fn add(name: &http::HeaderName, value: Bytes, into: &mut HeaderMap) -> Result<(), Reason> {
    let name = HeaderName::from_bytes(name.as_str().as_bytes()).map_err(|_| Reason::BadRequest)?;
    let value = HeaderValue::from_maybe_shared(value).map_err(|_| Reason::BadRequest)?;
    into.append(name, value);
    Ok(())
}

/// RFC 9113 section 8.2.3: cookies that were split for compression are one field again.
fn join(parts: &Parts, into: &mut BytesMut) {
    for (index, value) in parts.headers.get_all(http::header::COOKIE).iter().enumerate() {
        if index > 0 {
            into.put_slice(b"; ");
        }
        into.put_slice(value.as_bytes());
    }
}

/// RFC 9113 section 8.3.1: `:authority` and `Host` must not differ; the one that is there becomes
/// the `Host` of the request.
fn read_host(parts: &Parts, headers: &mut HeaderMap) -> Result<(), Reason> {
    let Some(authority) = parts.uri.authority() else {
        // Whether there is exactly one `Host` is for the rules of both protocols.
        return if headers.contains_key(header::HOST) { Ok(()) } else { Err(Reason::BadRequest) };
    };
    let mut given = headers.get_all(header::HOST);
    let (first, second) = (given.next(), given.next());
    let is_same =
        |host: &HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
    if second.is_some() || !first.is_none_or(is_same) {
        return Err(Reason::BadRequest);
    }
    // No client of HTTP/2 leaves a port empty.
    if authority.as_str().ends_with(':') {
        return Err(Reason::BadRequest);
    }
    let host = Bytes::copy_from_slice(authority.as_str().as_bytes());
    let host = HeaderValue::from_maybe_shared(host).map_err(|_| Reason::BadRequest)?;
    headers.insert(header::HOST, host);
    Ok(())
}

/// RFC 9113 section 8.1.1. A body without a length is told as HTTP/1 would tell it, for whoever
/// sends it on.
fn read_length(has_body: bool, headers: &mut HeaderMap) -> Result<(), Reason> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH);
    let (first, second) = (lengths.next(), lengths.next());
    let Some(length) = first else {
        if has_body {
            let chunked = HeaderValue::from_static("chunked");
            headers.insert(header::TRANSFER_ENCODING, chunked);
        }
        return Ok(());
    };
    let digits = length.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let is_contradicted = !has_body && digits.iter().any(|digit| *digit != b'0');
    if second.is_some() || !is_number || is_contradicted {
        return Err(Reason::BadRequest);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: HeadBounds = HeadBounds { bytes: 300, fields: 4, target: 20 };

    fn read_all(uri: &str, fields: &[(&str, &str)], has_body: bool) -> Head {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("is a request").into_parts();
        read(parts, has_body, BOUNDS, &Arrival::default())
    }

    fn refusal(fields: &[(&str, &str)], has_body: bool) -> Option<Reason> {
        read_all("https://a.test/", fields, has_body).refusal
    }

    #[test]
    fn the_authority_becomes_the_host() {
        let head = read_all("https://a.test/x?y", &[("host", "A.test")], false);
        assert_eq!(head.refusal, None);
        let head = head.request.head().clone();
        assert_eq!(head.uri.to_string(), "/x?y");
        let hosts: Vec<_> = head.headers.get_all(header::HOST).collect();
        assert_eq!(hosts, ["a.test"]);
        assert_eq!(refusal(&[("host", "b.test")], false), Some(Reason::BadRequest));
        assert_eq!(
            refusal(&[("host", "a.test"), ("host", "a.test")], false),
            Some(Reason::BadRequest)
        );
    }

    #[test]
    fn a_host_stands_for_a_missing_authority() {
        let head = read_all("/x", &[("host", "a.test")], false);
        assert_eq!(head.refusal, None);
        let hosts: Vec<_> = head.request.head().headers.get_all(header::HOST).cloned().collect();
        assert_eq!(hosts, ["a.test"]);
        assert_eq!(read_all("/x", &[], false).refusal, Some(Reason::BadRequest));
    }

    #[test]
    fn white_space_around_a_value_is_refused() {
        for value in [" a", "a ", "\ta", "a\t", " "] {
            assert_eq!(refusal(&[("x", value)], false), Some(Reason::BadRequest), "{value:?}");
        }
        assert_eq!(refusal(&[("x", "a \tb"), ("y", "")], false), None);
    }

    #[test]
    fn cookies_are_one_field_and_count_as_one() {
        let crumbs: Vec<(&str, &str)> = ["a=1", "b=2", "c=3", "d=4", "e=5"]
            .into_iter()
            .map(|crumb| ("cookie", crumb))
            .collect();
        let head = read_all("https://a.test/", &crumbs, false);
        assert_eq!(head.refusal, None);
        let cookies: Vec<_> =
            head.request.head().headers.get_all(header::COOKIE).cloned().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3; d=4; e=5"]);
    }

    #[test]
    fn a_length_must_be_one_number_that_the_stream_does_not_contradict() {
        let length = "content-length";
        for (fields, has_body, expected) in [
            (&[(length, "5")][..], true, None),
            (&[(length, "0")], false, None),
            (&[(length, "5")], false, Some(Reason::BadRequest)),
            (&[(length, "5"), (length, "5")], true, Some(Reason::BadRequest)),
            (&[(length, "+5")], true, Some(Reason::BadRequest)),
            (&[(length, "")], true, Some(Reason::BadRequest)),
        ] {
            assert_eq!(refusal(fields, has_body), expected, "{fields:?} {has_body}");
        }
        let chunked = read_all("https://a.test/", &[], true);
        assert_eq!(
            chunked
                .request
                .head()
                .headers
                .get(header::TRANSFER_ENCODING)
                .map(HeaderValue::as_bytes),
            Some(&b"chunked"[..])
        );
    }

    #[test]
    fn targets_and_heads_are_bounded_as_over_http_1() {
        let uri = format!("https://a.test/{}", "x".repeat(20));
        assert_eq!(read_all(&uri, &[], false).refusal, Some(Reason::UriTooLong));
        let long = "x".repeat(300);
        assert_eq!(refusal(&[("a", &long)], false), Some(Reason::HeadersTooLarge));
        let many: Vec<_> = (0..5).map(|_| ("a", "b")).collect();
        assert_eq!(refusal(&many, false), Some(Reason::HeadersTooLarge));
        assert_eq!(read_all("ftp://a.test/", &[], false).refusal, Some(Reason::BadRequest));
    }
}
