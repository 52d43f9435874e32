//! Writes the fields that the upstream gets, straight as the bytes that go on the wire: no second
//! header map is built. `Host` and the length fields are the request head's business.

use std::{fmt::Write, net::IpAddr};

use actix_http::{
    RequestHead,
    header::{self, HeaderName, HeaderValue},
};
use bytes::{BufMut, BytesMut};

use super::{
    forwarded::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO},
    hop_by_hop,
    lines::put,
};
use crate::config::HeaderRules;

/// What the fields are made from.
pub struct Source<'a> {
    pub head: &'a RequestHead,
    /// `None` over a Unix socket.
    pub peer: Option<IpAddr>,
    pub peer_is_trusted: bool,
    /// Of the client's connection.
    pub scheme: &'static str,
    pub request_id: &'a HeaderValue,
    /// What the client called the host.
    pub host: &'a [u8],
    /// What the upstream is told about who the client is.
    pub identity: &'a [(HeaderName, HeaderValue)],
    /// The names of all such fields: no client may send one, whatever its route.
    pub identity_fields: &'a [HeaderName],
    pub rules: &'a HeaderRules,
}

/// Fields the proxy writes itself, those of which it is the only sender, and those that stay
/// behind. Another spelling of one of them is dropped too: servers that map "_" to "-" would take
/// it for the field itself.
const OWN: [&str; 20] = [
    "authorization",
    "connection",
    "content-length",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
    "x-request-timeout-ms",
    "x-rewrite-url",
];

/// Writes all fields but `Host`, `Content-Length` and `Transfer-Encoding`, each with its CRLF.
pub fn write(source: &Source<'_>, out: &mut BytesMut) {
    let nominated = nominated(source);
    for (name, value) in source.head.headers.iter() {
        let name = name.as_str();
        if !is_dropped(name, source) && !nominated.iter().any(|one| one == name) {
            put(out, name.as_bytes(), value.as_bytes());
        }
    }
    if !is_ruled("x-request-id", source.rules) {
        put(out, b"x-request-id", source.request_id.as_bytes());
    }
    write_forwarded(source, out);
    for (name, value) in
        source.identity.iter().filter(|(name, _)| !is_ruled(name.as_str(), source.rules))
    {
        put(out, name.as_str().as_bytes(), value.as_bytes());
    }
    for (name, value) in source.rules.set.iter().chain(&source.rules.add) {
        put(out, name.as_str().as_bytes(), value.as_bytes());
    }
}

/// Fields that `Connection` takes away; nearly always none, and then nothing is allocated.
fn nominated(source: &Source<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for value in source.head.headers.get_all(header::CONNECTION) {
        hop_by_hop::for_each_nominated(value.as_bytes(), |name| names.push(name.to_owned()));
    }
    names
}

fn is_dropped(name: &str, source: &Source<'_>) -> bool {
    let own = match name {
        "host" | "content-length" | "expect" | "x-request-id" | "x-request-timeout-ms" => true,
        "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" => true,
        "forwarded" | "x-real-ip" | "x-forwarded-port" | "x-forwarded-prefix"
        | "x-original-url" | "x-rewrite-url" => !source.peer_is_trusted,
        name => hop_by_hop::is_request_field(name) || is_alias(name, source),
    };
    own || is_ruled(name, source.rules)
}

/// Whether the route removes or sets the field.
fn is_ruled(name: &str, rules: &HeaderRules) -> bool {
    rules.remove.iter().any(|one| one == name) || rules.set.iter().any(|(one, _)| one == name)
}

/// Whether `name` is another spelling of a field that the proxy or the route sets.
fn is_alias(name: &str, source: &Source<'_>) -> bool {
    let is_odd = name.bytes().any(|byte| byte == b'_' || byte == b'.');
    (is_odd && OWN.iter().any(|own| is_same(own, name)))
        || source.rules.set.iter().any(|(own, _)| is_same(own.as_str(), name))
        || source.identity_fields.iter().any(|own| is_same(own.as_str(), name))
}

fn is_same(own: &str, name: &str) -> bool {
    let normal = |byte: u8| if byte == b'_' || byte == b'.' { b'-' } else { byte };
    own.len() == name.len() && own.bytes().map(normal).eq(name.bytes().map(normal))
}

fn write_forwarded(source: &Source<'_>, out: &mut BytesMut) {
    let is_ruled = |name: &str| is_ruled(name, source.rules);
    let given = |name| source.peer_is_trusted.then(|| source.head.headers.get(name)).flatten();
    if !is_ruled("x-forwarded-for") {
        write_forwarded_for(source, out);
    }
    if !is_ruled("x-forwarded-proto") {
        let proto =
            given(X_FORWARDED_PROTO).map_or(source.scheme.as_bytes(), HeaderValue::as_bytes);
        put(out, b"x-forwarded-proto", proto);
    }
    if !is_ruled("x-forwarded-host") {
        let host = given(X_FORWARDED_HOST).map_or(source.host, HeaderValue::as_bytes);
        if !host.is_empty() {
            put(out, b"x-forwarded-host", host);
        }
    }
}

/// What a trusted peer sent, and the peer's own address if it has one; no empty field.
fn write_forwarded_for(source: &Source<'_>, out: &mut BytesMut) {
    let before = out.len();
    out.put_slice(b"x-forwarded-for: ");
    let mut separator: &[u8] = b"";
    if source.peer_is_trusted {
        let given = source.head.headers.get_all(X_FORWARDED_FOR);
        for value in given.filter(|value| !value.is_empty()) {
            out.put_slice(separator);
            out.put_slice(value.as_bytes());
            separator = b", ";
        }
    }
    match source.peer {
        Some(peer) => {
            out.put_slice(separator);
            put_address(out, peer);
        }
        None if separator.is_empty() => return out.truncate(before),
        None => {}
    }
    out.put_slice(b"\r\n");
}

/// An address as text; an IPv4 one without the formatter, as it is written for every request.
pub fn put_address(out: &mut BytesMut, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let mut digits = itoa::Buffer::new();
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.put_u8(b'.');
                }
                out.put_slice(digits.format(octet).as_bytes());
            }
        }
        IpAddr::V6(address) => write!(out, "{address}").expect("a BytesMut grows"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_stays_behind_does_so_in_every_spelling() {
        let mut head = RequestHead::default();
        for name in ["keep.alive", "proxy_authorization", "x_real.ip", "x-mine_or.not"] {
            head.headers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        let mut out = BytesMut::new();
        let source = Source {
            head: &head,
            peer: Some(IpAddr::from([192, 0, 2, 1])),
            peer_is_trusted: false,
            scheme: "http",
            request_id: &HeaderValue::from_static("id-12345"),
            host: b"a.test",
            identity: &[],
            identity_fields: &[],
            rules: &HeaderRules::default(),
        };
        write(&source, &mut out);
        let expected = "x-mine_or.not: 1\r\nx-request-id: id-12345\r\n\
                        x-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: http\r\n\
                        x-forwarded-host: a.test\r\n";
        assert_eq!(std::str::from_utf8(&out), Ok(expected));
    }
}
