//! Fields on their way to an endpoint. Each is one line; none belongs to the client's connection;
//! what the proxy says stands there once and in one spelling; all else goes on as it came. And the
//! address of the client is one that no untrusted peer could have chosen, whichever of `Forwarded` and
//! `X-Forwarded-For` is believed.

#![no_main]

use std::net::{IpAddr, SocketAddr};

use actix_http::{
    Request, RequestHead,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use proxy::{
    config::{HeaderRules, NameCase},
    headers::{
        cdn_loop::CdnLoop,
        forwarded::TrustedProxies,
        request_fields::{Source, write},
        request_id,
        rfc7239::{FORWARDED, elements},
        spelling::Spelling,
    },
    routing::stage::host,
};
use proxy_fuzz::{is_nominated, take_request};

/// Fields that are never written here: those of the connection, and those of the request head.
const NEVER: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Fields of which the proxy is the only sender, unless a trusted proxy is before it.
const SPOOFED: [&str; 6] = [
    "forwarded",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];
const WRITTEN: [&str; 4] =
    ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"];

type Lines = Vec<(String, Vec<u8>)>;

fuzz_target!(|input: &[u8]| {
    let [flags, wire @ ..] = input else { return };
    let Some(request) = take_request(wire) else { return };
    let peers = ["1.2.3.4", "2001:db8::1", "10.0.0.1", "::ffff:10.0.0.1"];
    let address = || peers[usize::from(flags & 3)].parse().expect("is an address");
    // Over a Unix socket there is none.
    let peer: Option<IpAddr> = (flags & 0x40 == 0).then(address);
    let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("is one"));
    let trusted = TrustedProxies::new(&networks, flags & 1 == 1);
    check_client(&trusted, peer, request.head());
    check_forwarded(&trusted.clone().reading(true), peer, request.head());
    check_fields(&request, peer, trusted.believes(peer), &rules(flags >> 2 & 0xf));
});

fn rules(which: u8) -> HeaderRules {
    let name = HeaderName::from_static;
    let field = |one, value| (name(one), HeaderValue::from_static(value));
    match which % 3 {
        0 => HeaderRules::default(),
        1 => HeaderRules {
            remove: vec![name("cookie"), name("x-forwarded-host")],
            set: vec![field("x-user", "rule"), field("x-forwarded-for", "rule")],
            add: vec![field("x-added", "rule")],
        },
        _ => HeaderRules {
            remove: vec![name("x-request-id"), name("forwarded")],
            set: vec![field("x-real-ip", "rule"), field("x_odd", "rule")],
            add: vec![field("cookie", "rule=1")],
        },
    }
}

fn check_fields(request: &Request, peer: Option<IpAddr>, is_trusted: bool, rules: &HeaderRules) {
    let head = request.head();
    let request_id = request_id::choose(&head.headers);
    let mut out = BytesMut::new();
    let cdn_loop = CdnLoop::new(1);
    let source = Source {
        head,
        spelling: Spelling { head: b"", case: NameCase::Lower },
        cdn_loop: &cdn_loop,
        peer,
        peer_is_trusted: is_trusted,
        chain: None,
        scheme: "http",
        request_id: &request_id,
        host: host(head),
        identity: &[],
        identity_fields: &[],
        rules,
    };
    write(&source, &mut out);
    let lines = read(&out);
    let own: Lines = lines.iter().filter(|(name, _)| !comes_from(rules, name)).cloned().collect();
    for (name, _) in &own {
        assert!(!NEVER.contains(&name.as_str()), "{name} went on");
        assert!(is_trusted || !SPOOFED.contains(&name.as_str()), "{name} of a stranger went on");
        assert!(!rules.remove.iter().any(|one| one.as_str() == name), "{name} is to be removed");
    }
    for (name, value) in rules.set.iter().chain(&rules.add) {
        let is_it = |(one, given): &&(String, Vec<u8>)| name.as_str() == one && value == &given[..];
        assert_eq!(lines.iter().filter(is_it).count(), 1, "{name} of the route");
    }
    check_written(&own, &source);
    check_spellings(&lines, rules);
    check_kept(&own, head, rules);
}

