//! Writes the fields that the upstream gets, straight as the bytes that go on the wire: no second
//! header map is built. `Host` and the length fields are the request head's business.

use std::net::IpAddr;

use actix_http::{
    RequestHead,
    header::{self, HeaderName, HeaderValue},
};
use bytes::{BufMut, BytesMut};

use super::{
    cdn_loop::CdnLoop,
    connection_auth,
    forwarded::{Chain, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO},
    hop_by_hop,
    lines::{put, put_address},
    rfc7239,
    spelling::Spelling,
};
use crate::config::HeaderRules;

/// What the fields are made from.
pub struct Source<'a> {
    pub head: &'a RequestHead,
    pub spelling: Spelling<'a>,
    /// `None` over a Unix socket.
    pub peer: Option<IpAddr>,
    pub peer_is_trusted: bool,
    /// What `Forwarded` says; `None` if `X-Forwarded-*` of trusted peers are believed instead.
    pub chain: Option<Chain<'a>>,
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
    /// What this process writes into what it forwards.
    pub cdn_loop: &'a CdnLoop,
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

/// What was seen of the fields that have passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Credentials for the connection, and not for the request alone.
    pub signs_in: bool,
    /// How often this process has forwarded the request before.
    pub returns: usize,
}

/// Writes all fields but `Host`, `Content-Length` and `Transfer-Encoding`, each with its CRLF.
pub fn write(source: &Source<'_>, out: &mut BytesMut) -> Passed {
    let mut passed = Passed::default();
    let nominated = nominated(source);
    for (name, value) in source.head.headers.iter() {
        let name = name.as_str();
        if !is_dropped(name, source) && !nominated.iter().any(|one| one == name) {
            source.spelling.put_passed(out, name, value.as_bytes());
            passed.note(name, value.as_bytes(), source.cdn_loop);
        }
    }
    if !is_ruled("x-request-id", source.rules) {
        put(out, own(source, b"X-Request-Id", b"x-request-id"), source.request_id.as_bytes());
    }
    out.put_slice(source.cdn_loop.line(source.spelling.case));
    write_forwarded(source, out);
    for (name, value) in
        source.identity.iter().filter(|(name, _)| !is_ruled(name.as_str(), source.rules))
    {
        source.spelling.put_own(out, name.as_str().as_bytes(), value.as_bytes());
    }
    for (name, value) in source.rules.set.iter().chain(&source.rules.add) {
        source.spelling.put_own(out, name.as_str().as_bytes(), value.as_bytes());
    }
    passed
}

/// A name of the proxy's own.
fn own<'n>(source: &Source<'_>, title: &'n [u8], lower: &'n [u8]) -> &'n [u8] {
    source.spelling.pick(title, lower)
}

