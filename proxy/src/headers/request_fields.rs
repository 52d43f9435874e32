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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::NameCase;
    use crate::headers::{forwarded::TrustedProxies, rfc7239::FORWARDED};

    const OWN_LINES: &str = "x-request-id: id-12345\r\ncdn-loop: proxy-0000000000000007\r\nx-forwarded-for: 192.0.2.1\r\n\
                             x-forwarded-proto: http\r\nx-forwarded-host: a.test\r\n";

    fn head(fields: &[(&'static str, &str)]) -> RequestHead {
        let mut head = RequestHead::default();
        for (name, value) in fields {
            let value = HeaderValue::from_str(value).expect("is a value");
            head.headers.append(HeaderName::from_static(name), value);
        }
        head
    }

    static CDN_LOOP: std::sync::OnceLock<CdnLoop> = std::sync::OnceLock::new();
    static ID: HeaderValue = HeaderValue::from_static("id-12345");
    static RULES: HeaderRules =
        HeaderRules { remove: Vec::new(), set: Vec::new(), add: Vec::new() };

    fn stranger(head: &RequestHead) -> Source<'_> {
        Source {
            head,
            spelling: Spelling { head: b"", case: NameCase::Lower },
            peer: Some(IpAddr::from([192, 0, 2, 1])),
            peer_is_trusted: false,
            chain: None,
            scheme: "http",
            request_id: &ID,
            host: b"a.test",
            identity: &[],
            identity_fields: &[],
            rules: &RULES,
            cdn_loop: CDN_LOOP.get_or_init(|| CdnLoop::new(7)),
        }
    }

    fn written(source: &Source<'_>) -> String {
        let mut out = BytesMut::new();
        write(source, &mut out);
        String::from_utf8(out.to_vec()).expect("is text")
    }

    #[test]
    fn a_field_that_stays_behind_does_so_in_every_spelling() {
        let head = head(&[
            ("keep.alive", "1"),
            ("proxy_authorization", "1"),
            ("x_real.ip", "1"),
            ("x-mine_or.not", "1"),
        ]);
        assert_eq!(written(&stranger(&head)), format!("x-mine_or.not: 1\r\n{OWN_LINES}"));
    }

    /// A route without a scheme forwards no identity, and must not let one through either.
    #[test]
    fn a_field_that_says_who_the_client_is_comes_from_the_proxy_alone() {
        let names = ["x-user", "x_role", "x-real-ip"].map(HeaderName::from_static);
        let spoofed = head(&[
            ("x-user", "admin"),
            ("x_user", "admin"),
            ("x.user", "admin"),
            ("x-role", "admin"),
            ("x_role", "admin"),
            ("x.role", "admin"),
            ("x-real-ip", "6.6.6.6"),
            ("x_real.ip", "6.6.6.6"),
            ("x-users", "kept"),
        ]);
        let identity = [(names[0].clone(), HeaderValue::from_static("alice"))];
        for is_trusted in [false, true] {
            let source = || Source {
                peer_is_trusted: is_trusted,
                identity_fields: &names,
                ..stranger(&spoofed)
            };
            assert_eq!(written(&source()), format!("x-users: kept\r\n{OWN_LINES}"));
            let known = written(&Source { identity: &identity, ..source() });
            assert_eq!(known, format!("x-users: kept\r\n{OWN_LINES}x-user: alice\r\n"));
        }
    }

    #[test]
    fn forwarded_of_a_trusted_peer_replaces_what_it_says_otherwise() {
        let trusted = TrustedProxies::new(&["10.0.0.0/8".parse().expect("is one")], true);
        let trusted = trusted.reading(true);
        let head = head(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-host", "evil.test"),
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-port", "1"),
            ("x-real-ip", "6.6.6.6"),
            ("forwarded", "for=\"broken, for=_x, for=\"[2001:db8::1]:80\";proto=https;host=b.test"),
        ]);
        let written = |peer: Option<[u8; 4]>| {
            let peer = peer.map(IpAddr::from);
            written(&Source {
                peer,
                peer_is_trusted: trusted.believes(peer),
                chain: trusted.chain(peer, &head.headers),
                ..stranger(&head)
            })
        };
        let chain = "for=_x, for=\"[2001:db8::1]:80\";proto=https;host=b.test";
        let told = "x-forwarded-proto: https\r\nx-forwarded-host: b.test\r\n";
        let id = "x-request-id: id-12345\r\ncdn-loop: proxy-0000000000000007\r\n";
        assert_eq!(
            written(Some([10, 0, 0, 1])),
            format!(
                "{id}x-forwarded-for: unknown, 2001:db8::1, 10.0.0.1\r\n{told}\
                 forwarded: {chain}, for=10.0.0.1;host=a.test;proto=http\r\n"
            )
        );
        assert_eq!(
            written(None),
            format!("{id}x-forwarded-for: unknown, 2001:db8::1\r\n{told}forwarded: {chain}\r\n")
        );
        assert_eq!(
            written(Some([192, 0, 2, 1])),
            format!("{OWN_LINES}forwarded: for=192.0.2.1;host=a.test;proto=http\r\n")
        );
    }

    proptest! {
        /// The next proxy, which trusts us, finds the peer where we found the client.
        #[test]
        fn a_chain_that_was_written_is_read_back(
            before in "(for=|[\"\\\\,;=a1:._ ]|1\\.2\\.3\\.4){0,16}",
            peer in any::<[u8; 4]>(),
        ) {
            let trusted = TrustedProxies::new(&["0.0.0.0/0".parse().expect("is one")], false);
            let trusted = trusted.reading(true);
            let head = head(&[("forwarded", &before)]);
            let peer = Some(IpAddr::from(peer));
            let chain = trusted.chain(peer, &head.headers).expect("is read");
            let mut expected: Vec<_> = chain.elements.iter().map(|one| one.client).collect();
            let chained =
                Source { peer, peer_is_trusted: true, chain: Some(chain), ..stranger(&head) };
            let lines = written(&chained);
            let lines: Vec<&str> = lines.lines().collect();
            let value = lines.iter().find_map(|line| line.strip_prefix("forwarded: "));
            let mut next = actix_http::header::HeaderMap::new();
            let value = value.expect("was written");
            next.append(FORWARDED, HeaderValue::from_str(value).expect("is a value"));
            let read: Vec<_> = rfc7239::elements(&next).map(|one| one.client).collect();
            expected.push(peer);
            expected.reverse();
            prop_assert_eq!(read, expected);
        }
    }
}
