//! The lines of fields that an endpoint gets.

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
static RULES: HeaderRules = HeaderRules { remove: Vec::new(), set: Vec::new(), add: Vec::new() };

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