impl Passed {
    fn note(&mut self, name: &str, value: &[u8], cdn_loop: &CdnLoop) {
        match name {
            "authorization" => self.signs_in |= connection_auth::is_given(value),
            "cdn-loop" => self.returns += cdn_loop.returns(value),
            _ => {}
        }
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
    let is_own = match name {
        "host" | "content-length" | "expect" | "x-request-id" | "x-request-timeout-ms" => true,
        "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" => true,
        "forwarded" | "x-real-ip" | "x-forwarded-port" | "x-forwarded-prefix"
        | "x-original-url" | "x-rewrite-url" => !is_believed(source),
        name => hop_by_hop::is_request_field(name) || is_alias(name, source),
    };
    is_own || is_identity(name, source) || is_ruled(name, source.rules)
}

/// Whether what the peer says in `X-Forwarded-*` and the like is believed: if it is `Forwarded` that
/// is, nothing shows that the peer has written the others.
fn is_believed(source: &Source<'_>) -> bool {
    source.peer_is_trusted && source.chain.is_none()
}

/// Whether `name` is a field that says who the client is, in any spelling.
fn is_identity(name: &str, source: &Source<'_>) -> bool {
    source.identity_fields.iter().any(|own| is_same(own.as_str(), name))
}

/// Whether the route removes or sets the field.
fn is_ruled(name: &str, rules: &HeaderRules) -> bool {
    rules.remove.iter().any(|one| one == name) || rules.set.iter().any(|(one, _)| one == name)
}

/// Whether `name` is another spelling of a field that the proxy or the route sets, or that the route
/// removes.
fn is_alias(name: &str, source: &Source<'_>) -> bool {
    let is_odd = name.bytes().any(|byte| byte == b'_' || byte == b'.');
    (is_odd && OWN.iter().any(|own| is_same(own, name)))
        || source.rules.set.iter().any(|(own, _)| is_same(own.as_str(), name))
        || source.rules.remove.iter().any(|own| is_same(own.as_str(), name))
}

fn is_same(own: &str, name: &str) -> bool {
    let normal = |byte: u8| if byte == b'_' || byte == b'.' { b'-' } else { byte };
    own.len() == name.len() && own.bytes().map(normal).eq(name.bytes().map(normal))
}

fn write_forwarded(source: &Source<'_>, out: &mut BytesMut) {
    let is_ruled = |name: &str| is_ruled(name, source.rules);
    let given = |name| is_believed(source).then(|| source.head.headers.get(name)).flatten();
    let proto = source.chain.as_ref().and_then(Chain::proto).unwrap_or(source.scheme).as_bytes();
    let host = source.chain.as_ref().and_then(Chain::host).unwrap_or(source.host);
    if !is_ruled("x-forwarded-for") {
        write_forwarded_for(source, out);
    }
    if !is_ruled("x-forwarded-proto") {
        let proto = given(X_FORWARDED_PROTO).map_or(proto, HeaderValue::as_bytes);
        put(out, own(source, b"X-Forwarded-Proto", b"x-forwarded-proto"), proto);
    }
    if !is_ruled("x-forwarded-host") {
        let host = given(X_FORWARDED_HOST).map_or(host, HeaderValue::as_bytes);
        if !host.is_empty() {
            put(out, own(source, b"X-Forwarded-Host", b"x-forwarded-host"), host);
        }
    }
    if let Some(chain) = source.chain.as_ref().filter(|_| !is_ruled("forwarded")) {
        write_chain(chain, source, out);
    }
}

/// What a trusted peer sent, and the peer's own address if it has one; no empty field.
fn write_forwarded_for(source: &Source<'_>, out: &mut BytesMut) {
    let before = out.len();
    out.put_slice(own(source, b"X-Forwarded-For: ", b"x-forwarded-for: "));
    let mut separator: &[u8] = b"";
    if is_believed(source) {
        let given = source.head.headers.get_all(X_FORWARDED_FOR);
        for value in given.filter(|value| !value.is_empty()) {
            out.put_slice(separator);
            out.put_slice(value.as_bytes());
            separator = b", ";
        }
    }
    for element in source.chain.iter().flat_map(|chain| &chain.elements) {
        out.put_slice(separator);
        match element.client {
            Some(client) => put_address(out, client),
            None => out.put_slice(b"unknown"),
        }
        separator = b", ";
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

/// What a trusted peer sent, as far as it can be read, and what this connection shows. A peer over a
/// Unix socket adds nothing to a chain: readers would stop at it.
fn write_chain(chain: &Chain<'_>, source: &Source<'_>, out: &mut BytesMut) {
    out.put_slice(own(source, b"Forwarded: ", b"forwarded: "));
    let mut separator: &[u8] = b"";
    for element in &chain.elements {
        out.put_slice(separator);
        out.put_slice(element.text);
        separator = b", ";
    }
    if source.peer.is_some() || chain.elements.is_empty() {
        out.put_slice(separator);
        rfc7239::write(source.peer, source.host, source.scheme, out);
    }
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