/// The lines as a strict reader sees them.
fn read(out: &[u8]) -> Lines {
    let text = out.strip_suffix(b"\r\n").expect("ends in CRLF");
    let mut lines = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.iter().any(|byte| b"\r\0".contains(byte)));
        let colon = line.iter().position(|byte| *byte == b':').expect("has a colon");
        let name = HeaderName::from_bytes(&line[..colon]).expect("is a name");
        assert_eq!(name.as_str().as_bytes(), &line[..colon], "in lower case");
        let value = line[colon + 1..].strip_prefix(b" ").expect("has a space");
        lines.push((name.as_str().to_owned(), value.to_vec()));
    }
    assert_eq!(out.windows(2).filter(|two| two == b"\r\n").count(), lines.len());
    let is_ours =
        |(name, value): &(String, Vec<u8>)| name == "cdn-loop" && value.starts_with(b"proxy-");
    assert_eq!(lines.iter().filter(|line| is_ours(line)).count(), 1, "what it says of itself");
    lines.retain(|line| !is_ours(line));
    lines
}

/// Whether lines of this name are the route's.
fn comes_from(rules: &HeaderRules, name: &str) -> bool {
    rules.set.iter().any(|(one, _)| one == name)
}

fn check_written(own: &Lines, source: &Source<'_>) {
    for name in WRITTEN {
        let is_ruled =
            comes_from(source.rules, name) || source.rules.remove.iter().any(|one| one == name);
        let is_absent = is_ruled
            || name == "x-forwarded-host" && source.host.is_empty()
            || name == "x-forwarded-for" && source.peer.is_none();
        let values: Vec<_> = own.iter().filter(|(one, _)| one == name).collect();
        let may_come = ["x-forwarded-for", "x-forwarded-host"].contains(&name);
        if !(may_come && source.peer_is_trusted) {
            assert_eq!(values.len(), usize::from(!is_absent), "{name}");
        }
        assert!(values.len() <= 1, "{name}");
        let Some((_, value)) = values.first() else { continue };
        let address = source.peer.map_or_else(String::new, |one| one.to_canonical().to_string());
        match name {
            "x-forwarded-for" if source.peer_is_trusted => {
                assert!(value.ends_with(address.as_bytes()));
            }
            "x-request-id" => assert!((8..=128).contains(&value.len())),
            _ if source.peer_is_trusted => {}
            "x-forwarded-for" => assert_eq!(*value, address.as_bytes()),
            "x-forwarded-proto" => assert_eq!(value, b"http"),
            _ => assert_eq!(value, source.host),
        }
    }
}

/// No name may be another spelling of one that the proxy or the route writes.
fn check_spellings(lines: &Lines, rules: &HeaderRules) {
    let normal = |name: &str| name.replace(['_', '.'], "-");
    let set = rules.set.iter().map(|(name, _)| name.as_str());
    for known in NEVER.into_iter().chain(SPOOFED).chain(WRITTEN).chain(set) {
        for (name, _) in lines {
            assert!(name == known || normal(name) != normal(known), "{name} is {known}");
        }
    }
}

/// End-to-end fields go on, in order among those of one name; those that `Connection` names do not.
fn check_kept(own: &Lines, head: &RequestHead, rules: &HeaderRules) {
    for name in head.headers.keys().map(HeaderName::as_str) {
        let is_plain = !name.contains(['_', '.'])
            && !NEVER.contains(&name)
            && !SPOOFED.contains(&name)
            && !WRITTEN.contains(&name);
        let is_ruled = comes_from(rules, name)
            || rules.remove.iter().any(|one| one == name)
            || rules.add.iter().any(|(one, _)| one == name);
        if !is_plain || is_ruled {
            continue;
        }
        let values = own.iter().filter(|(one, _)| one == name).map(|(_, value)| &value[..]);
        let connection = head.headers.get_all("connection").map(HeaderValue::as_bytes);
        let given = head.headers.get_all(name).map(HeaderValue::as_bytes);
        let passes = !is_nominated(connection, name);
        assert!(values.eq(given.filter(|_| passes)), "{name}");
    }
}

