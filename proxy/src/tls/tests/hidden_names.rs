//! Handshakes whose server name is hidden from rustls: whole ones, as both sides must have the same
//! transcript.

use rustls::{
    Error, SignatureScheme, SupportedProtocolVersion,
    crypto::aws_lc_rs::kx_group::{SECP256R1MLKEM768, X25519},
    version::{TLS12, TLS13},
};

use super::{
    World,
    client::{BOTH, Client},
    pki::Ca,
};
use crate::{config::ClientCertificates, tls::invalid_names::HelloReader};

static VERSIONS: [&[&SupportedProtocolVersion]; 2] = [&[&TLS13], &[&TLS12]];
static SCHEMES: [SignatureScheme; 1] = [SignatureScheme::ECDSA_NISTP256_SHA256];

/// The client of rustls cannot be made to send an invalid name, so it is one for as long as it is looked at.
fn hide(flight: usize, bytes: &mut [u8]) {
    let mut reader = match flight {
        0 => HelloReader::first(),
        _ => HelloReader::after_retry(),
    };
    if replace(bytes, b"a.test", b"a:test") {
        assert!(!reader.is_partial(bytes));
        assert_eq!(reader.hide_invalid_name(bytes).as_deref(), Some("a:test"), "{flight}");
        assert!(replace(bytes, b"a:test", b"a.test"));
    }
}

fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) -> bool {
    let at = bytes.windows(old.len()).position(|window| window == old);
    at.inspect(|at| bytes[*at..*at + new.len()].copy_from_slice(new)).is_some()
}

#[test]
fn a_hidden_name_changes_nothing_of_a_handshake_nor_of_the_next_that_resumes_it() {
    let server = World::with(&["a.test"]).open().hiding_name();
    for version in VERSIONS {
        let client = Client::with(version, &SCHEMES, None).asking_for(&["h2"]);
        for is_resumed in [false, true, true] {
            let seen = client.shake_by_way_of(hide, &server, "a.test").expect("is served");
            assert_eq!(seen.version, Some(version[0].version));
            assert_eq!(seen.protocol.as_deref(), Some(&b"h2"[..]));
            assert_eq!(seen.is_resumed, is_resumed);
        }
    }
}

#[test]
fn a_name_that_is_hidden_from_others_fails() {
    let server = World::with(&["a.test"]).open().server();
    for version in VERSIONS {
        let client = Client::with(version, &SCHEMES, None);
        let seen = client.shake_by_way_of(hide, &server, "a.test");
        assert!(seen.is_err(), "{seen:?}");
    }
}

#[test]
fn a_client_with_a_hidden_name_is_as_one_without() {
    let mut world = World::with(&["b.test"]);
    world.folder.write_pair("a.test", &super::pki::signed_by_itself(&["a.test"]));
    world.add("a.test.cert", "a.test.key");
    let opened = world.open();
    let client = Client::new();
    let none = client.shake(&opened.server(), "192.0.2.1").expect("is served").server;
    let named = client.shake(&opened.server(), "a.test").expect("is served").server;
    let hidden = client.shake_by_way_of(hide, &opened.hiding_name(), "a.test");
    assert_ne!(named, none);
    assert_eq!(hidden.expect("is served").server, none);
}

#[test]
fn a_client_with_a_hidden_name_shows_the_certificate_that_it_must() {
    let (ca, mallory) = (Ca::new("ca"), Ca::new("other").sign("alice"));
    let mut world = World::with(&["a.test"]);
    world.folder.write("ca.pem", &ca.cert);
    let file = world.named("ca.pem");
    world.tls().clients = ClientCertificates::Required(file);
    let server = world.open().hiding_name();
    let alice = ca.sign("alice");
    for version in VERSIONS {
        let shake =
            |shows| Client::with(version, &SCHEMES, shows).shake_by_way_of(hide, &server, "a.test");
        assert_eq!(shake(Some(&alice)).expect("is served").client, Some(alice.der()));
        let wrong = shake(Some(&mallory));
        assert!(matches!(wrong, Err(Error::InvalidCertificate(_))), "{wrong:?}");
        let none = shake(None);
        assert!(matches!(none, Err(Error::NoCertificatesPresented)), "{none:?}");
    }
}

#[test]
fn a_client_that_must_say_hello_again_hides_its_name_again() {
    let server = World::with(&["a.test"]).open().hiding_name();
    let client = || Client::agreeing_on(vec![SECP256R1MLKEM768, X25519]);
    let seen = client().shake_by_way_of(hide, &server, "a.test").expect("is served");
    assert_eq!(seen.group, Some(X25519.name()));
    let once = |flight: usize, bytes: &mut [u8]| {
        if flight == 0 {
            hide(flight, bytes);
        }
    };
    let seen = client().shake_by_way_of(once, &server, "a.test");
    assert!(matches!(seen, Err(Error::PeerMisbehaved(_))), "{seen:?}");
}

#[test]
fn other_handshakes_are_made_as_well_by_who_hides_names() {
    let server = World::with(&["a.test"]).open().hiding_name();
    for version in VERSIONS.into_iter().chain([BOTH]) {
        let client = Client::with(version, &SCHEMES, None);
        assert!(!client.shake(&server, "a.test").expect("is served").is_resumed);
        assert!(client.shake(&server, "a.test").expect("is served").is_resumed);
    }
}
