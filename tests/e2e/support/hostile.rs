//! Hostile cases from `tests/fixtures/*wire-cases.json`, and what every request must be that reaches
//! an origin.

use std::thread;

use serde_json::Value;

use super::Head;

/// Requests for this must reach no origin, unless the case pipelines it openly.
pub const SMUGGLED: &str = "smuggled-7f3a";

/// Fields that end at the proxy, in whatever spelling.
const FORBIDDEN: [&str; 13] = [
    "connection",
    "content.length",
    "content_length",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer.encoding",
    "transfer_encoding",
    "upgrade",
    "x-real-ip",
];

pub fn cases(of: &str) -> Vec<Value> {
    let given = include_str!("../../fixtures/wire-cases.json");
    let own = include_str!("../../fixtures/own-wire-cases.json");
    let read = |file: &str| {
        let mut file: Value = serde_json::from_str(file).expect("is JSON");
        match file[of].take() {
            Value::Array(cases) => cases,
            other => panic!("expected cases, found {other}"),
        }
    };
    [read(given), read(own)].concat()
}

/// Most of the time is spent waiting for connections to end: shares of the cases, each in a world of
/// its own, wait side by side.
pub fn in_shares(of: &str, run: impl Fn(&[Value]) + Sync) {
    let cases = cases(of);
    thread::scope(|scope| {
        for share in cases.chunks(cases.len().div_ceil(8)) {
            scope.spawn(|| run(share));
        }
    });
}

pub fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} of {case} is a string"))
}

pub fn list(case: &Value, key: &str) -> Vec<String> {
    let items = case[key].as_array().expect("is a list");
    items.iter().map(|item| item.as_str().expect("is a string").to_owned()).collect()
}

/// The files write bytes as the characters of Latin-1.
pub fn bytes(latin_1: &str) -> Vec<u8> {
    latin_1.chars().map(|byte| u8::try_from(u32::from(byte)).expect("is Latin-1")).collect()
}

/// Whether an origin cannot understand the request in two ways.
pub fn assert_is_one_request(name: &str, head: &Head) {
    let words: Vec<&str> = head.line.split(' ').collect();
    assert!(words.len() == 3 && words[2] == "HTTP/1.1", "{name}: {head:?}");
    let is_plain = |byte: u8| byte.is_ascii_graphic() || !byte.is_ascii();
    assert!(words[1].starts_with('/') && words[1].bytes().all(is_plain), "{name}: {head:?}");
    let lengths = head.headers("content-length");
    let codings = head.headers("transfer-encoding");
    assert!(lengths.len() + codings.len() <= 1, "{name}: {head:?}");
    assert!(lengths.iter().all(|length| length.bytes().all(|byte| byte.is_ascii_digit())));
    assert!(codings.iter().all(|coding| *coding == "chunked"), "{name}: {head:?}");
    assert_eq!(head.headers("host").len(), 1, "{name}: {head:?}");
    assert_eq!(head.headers("x-forwarded-for"), ["127.0.0.1"], "{name}: {head:?}");
    for (field, value) in &head.fields {
        let is_name =
            field.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let is_forbidden = FORBIDDEN.contains(&field.as_str()) && !is_offer(head, field);
        assert!(is_name && !is_forbidden, "{name}: {field}");
        assert!(!value.bytes().any(|byte| byte < b' ' && byte != b'\t'), "{name}: {head:?}");
    }
}

/// Whether the field belongs to an offer to switch protocols, which goes on as it came.
fn is_offer(head: &Head, field: &str) -> bool {
    let offers = head.headers("upgrade");
    let is_whole = offers.len() == 1 && head.headers("connection") == ["upgrade"];
    ["connection", "upgrade"].contains(&field) && is_whole && !offers[0].contains("h2c")
}
