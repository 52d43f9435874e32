//! Which certificate a client is shown, and what else a handshake agrees on.

use rustls::{NamedGroup, ProtocolVersion, SignatureScheme, version::TLS12};

use super::{
    World,
    client::{BOTH, Client},
    pki,
};
use crate::config::TlsVersion;

#[test]
fn a_name_is_found_exactly_then_by_wildcard_then_the_first_certificate_serves() {
    let opened = World::with(&["first.test", "*.b.test", "x.b.test"]).open();
    for (name, shown) in [
        (Some("x.b.test"), "x.b.test"),
        (Some("X.B.Test"), "x.b.test"),
        (Some("y.b.test"), "*.b.test"),
        (Some("b.test"), "first.test"),
        (Some("z.y.b.test"), "first.test"),
        (Some(".b.test"), "first.test"),
        (Some("unknown.test"), "first.test"),
        (Some(""), "first.test"),
        (None, "first.test"),
    ] {
        assert_eq!(opened.shown(name), shown, "{name:?}");
    }
}

#[test]
fn a_handshake_shows_what_its_name_stands_for() {
    let mut world = World::new();
    let (first, other) =
        (pki::signed_by_itself(&["first.test"]), pki::signed_by_itself(&["*.other.test"]));
    world.folder.write_pair("first", &first);
    world.folder.write_pair("other", &other);
    world.add("first.cert", "first.key");
    world.add("other.cert", "other.key");
    let server = &world.open().server();
    for (name, shown) in [
        ("first.test", &first),
        ("a.other.test", &other),
        ("A.OTHER.test", &other),
        ("unknown.test", &first),
        ("192.0.2.1", &first),
    ] {
        assert_eq!(Client::new().shake(server, name).expect(name).server, shown.der(), "{name}");
    }
}

#[test]
fn of_two_certificates_with_one_name_the_first_wins() {
    let mut world = World::new();
    let (first, second) =
        (pki::signed_by_itself(&["a.test"]), pki::signed_by_itself(&["b.test", "a.test"]));
    world.folder.write_pair("first", &first);
    world.folder.write_pair("second", &second);
    world.add("first.cert", "first.key");
    world.add("second.cert", "second.key");
    let server = &world.open().server();
    let shown = |name| Client::new().shake(server, name).expect("is served").server;
    assert_eq!(shown("a.test"), first.der());
    assert_eq!(shown("b.test"), second.der());
}

#[test]
fn of_two_kinds_of_keys_a_client_gets_the_first_that_it_can_check() {
    const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256];
    const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
    let both = [RSA, ECDSA].concat();
    let (ecdsa, rsa) = (pki::signed_by_itself(&["a.test"]), pki::with_rsa_key(&["a.test"]));
    for [first, second] in [["ecdsa", "rsa"], ["rsa", "ecdsa"]] {
        let mut world = World::new();
        world.folder.write_pair("ecdsa", &ecdsa);
        world.folder.write_pair("rsa", &rsa);
        for name in [first, second] {
            world.add(&format!("{name}.cert"), &format!("{name}.key"));
        }
        let server = &world.open().server();
        let shown = |schemes: &[SignatureScheme], versions: &[&'static _], name: &str| {
            Client::with(versions, schemes, None).shake(server, name).expect("is served").server
        };
        for versions in [BOTH, &[&TLS12]] {
            for name in ["a.test", "unknown.test", "192.0.2.1"] {
                assert_eq!(shown(RSA, versions, name), rsa.der());
                assert_eq!(shown(ECDSA, versions, name), ecdsa.der());
            }
        }
        let expected = if first == "rsa" { &rsa } else { &ecdsa };
        assert_eq!(shown(&both, BOTH, "a.test"), expected.der());
    }
}

#[test]
fn a_certificate_covers_its_names_and_no_others() {
    let mut world = World::new();
    let made = pki::signed_by_itself(&["a.test", "*.b.test", "192.0.2.7", "2001:db8::7"]);
    world.folder.write_pair("some", &made);
    world.add("some.cert", "some.key");
    let loaded = world.open().loaded();
    let served = loaded.certificate(None);
    for host in ["a.test", "A.TEST.", "x.b.test", "192.0.2.7", "[2001:db8::7]"] {
        assert!(served.covers(host), "{host}");
    }
    for host in ["b.test", "y.x.b.test", "c.test", "192.0.2.8", "[2001:db8::8]", "", "*"] {
        assert!(!served.covers(host), "{host}");
    }
}

#[test]
fn http2_is_offered_where_the_listener_speaks_it() {
    for (http2, protocol) in [(true, &b"h2"[..]), (false, b"http/1.1")] {
        let mut world = World::with(&["a.test"]);
        world.config.listeners[0].http2 = http2;
        let server = &world.open().server();
        let client = Client::new().asking_for(&["http/1.1", "h2"]);
        let seen = client.shake(server, "a.test").expect("is served");
        assert_eq!(seen.protocol.as_deref(), Some(protocol));
        let other = Client::new().asking_for(&["acme-tls/1"]);
        assert!(other.shake(server, "a.test").is_err(), "no certificate for a CA is pending");
    }
}

#[test]
fn tls_1_2_is_refused_where_the_listener_asks_for_1_3() {
    let mut world = World::with(&["a.test"]);
    let old = Client::with(&[&TLS12], &[SignatureScheme::ECDSA_NISTP256_SHA256], None);
    let seen = old.shake(&world.open().server(), "a.test").expect("is served");
    assert_eq!(seen.version, Some(ProtocolVersion::TLSv1_2));
    world.tls().min_version = TlsVersion::V1_3;
    let server = &world.open().server();
    assert!(old.shake(server, "a.test").is_err());
    let seen = Client::new().shake(server, "a.test").expect("is served");
    assert_eq!(seen.version, Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn a_handshake_prefers_a_hybrid_key_exchange_and_gives_one_ticket_to_resume_with() {
    let server = &World::with(&["a.test"]).open().server();
    let client = Client::new();
    let seen = client.shake(server, "a.test").expect("is served");
    assert_eq!(seen.group, Some(NamedGroup::X25519MLKEM768));
    assert_eq!((seen.tickets, seen.is_resumed), (1, false));
    let seen = client.shake(server, "a.test").expect("is served");
    assert_eq!((seen.tickets, seen.is_resumed), (1, true));
}
