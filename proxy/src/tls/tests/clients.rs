//! Certificates of clients, and the sessions that stand for them.

use rustls::{
    Error, SignatureScheme, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

use super::{
    World,
    client::Client,
    pki::{self, Ca, Made},
};
use crate::{
    config::{ClientCertificates, NamedFile},
    tls::ClientNames,
};

static VERSIONS: [&[&SupportedProtocolVersion]; 2] = [&[&TLS13], &[&TLS12]];

fn world(ca: &Ca, clients: impl Fn(NamedFile) -> ClientCertificates) -> World {
    let mut world = World::with(&["a.test"]);
    world.folder.write("ca.pem", &ca.cert);
    let file = world.named("ca.pem");
    world.tls().clients = clients(file);
    world
}

fn client(version: &[&'static SupportedProtocolVersion], shows: Option<&Made>) -> Client {
    Client::with(version, &[SignatureScheme::ECDSA_NISTP256_SHA256], shows)
}

#[test]
fn where_clients_must_show_a_certificate_it_must_be_of_the_ca() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let server = world(&ca, ClientCertificates::Required).open().server();
    let alice = ca.sign("alice");
    for version in VERSIONS {
        let seen = client(version, Some(&alice)).shake(&server, "a.test").expect("is served");
        assert_eq!(seen.client, Some(alice.der()));
        let wrong = client(version, Some(&other.sign("alice"))).shake(&server, "a.test");
        assert!(matches!(wrong, Err(Error::InvalidCertificate(_))), "{wrong:?}");
        let none = client(version, None).shake(&server, "a.test");
        assert!(matches!(none, Err(Error::NoCertificatesPresented)), "{none:?}");
    }
}

#[test]
fn where_clients_may_show_a_certificate_none_is_taken_and_a_wrong_one_is_not() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let server = world(&ca, ClientCertificates::Optional).open().server();
    let alice = ca.sign("alice");
    for version in VERSIONS {
        let seen = client(version, None).shake(&server, "a.test").expect("is served");
        assert_eq!(seen.client, None);
        let seen = client(version, Some(&alice)).shake(&server, "a.test").expect("is served");
        assert_eq!(
            seen.client
                .as_ref()
                .map(ClientNames::of)
                .and_then(|names| names.shown().map(str::to_owned))
                .as_deref(),
            Some("CN=alice")
        );
        let wrong = client(version, Some(&other.sign("alice"))).shake(&server, "a.test");
        assert!(matches!(wrong, Err(Error::InvalidCertificate(_))), "{wrong:?}");
    }
}

#[test]
fn a_session_stands_for_the_client_until_the_ca_changes() {
    for version in VERSIONS {
        let (old, new) = (Ca::new("old"), Ca::new("new"));
        let world = world(&old, ClientCertificates::Required);
        let opened = world.open();
        let alice = old.sign("alice");
        let client_of_old = client(version, Some(&alice));
        let shake = || client_of_old.shake(&opened.server(), "a.test");
        assert!(!shake().expect("is served").is_resumed);
        let seen = shake().expect("is served");
        assert!(seen.is_resumed);
        assert_eq!(seen.client, Some(alice.der()));

        world.folder.write("ca.pem", &new.cert);
        opened.look();
        assert!(matches!(shake(), Err(Error::InvalidCertificate(_))));
        let bob = new.sign("bob");
        let seen = client(version, Some(&bob)).shake(&opened.server(), "a.test");
        assert_eq!(seen.expect("is served").client, Some(bob.der()));
        assert_eq!(opened.reloads(), (1, 0));
    }
}

#[test]
fn a_session_outlives_a_new_certificate_of_the_server() {
    let ca = Ca::new("ca");
    let alice = ca.sign("alice");
    for version in VERSIONS {
        for world in [World::with(&["a.test"]), world(&ca, ClientCertificates::Required)] {
            let opened = world.open();
            let client = client(version, Some(&alice));
            assert!(!client.shake(&opened.server(), "a.test").expect("is served").is_resumed);
            world.folder.write_pair("a.test", &pki::signed_by_itself(&["a.test"]));
            opened.look();
            assert_eq!(opened.reloads(), (1, 0));
            assert!(client.shake(&opened.server(), "a.test").expect("is served").is_resumed);
        }
    }
}

#[test]
fn a_session_of_one_listener_is_none_of_another() {
    let (first, second) = (World::with(&["a.test"]).open(), World::with(&["a.test"]).open());
    for version in VERSIONS {
        let client = client(version, None);
        assert!(!client.shake(&first.server(), "a.test").expect("is served").is_resumed);
        assert!(!client.shake(&second.server(), "a.test").expect("is served").is_resumed);
    }
}

#[test]
fn several_cas_may_sign_clients() {
    let (one, other) = (Ca::new("one"), Ca::new("other"));
    let world = world(&one, ClientCertificates::Required);
    world.folder.write("ca.pem", format!("first\n{}second\n{}", one.cert, other.cert));
    let server = world.open().server();
    for ca in [one, other] {
        assert!(Client::showing(&ca.sign("alice")).shake(&server, "a.test").is_ok());
    }
}

#[test]
fn a_broken_ca_keeps_the_old_one() {
    let ca = Ca::new("ca");
    let world = world(&ca, ClientCertificates::Required);
    let opened = world.open();
    world.folder.write("ca.pem", "");
    opened.look();
    assert_eq!(opened.reloads(), (0, 1));
    let server = opened.server();
    assert!(Client::showing(&ca.sign("alice")).shake(&server, "a.test").is_ok());
    assert!(Client::new().shake(&server, "a.test").is_err());
}
