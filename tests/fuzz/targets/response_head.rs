//! Response heads. Any split of the bytes gives the same head; it takes its own bytes and no
//! others; its framing is what a plain reading of its lines gives; no field of the connection or
//! of the route goes on, and every other one does, in order and as it was spelled.

#![no_main]

use actix_http::{
    Method, StatusCode,
    header::{HeaderName, HeaderValue},
};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use proxy::{
    config::HeaderRules,
    upstream::{
        Asked, Framing, ResponseHead,
        fuzz::{Head, read_head},
    },
};
use proxy_fuzz::is_nominated;

/// Fields that never go on, or are written anew.
const NEVER: [&str; 11] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

fuzz_target!(|input: &[u8]| {
    let [method, bound, cut, wire @ ..] = input else { return };
    let offer = HeaderValue::from_static("websocket, chat");
    let upgrade = (*method / 3 % 2 == 1).then_some(&offer);
    let rules = rules(*method / 6);
    let method = [Method::GET, Method::HEAD, Method::POST][usize::from(*method % 3)].clone();
    let asked = Asked { method: &method, upgrade, signs_in: false, rules: &rules };
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
            check_fields(&fields, &head, asked);
        }
    }
});

fn rules(which: u8) -> HeaderRules {
    let name = HeaderName::from_static;
    let mut rules = HeaderRules::default();
    if which % 2 == 1 {
        rules.remove.push(name("server"));
        rules.set.push((name("x-user"), HeaderValue::from_static("rule")));
    }
    rules
}

/// Heads in a form that can be compared.
fn show(found: &Result<Head, impl std::fmt::Debug>) -> String {
    let Ok(Head::Final { head, keeps_alive }) = found else { return format!("{found:?}") };
    let fields = head.fields.as_bytes().escape_ascii();
    format!("{} {:?} {keeps_alive} {fields}", head.status, head.framing)
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

type Fields<'a> = Vec<(&'a str, &'a [u8])>;

/// The field lines as a naive reader sees them.
fn plain_fields(head: &[u8]) -> Fields<'_> {
    let lines = head.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines = lines.skip_while(|line| line.is_empty()).skip(1);
    lines.take_while(|line| !line.is_empty()).map(plain_field).collect()
}

fn plain_field(line: &[u8]) -> (&str, &[u8]) {
    let colon = line.iter().position(|byte| *byte == b':').expect("a field line has a colon");
    let name = std::str::from_utf8(&line[..colon]).expect("a name is ASCII");
    (name, line[colon + 1..].trim_ascii())
}

fn values<'a>(fields: &Fields<'a>, name: &str) -> Vec<&'a [u8]> {
    let named = fields.iter().filter(|(one, _)| one.eq_ignore_ascii_case(name));
    named.map(|(_, value)| *value).collect()
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

fn check_fields(fields: &Fields<'_>, head: &ResponseHead, asked: Asked<'_>) {
    let lines = head.fields.as_bytes();
    assert!(!lines.contains(&b'\0') && (lines.is_empty() || lines.ends_with(b"\r\n")));
    let found: Fields<'_> = lines
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r\n").expect("a line ends in CRLF"))
        .inspect(|line| assert!(!line.contains(&b'\r')))
        .map(plain_field)
        .collect();
    let connection = values(fields, "connection");
    let goes_on = |name: &str| {
        let name = name.to_ascii_lowercase();
        let mut ruled = asked.rules.remove.iter().chain(asked.rules.set.iter().map(|(one, _)| one));
        !NEVER.contains(&name.as_str())
            && !is_nominated(connection.iter().copied(), &name)
            && !ruled.any(|one| one.as_str() == name)
    };
    let mut expected = fields.clone();
    expected.retain(|(name, _)| goes_on(name));
    let length;
    match head.framing {
        Framing::Tunnel => expected.push(("Upgrade", values(fields, "upgrade")[0])),
        // Where there is a body, its framing is written anew for the client.
        Framing::Empty(Some(bytes)) if *asked.method != Method::HEAD => {
            length = bytes.to_string();
            expected.push(("Content-Length", length.as_bytes()));
        }
        _ => {}
    }
    assert_eq!(found, expected);
    let has_date = found.iter().any(|(name, _)| name.eq_ignore_ascii_case("date"));
    assert_eq!(head.fields.has_date(), has_date);
}
