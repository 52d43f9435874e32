//! What the validator lets through. Its path is normal, climbs for no reader, and reaches the
//! endpoint as it was routed; its host is one; nothing else of its head can be read twice.

#![no_main]

use actix_http::{Method, RequestHead, header};
use libfuzzer_sys::fuzz_target;
use proxy::{
    config::{AmbiguousPaths, DotSegments, EncodedSlash, NameCase, PathPolicy, UnsafeBytes},
    request::{check, normal_path, upgrade},
    routing::stage::host,
    upstream::{
        RequestFraming,
        request_head::{RequestLine, write},
    },
};
use proxy_fuzz::{Body, Reading, read_request, take_request};

fuzz_target!(|input: &[u8]| {
    let [flags, wire @ ..] = input else { return };
    let policy = PathPolicy {
        encoded_slash: [EncodedSlash::Keep, EncodedSlash::Reject][usize::from(flags & 1)],
        dot_segments: [DotSegments::Resolve, DotSegments::Reject][usize::from(flags >> 1 & 1)],
        unsafe_bytes: [UnsafeBytes::Keep, UnsafeBytes::Reject][usize::from(flags >> 2 & 1)],
        ambiguous: AmbiguousPaths::default(),
    };
    if let Ok(path) = std::str::from_utf8(wire)
        && path.starts_with('/')
        && let Ok(normal) = normal_path(path, policy)
    {
        check_path(path, normal.as_deref(), policy);
    }
    let Some(request) = take_request(wire) else { return };
    let head = request.head();
    let Ok(checked) = check(head, policy) else { return };
    check_path(head.uri.path(), checked.path.as_deref(), policy);
    check_head(head);
    check_way_out(head, checked.path.as_deref().unwrap_or(head.uri.path()));
});

fn check_path(given: &str, normal: Option<&str>, policy: PathPolicy) {
    if let Some(normal) = normal {
        assert!(normal != given && normal.len() <= given.len());
        assert!(policy.dot_segments == DotSegments::Resolve);
    }
    let path = normal.unwrap_or(given);
    assert!(path.starts_with('/'));
    assert_eq!(normal_path(path, policy), Ok(None), "not normal: {path}");
    let decoded = decode(path.as_bytes());
    assert!(!decoded.contains(&0));
    let decoded: Vec<u8> = decoded.into_iter().filter(|byte| !b"\t\r\n".contains(byte)).collect();
    // A reader that decodes first, and one that strips parameters too.
    for segment in decoded.split(|byte| b"/\\".contains(byte)) {
        let bare = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        assert!(bare != b"..", "climbs: {path}");
    }
    if policy.encoded_slash == EncodedSlash::Reject {
        let slashes = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'/').count();
        assert_eq!(slashes(&decoded), slashes(path.as_bytes()));
    }
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        decoded.push(u8::from_str_radix(digits.expect("two digits"), 16).expect("hexadecimal"));
        rest = &after[2..];
    }
    decoded
}

fn check_head(head: &RequestHead) {
    assert!(head.method != Method::CONNECT && head.method != Method::TRACE);
    assert!(head.method.as_str().len() <= 32);
    assert!(head.headers.get_all(header::HOST).count() <= 1);
    let bytes = host(head);
    assert!(bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(byte)));
    assert!(!bytes.is_empty() || head.headers.get(header::HOST).is_none());
}

/// The endpoint reads the request line and the host as they were checked, and an offer to switch
/// protocols as it was made.
fn check_way_out(head: &RequestHead, path: &str) {
    let host = match host(head) {
        b"" => b"a.test",
        host => host,
    };
    let method = &head.method;
    let line = RequestLine {
        method,
        base: "/base",
        path: path.as_bytes(),
        query: head.uri.query().map(str::as_bytes),
        host,
        case: NameCase::Title,
    };
    let offer = upgrade(head);
    let framing = if offer.is_some() { RequestFraming::None } else { RequestFraming::Length(0) };
    let wire = write(&line, framing, offer, None, b"x-a: b\r\n");
    let Some(Reading { request, body: Body::None | Body::Endless, left: 0 }) = read_request(&wire)
    else {
        panic!("not one request: {}", wire.escape_ascii());
    };
    assert_eq!(request.path(), format!("/base{path}"));
    assert_eq!(request.uri().query(), head.uri.query());
    let fields = &request.head().headers;
    assert_eq!(fields.get(header::HOST).map(|value| value.as_bytes()), Some(host));
    assert_eq!(fields.get(header::UPGRADE), offer);
    assert_eq!(fields.len(), if offer.is_some() { 4 } else { 3 });
}
