//! `Forwarded` (RFC 7239): who passed a request on for whom.
//!
//! Read from its right end: what stands there was written by the peer, and nothing that others have
//! written to the left of it, an open quote least of all, changes how it is understood. The first
//! element that is malformed proves nothing, nor does what stands before it. The grammar is taken as
//! it is: no space inside an element, IPv6 addresses and ports in quotes.

use std::{
    borrow::Cow,
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use actix_http::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::{BufMut, BytesMut};

use super::lines::put_address;

pub const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// Elements that are looked at, all fields together; what stands before them proves nothing.
const MOST_ELEMENTS: usize = 64;

/// What one proxy has said.
#[derive(Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// As it came.
    pub text: &'a [u8],
    /// From whom the proxy had the request; `None` if it does not say, or not by address.
    pub client: Option<IpAddr>,
    /// What it was asked for as.
    pub host: Option<Cow<'a, [u8]>>,
    /// `http` or `https`.
    pub proto: Option<&'static str>,
}

/// The elements of all fields, the last one first, up to one that is malformed.
pub fn elements(headers: &HeaderMap) -> impl Iterator<Item = Element<'_>> {
    let fields: Vec<&[u8]> = headers.get_all(FORWARDED).map(HeaderValue::as_bytes).collect();
    let mut fields = fields.into_iter().rev();
    let mut rest = None;
    let elements = std::iter::from_fn(move || {
        loop {
            let field = match rest.take() {
                Some(field) => field,
                None => fields.next()?,
            };
            let start = last_start(field)?;
            let (before, text) = (&field[..start], field[start..].trim_ascii());
            rest = before.strip_suffix(b",");
            // A list may have empty places (RFC 9110 section 5.6.1.2).
            if !text.is_empty() {
                return parse(text);
            }
        }
    });
    elements.take(MOST_ELEMENTS)
}

/// Where the last element begins: behind the last comma that is in no quoted string.
fn last_start(field: &[u8]) -> Option<usize> {
    let mut at = field.len();
    while let Some(byte) = at.checked_sub(1).map(|before| field[before]) {
        match byte {
            b',' => return Some(at),
            b'"' => at = opening_quote(&field[..at - 1])?,
            _ => at -= 1,
        }
    }
    Some(0)
}

/// Where the quoted string begins whose inside ends `before`.
fn opening_quote(before: &[u8]) -> Option<usize> {
    let mut at = before.len();
    loop {
        at = memchr::memrchr(b'"', &before[..at])?;
        let escapes = before[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        if escapes % 2 == 0 {
            return Some(at);
        }
    }
}

/// One element, which is not empty (RFC 7239 section 4).
fn parse(text: &[u8]) -> Option<Element<'_>> {
    let mut element = Element { text, client: None, host: None, proto: None };
    let mut seen: u8 = 0;
    let mut rest = text;
    loop {
        while let [b';', after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            return Some(element);
        }
        let (name, after) = token(rest)?;
        let (value, after) = value(after.strip_prefix(b"=")?)?;
        let known = [&b"for"[..], b"host", b"proto", b"by"];
        let place = known.iter().position(|one| name.eq_ignore_ascii_case(one));
        if let Some(place) = place {
            // Each may be there once.
            if seen & 1 << place != 0 {
                return None;
            }
            seen |= 1 << place;
        }
        match place {
            Some(0) => element.client = node(&value)?,
            Some(1) => element.host = Some(value).filter(|host| crate::request::is_host(host)),
            Some(2) => element.proto = proto(&value),
            _ => {}
        }
        if !matches!(after, [] | [b';', ..]) {
            return None;
        }
        rest = after;
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110 section 5.6.2.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = text.iter().take_while(|byte| is_token_byte(**byte)).count();
    (length > 0).then(|| text.split_at(length))
}

/// A token or a quoted string, and what stands behind it.
fn value(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        return token(text).map(|(token, after)| (Cow::Borrowed(token), after));
    };
    let plain = quoted.iter().take_while(|byte| is_quotable(**byte)).count();
    if quoted.get(plain) == Some(&b'"') {
        return Some((Cow::Borrowed(&quoted[..plain]), &quoted[plain + 1..]));
    }
    let (mut value, mut rest) = (Vec::new(), quoted);
    loop {
        match rest {
            [b'"', after @ ..] => return Some((Cow::Owned(value), after)),
            [b'\\', byte @ (b'\t' | b' '..=b'~' | 0x80..), after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [byte, after @ ..] if is_quotable(*byte) => {
                value.push(*byte);
                rest = after;
            }
            _ => return None,
        }
    }
}

/// `qdtext` of RFC 9110 section 5.6.4.
fn is_quotable(byte: u8) -> bool {
    matches!(byte, b'\t' | b' ' | b'!' | b'#'..=b'[' | b']'..=b'~' | 0x80..)
}

/// RFC 7239 section 6: the address, or that it is hidden; `None` if it is no node.
#[expect(clippy::option_option, reason = "the outer one is the error")]
fn node(value: &[u8]) -> Option<Option<IpAddr>> {
    let text = std::str::from_utf8(value).ok()?;
    let (name, port) = match text.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if !port.is_empty() && !is_port(port.strip_prefix(':')?) {
        return None;
    }
    if text.starts_with('[') {
        let address: Ipv6Addr = name.parse().ok()?;
        return Some(Some(IpAddr::V6(address).to_canonical()));
    }
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Some(None);
    }
    name.parse::<Ipv4Addr>().ok().map(|address| Some(IpAddr::V4(address)))
}

fn is_port(port: &str) -> bool {
    let is_number = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    is_number || is_obfuscated(port)
}

fn is_obfuscated(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(allowed))
}

fn proto(value: &[u8]) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|known| value.eq_ignore_ascii_case(known.as_bytes()))
}

/// Writes an element: a client without an address is unknown, a host that is empty is left out.
pub fn write(client: Option<IpAddr>, host: &[u8], proto: &str, out: &mut BytesMut) {
    out.put_slice(b"for=");
    match client.map(|client| client.to_canonical()) {
        Some(IpAddr::V6(address)) => write!(out, "\"[{address}]\"").expect("a BytesMut grows"),
        Some(address) => put_address(out, address),
        None => out.put_slice(b"unknown"),
    }
    if !host.is_empty() {
        out.put_slice(b";host=");
        put_value(host, out);
    }
    out.put_slice(b";proto=");
    out.put_slice(proto.as_bytes());
}

fn put_value(value: &[u8], out: &mut BytesMut) {
    if value.iter().all(|byte| is_token_byte(*byte)) {
        return out.put_slice(value);
    }
    out.put_u8(b'"');
    for byte in value {
        if b"\"\\".contains(byte) {
            out.put_u8(b'\\');
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests;