fn check_client(trusted: &TrustedProxies, peer: Option<IpAddr>, head: &RequestHead) {
    let name = HeaderName::from_static("x-forwarded-for");
    let given: Vec<&[u8]> = head.headers.get_all(&name).map(HeaderValue::as_bytes).collect();
    let client = trusted.client(peer, &head.headers);
    assert_eq!(client, last_stranger(trusted, peer, &given.join(&b','), given.is_empty()));
    if trusted.believes(client) {
        return;
    }
    // Whoever that is, it cannot become another by writing more to the left.
    let mut forged = HeaderMap::new();
    forged.append(name.clone(), HeaderValue::from_static("6.6.6.6, unknown,"));
    for value in given {
        forged.append(name.clone(), HeaderValue::from_bytes(value).expect("was a value"));
    }
    assert_eq!(trusted.client(peer, &forged), client);
}

/// Walks from the peer to the left as long as the address reached so far is trusted.
fn last_stranger(
    trusted: &TrustedProxies,
    peer: Option<IpAddr>,
    given: &[u8],
    is_absent: bool,
) -> Option<IpAddr> {
    let mut known = peer;
    let mut entries = given.rsplit(|byte| *byte == b',');
    while trusted.believes(known) && !is_absent {
        let entry = entries.next().map(<[u8]>::trim_ascii).and_then(|one| str::from_utf8(one).ok());
        let Some(entry) = entry else { break };
        let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let with_port = entry.parse().map(|one: SocketAddr| one.ip());
        let address = bare.unwrap_or(entry).parse().or(with_port);
        let Ok(address) = address else { break };
        known = Some(address.to_canonical());
    }
    known
}

/// What is written is one line; who reads it finds the peer where it was found, and the client is
/// the same whatever stands to the left.
fn check_forwarded(trusted: &TrustedProxies, peer: Option<IpAddr>, head: &RequestHead) {
    let mut out = BytesMut::new();
    let cdn_loop = CdnLoop::new(1);
    let source = Source {
        head,
        spelling: Spelling { head: b"", case: NameCase::Lower },
        cdn_loop: &cdn_loop,
        peer,
        peer_is_trusted: trusted.believes(peer),
        chain: trusted.chain(peer, &head.headers),
        scheme: "http",
        request_id: &request_id::choose(&head.headers),
        host: host(head),
        identity: &[],
        identity_fields: &[],
        rules: &HeaderRules::default(),
    };
    write(&source, &mut out);
    let lines = read(&out);
    let written: Vec<_> = lines.iter().filter(|(name, _)| name == "forwarded").collect();
    assert_eq!(written.len(), 1, "{lines:?}");
    let mut next = HeaderMap::new();
    next.append(FORWARDED, HeaderValue::from_bytes(&written[0].1).expect("was a value"));
    let last = elements(&next).next().expect("is well-formed");
    if let Some(peer) = peer {
        assert_eq!(last.client, Some(peer.to_canonical()));
    }
    let client = trusted.client(peer, &head.headers);
    if trusted.believes(client) {
        return;
    }
    let mut forged = HeaderMap::new();
    forged.append(FORWARDED, HeaderValue::from_static("for=6.6.6.6, for=\"6.6.6.6"));
    for value in head.headers.get_all(FORWARDED) {
        forged.append(FORWARDED, value.clone());
    }
    assert_eq!(trusted.client(peer, &forged), client);
}
