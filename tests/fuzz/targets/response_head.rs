//! Response heads. Any split of the bytes gives the same head; it takes its own bytes and no
//! others; its framing is what a plain reading of its lines gives; no field of the connection
//! goes on, and every other one does, in order.

#![no_main]

use actix_http::{Method, StatusCode, header::HeaderValue};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use proxy::upstream::{
    Asked, Framing, ResponseHead,
    fuzz::{Head, read_head},
};
use proxy_fuzz::is_nominated;

/// Fields that never go on.
const HOPS: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fuzz_target!(|input: &[u8]| {
    let [method, bound, cut, wire @ ..] = input else { return };
    let offer = HeaderValue::from_static("websocket, chat");
    let upgrade = (*method / 3 % 2 == 1).then_some(&offer);
    let method = [Method::GET, Method::HEAD, Method::POST][usize::from(*method % 3)].clone();
    let asked = Asked { method: &method, upgrade };
    let bound = [64, 1024, 64 << 10][usize::from(*bound % 3)];
    let mut buffer = BytesMut::from(wire);
    let whole = read_head(&mut buffer, asked, bound);
    check_split(wire, usize::from(*cut) % (wire.len() + 1), asked, bound);
    let taken = wire.len() - buffer.len();
    match whole {
        Err(_) => {}
        Ok(Head::Partial) => assert!(taken == 0 && wire.len() <= bound),
        Ok(Head::Interim) => check_end(&wire[..taken], bound),
        Ok(Head::Final { head, keeps_alive }) => {
            check_end(&wire[..taken], bound);
            let fields = plain_fields(&wire[..taken]);
            check_framing(&fields, &head, &method);
            check_switch(&fields, &head, upgrade.is_some());
            check_reuse(&fields, &head, keeps_alive);
            check_fields(&fields, &head);
        }
    }
});

/// Heads in a form that can be compared: fields of different names have no order.
fn show(found: &Result<Head, impl std::fmt::Debug>) -> String {
    let Ok(Head::Final { head, keeps_alive }) = found else { return format!("{found:?}") };
    let mut names: Vec<_> = head.fields.keys().collect();
    names.sort_unstable_by_key(|name| name.as_str());
    let fields: Vec<(_, Vec<_>)> =
        names.iter().map(|name| (name, head.fields.get_all(*name).collect())).collect();
    format!("{} {:?} {keeps_alive} {fields:?}", head.status, head.framing)
}

/// A look at a part of the head must neither take it nor make a difference.
fn check_split(wire: &[u8], cut: usize, asked: Asked<'_>, bound: usize) {
    let mut at_once = BytesMut::from(wire);
    let whole = read_head(&mut at_once, asked, bound);
    let mut buffer = BytesMut::from(&wire[..cut]);
    let first = read_head(&mut buffer, asked, bound);
    if first.is_err() {
        assert!(whole.is_err(), "refused in pieces: {first:?}, but not at once: {whole:?}");
        return;
    }
    let was_partial = matches!(first, Ok(Head::Partial));
    buffer.extend_from_slice(&wire[cut..]);
    let found = if was_partial { read_head(&mut buffer, asked, bound) } else { first };
    assert_eq!(show(&found), show(&whole));
    assert_eq!(buffer, at_once);
}

fn check_end(head: &[u8], bound: usize) {
    assert!(head.len() <= bound);
    assert!(head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n"));
}

type Fields<'a> = Vec<(String, &'a [u8])>;

/// The field lines as a naive reader sees them.
fn plain_fields(head: &[u8]) -> Fields<'_> {
    let lines = head.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines = lines.skip_while(|line| line.is_empty()).skip(1);
    let field = |line: &'_ [u8]| -> Option<usize> { line.iter().position(|byte| *byte == b':') };
    lines
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let colon = field(line).expect("a field line has a colon");
            let name = String::from_utf8(line[..colon].to_ascii_lowercase());
            (name.expect("a name is ASCII"), line[colon + 1..].trim_ascii())
        })
        .collect()
}

fn values<'a>(fields: &Fields<'a>, name: &str) -> Vec<&'a [u8]> {
    fields.iter().filter(|(one, _)| one == name).map(|(_, value)| *value).collect()
}

fn check_framing(fields: &Fields<'_>, head: &ResponseHead, method: &Method) {
    let lengths = values(fields, "content-length");
    let codings = values(fields, "transfer-encoding");
    assert!(lengths.is_empty() || codings.is_empty(), "two lengths");
    assert!(codings.len() <= 1 && codings.iter().all(|one| one.eq_ignore_ascii_case(b"chunked")));
    let length = lengths.first().map(|value| {
        let text = std::str::from_utf8(value).expect("a length is ASCII");
        assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
        text.parse::<u64>().expect("is a number")
    });
    for one in &lengths {
        assert_eq!(std::str::from_utf8(one).ok().and_then(|text| text.parse().ok()), length);
    }
    let has_body = *method != Method::HEAD
        && ![StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
    let expected = match (length, codings.is_empty()) {
        _ if head.status == StatusCode::SWITCHING_PROTOCOLS => Framing::Tunnel,
        _ if head.status == StatusCode::NO_CONTENT => Framing::Empty(None),
        (length, _) if !has_body => Framing::Empty(length),
        (Some(length), _) => Framing::Length(length),
        (None, false) => Framing::Chunked,
        (None, true) => Framing::UntilClose,
    };
    assert_eq!(head.framing, expected);
}

/// Only to one protocol, and one that was offered.
fn check_switch(fields: &Fields<'_>, head: &ResponseHead, is_offered: bool) {
    if head.framing == Framing::Tunnel {
        let is_known = |one: &[u8]| {
            one.eq_ignore_ascii_case(b"websocket") || one.eq_ignore_ascii_case(b"chat")
        };
        let protocols = values(fields, "upgrade");
        assert!(is_offered && protocols.len() == 1 && is_known(protocols[0]));
        assert!(options(fields).iter().any(|option| option.eq_ignore_ascii_case(b"upgrade")));
    }
}

fn options<'a>(fields: &Fields<'a>) -> Vec<&'a [u8]> {
    let values = values(fields, "connection").into_iter();
    values.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).collect()
}

fn check_reuse(fields: &Fields<'_>, head: &ResponseHead, keeps_alive: bool) {
    let closes = options(fields).iter().any(|option| option.eq_ignore_ascii_case(b"close"));
    assert!(!keeps_alive || !closes && head.framing != Framing::UntilClose);
}

fn check_fields(fields: &Fields<'_>, head: &ResponseHead) {
    let switches = head.framing == Framing::Tunnel;
    let is_hop = |name: &str| HOPS.contains(&name) && !(switches && name == "upgrade");
    for (name, value) in &head.fields {
        assert!(!is_hop(name.as_str()), "{name} went on");
        assert!(!value.as_bytes().iter().any(|byte| b"\r\n\0".contains(byte)), "{name}");
    }
    let connection = values(fields, "connection");
    for (name, _) in fields {
        let found: Vec<&[u8]> =
            head.fields.get_all(name.as_str()).map(|value| value.as_bytes()).collect();
        let is_taken = name != "upgrade" && is_nominated(connection.iter().copied(), name);
        let expected = match name.as_str() {
            "content-length" => continue,
            name if is_taken || is_hop(name) => Vec::new(),
            name => values(fields, name),
        };
        assert_eq!(found, expected, "{name}");
    }
    // Where there is a body, its framing is written anew for the client.
    let has_length = head.fields.contains_key("content-length");
    assert!(!has_length || matches!(head.framing, Framing::Empty(Some(_))));
}
