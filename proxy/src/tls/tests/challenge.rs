//! Names whose certificates are ordered: what is shown before there is one, and to the CA that asks.

use rustls::Error;

use super::{World, client::Client, pki, remove};

#[test]
fn a_placeholder_serves_until_a_certificate_comes() {
    let mut world = World::new();
    world.add_acme("a.test");
    let opened = world.open();
    let seen = Client::new().shake(&opened.server(), "a.test").expect("is served");
    assert!(opened.loaded().certificate(Some("a.test")).covers("a.test"));
    assert_eq!(opened.0.not_after().into_values().collect::<Vec<_>>(), [0]);

    let made = pki::signed_by_itself(&["a.test"]);
    assert_ne!(seen.server, made.der());
    world.folder.write("state/certificates/a.test.pem", made.both());
    opened.0.look();
    let seen = Client::new().shake(&opened.server(), "a.test").expect("is served");
    assert_eq!(seen.server, made.der());
    assert_eq!(opened.0.not_after().into_values().collect::<Vec<_>>(), [4_102_444_800]);
    assert_eq!(opened.reloads(), (1, 0));

    remove(&world.folder.path("state/certificates/a.test.pem"));
    opened.look();
    assert_eq!(opened.reloads(), (1, 1));
    let seen = Client::new().shake(&opened.server(), "a.test").expect("is served");
    assert_eq!(seen.server, made.der(), "what it held before stays");
}

#[test]
fn a_certificate_that_came_earlier_serves_from_the_start_and_a_broken_one_does_not_stop_it() {
    let mut world = World::with(&["first.test"]);
    let made = pki::signed_by_itself(&["a.test"]);
    world.folder.write("state/certificates/a.test.pem", made.both());
    world.folder.write("state/certificates/b.test.pem", "broken");
    world.add_acme("a.test");
    world.add_acme("b.test");
    let opened = world.open();
    let shake = |name| Client::new().shake(&opened.server(), name).expect("is served");
    assert_eq!(shake("a.test").server, made.der());
    assert_eq!(opened.shown(Some("b.test")), "b.test");
    assert_eq!(opened.shown(None), "first.test");
}

#[test]
fn a_ca_is_shown_the_challenge_while_it_is_pending() {
    let mut world = World::new();
    world.add_acme("a.test");
    world.add_acme("b.test");
    let opened = world.open();
    assert!(opened.loaded().challenge.is_none());

    let made = pki::challenge("a.test");
    let path = world.folder.write("state/challenges/alpn/a.test.pem", made.both());
    opened.0.look();
    let challenge = opened.loaded().challenge.clone().expect("is pending");
    let ca = || Client::new().asking_for(&["acme-tls/1"]);
    let seen = ca().shake(&challenge, "a.test").expect("is answered");
    assert_eq!(seen.server, made.der());
    assert_eq!(seen.protocol.as_deref(), Some(&b"acme-tls/1"[..]));
    assert_eq!(seen.tickets, 0);
    for name in ["b.test", "unknown.test", "192.0.2.1"] {
        let refused = ca().shake(&challenge, name);
        assert!(matches!(refused, Err(Error::General(_))), "{name}: {refused:?}");
    }
    let seen = Client::new().shake(&opened.server(), "a.test").expect("is served");
    assert_ne!(seen.server, made.der(), "others are not shown it");

    remove(&path);
    opened.0.look();
    assert!(opened.loaded().challenge.is_none());
    assert_eq!(opened.reloads(), (0, 0));
}

#[test]
fn a_broken_challenge_is_none() {
    let mut world = World::new();
    world.add_acme("a.test");
    world.folder.write("state/challenges/alpn/a.test.pem", "broken");
    let opened = world.open();
    assert!(opened.loaded().challenge.is_none());
}
