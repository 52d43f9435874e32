//! What is hidden of a hello, against what rustls itself says of it.

use std::{net::Ipv4Addr, sync::Arc};

use proptest::{collection::vec, prelude::*, sample::Index};
use rustls::{
    ClientConfig, ClientConnection, Error, PeerMisbehaved, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::ServerName,
    server::Acceptor,
};

use super::*;

/// A hello without a server name. One key exchange keeps it short.
fn nameless() -> Vec<u8> {
    let groups = vec![aws_lc_rs::kx_group::X25519];
    let provider = CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("are known")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
    let mut client = ClientConnection::new(Arc::new(config), name).expect("is configured");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("a Vec grows");
    bytes.split_off(5)
}

/// A hello with more extensions, before those that it has.
fn hello(extensions: &[u8]) -> Vec<u8> {
    let mut message = nameless();
    let skip = |at: usize, width: usize| at + width + records::big_endian(&message[at..at + width]);
    let at = skip(skip(skip(4 + 34, 1), 2), 1);
    let length = records::big_endian(&message[at..at + 2]) + extensions.len();
    message[at..at + 2].copy_from_slice(&two(length));
    message.splice(at + 2..at + 2, extensions.iter().copied());
    let length = two(message.len() - 4);
    message[2..4].copy_from_slice(&length);
    message
}

fn two(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("is short").to_be_bytes()
}

fn sized(content: &[u8]) -> Vec<u8> {
    [&two(content.len())[..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &sized(content)].concat()
}

fn host(name: &[u8]) -> Vec<u8> {
    [&[0][..], &sized(name)].concat()
}

fn named(name: impl AsRef<[u8]>) -> Vec<u8> {
    hello(&extension(0, &sized(&host(name.as_ref()))))
}

/// In records with so many bytes of it each.
fn records(message: &[u8], each: usize) -> Vec<u8> {
    message.chunks(each).flat_map(|part| [&[22, 3, 1], &sized(part)[..]].concat()).collect()
}

/// What comes out, and what is told.
fn hide(mut reader: HelloReader, bytes: &[u8]) -> (Vec<u8>, Option<String>) {
    let mut out = bytes.to_vec();
    let told = reader.hide_invalid_name(&mut out);
    (out, told)
}

/// The name that rustls takes; `Err(true)` if it ends the handshake for the name.
fn rustls_takes(mut bytes: &[u8]) -> Result<Option<String>, bool> {
    let mut acceptor = Acceptor::default();
    loop {
        let is_at_end = acceptor.read_tls(&mut bytes).map_err(|_| false)? == 0;
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                return Ok(accepted.client_hello().server_name().map(str::to_owned));
            }
            Ok(None) if is_at_end => return Err(false),
            Ok(None) => {}
            Err((error, _)) => {
                let why = PeerMisbehaved::ServerNameMustContainOneHostName;
                return Err(error == Error::PeerMisbehaved(why));
            }
        }
    }
}

/// Whether something was hidden: if and only if rustls refuses the name.
fn check(bytes: &[u8]) -> bool {
    let (out, told) = hide(HelloReader::first(), bytes);
    assert_eq!(told.is_some(), rustls_takes(bytes) == Err(true), "{}", bytes.escape_ascii());
    if told.is_some() {
        assert_eq!(rustls_takes(&out), Ok(None));
        let differ = bytes.iter().zip(&out).filter(|(old, new)| old != new).count();
        assert_eq!((out.len(), differ), (bytes.len(), 2));
    } else {
        assert_eq!(out, bytes);
    }
    told.is_some()
}

#[test]
fn what_is_no_name_of_a_host_is_hidden() {
    let long = ["a".repeat(64), ["abc"; 64].join("."), "a".repeat(9000)];
    let names = [
        "localhost:8443",
        "a.test:443",
        "a..test",
        ".a.test",
        "a b",
        "a-.test",
        "-a.test",
        "*.a.test",
        "[::1]",
        "[::1]:443",
        "127.0.0.1:443",
        "a.123",
        "http://a.test",
        "a.test..",
        "b\u{fc}cher.test",
    ];
    for name in names.into_iter().chain(long.iter().map(String::as_str)) {
        assert!(check(&records(&named(name), 16_000)), "{name}");
    }
    assert!(check(&records(&named([b'a', 0xff, 0]), 16_000)));
}

#[test]
fn names_of_hosts_and_addresses_stay() {
    for name in
        ["localhost", "a.test", "A.Test", "a.test.", "a_b.test", "_a.test", "xn--bcher-kva.test"]
    {
        assert!(!check(&records(&named(name), 16_000)), "{name}");
    }
    for address in ["127.0.0.1", "::1"] {
        assert!(!check(&records(&named(address), 16_000)), "{address}");
    }
    assert!(!check(&records(&nameless(), 16_000)));
}

#[test]
fn a_list_without_a_host_name_is_hidden() {
    assert!(check(&records(&hello(&extension(0, &sized(&[1, 0, 1, b'a']))), 16_000)));
}

#[test]
fn what_else_is_wrong_with_a_list_is_for_rustls_to_say() {
    let bad = host(b"a:1");
    let lists = [
        sized(&[]),
        sized(&host(b"")),
        sized(&[&bad[..], &host(b"a.test")].concat()),
        [&sized(&bad)[..], b"x"].concat(),
        [&[0, 9], &bad[..]].concat(),
        vec![0],
        vec![],
    ];
    for list in lists {
        assert!(!check(&records(&hello(&extension(0, &list)), 16_000)), "{list:?}");
    }
}

#[test]
fn two_server_names_and_an_extension_of_the_hidden_type_are_left_alone() {
    let (bad, good) = (sized(&host(b"a:1")), sized(&host(b"a.test")));
    for (first, second) in [(&bad, &good), (&good, &bad), (&bad, &bad)] {
        let extensions = [extension(0, first), extension(0, second)].concat();
        assert!(!check(&records(&hello(&extensions), 16_000)));
    }
    for hidden in [
        [extension(hello::HIDDEN, b""), extension(0, &bad)],
        [extension(0, &bad), extension(hello::HIDDEN, b"a")],
    ] {
        let bytes = records(&hello(&hidden.concat()), 16_000);
        assert_eq!(hide(HelloReader::first(), &bytes), (bytes.clone(), None));
    }
}

#[test]
fn a_hello_whose_lengths_lie_is_left_alone() {
    let message = named("a:1");
    let longer = |extra: &[u8], message: &[u8]| {
        let mut longer = [message, extra].concat();
        let length = two(longer.len() - 4);
        longer[2..4].copy_from_slice(&length);
        longer
    };
    // Behind the extensions; behind the last of them; an extension that is cut.
    let behind = longer(b"x", &message);
    let inside = hello(&[&extension(0, &sized(&host(b"a:1")))[..], b"\0\x17\xff\xff"].concat());
    let cut = longer(b"", &message[..message.len() - 1]);
    for lies in [behind, inside, cut] {
        assert!(!check(&records(&lies, 16_000)));
    }
    assert!(check(&records(&message, 16_000)));
}

#[test]
fn a_name_is_told_in_ascii_and_in_part() {
    let told = |name: &[u8]| hide(HelloReader::first(), &records(&named(name), 16_000)).1;
    assert_eq!(told(b"a\n\x1b\"\xff:1").as_deref(), Some(r#"a\n\x1b\"\xff:1"#));
    assert_eq!(told(&[b':'; 65]).expect("is invalid").len(), 64);
    assert_eq!(told(&[0; 9000]).expect("is invalid"), r"\x00".repeat(64));
}

#[test]
fn a_hello_is_waited_for_and_its_name_hidden_however_it_comes() {
    let message = named("localhost:8443");
    for each in [1, 2, 3, 5, 100, message.len() - 1, message.len()] {
        let bytes = records(&message, each);
        let mut reader = HelloReader::first();
        for end in 0..bytes.len() {
            assert!(reader.is_partial(&bytes[..end]), "{each} {end}");
            assert_eq!(hide(HelloReader::first(), &bytes[..end]), (bytes[..end].to_vec(), None));
        }
        assert!(!reader.is_partial(&bytes));
        let (out, told) = hide(reader, &bytes);
        assert_eq!(told.as_deref(), Some("localhost:8443"));
        assert_eq!(rustls_takes(&out), Ok(None), "{each}");
    }
}

#[test]
fn what_comes_behind_a_hello_stays() {
    let hello = records(&named("a:1"), 16_000);
    let (hidden, _) = hide(HelloReader::first(), &hello);
    let behind = [&hello[..], &[23, 3, 3, 0, 1, 0], &hello].concat();
    let (out, told) = hide(HelloReader::first(), &behind);
    assert!(told.is_some() && out.starts_with(&hidden));
    assert_eq!(out[hello.len()..], behind[hello.len()..]);
}

#[test]
fn a_change_cipher_spec_may_come_before_the_second_hello_alone() {
    let bytes = [&[20, 3, 3, 0, 1, 1], &records(&named("a:1"), 16_000)[..]].concat();
    assert_eq!(hide(HelloReader::first(), &bytes).1, None);
    assert_eq!(hide(HelloReader::after_retry(), &bytes).1.as_deref(), Some("a:1"));
    assert!(!HelloReader::first().is_partial(&bytes[..6]));
    assert!(HelloReader::after_retry().is_partial(&bytes[..6]));
}

#[test]
fn what_is_no_hello_is_not_waited_for() {
    for other in [
        &b"G"[..],
        b"\x15",
        b"\x16\x02",
        b"\x16\x03\x01\0\0",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\0\x01\x02",
    ] {
        assert!(!HelloReader::first().is_partial(other), "{other:?}");
    }
}

#[test]
fn a_hello_beyond_the_bound_is_not_waited_for() {
    let message = hello(&extension(0, &sized(&host(&[b':'; 20_000]))));
    let bytes = records(&message, 1000);
    let mut reader = HelloReader::first();
    let waits = (0..bytes.len()).take_while(|end| reader.is_partial(&bytes[..*end])).count();
    assert!((MOST_HELLO - 1100..MOST_HELLO).contains(&waits), "{waits}");
    assert_eq!(hide(HelloReader::first(), &bytes), (bytes.clone(), None));
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 1..12),
        "[a-z0-9.:_-]{1,12}".prop_map(String::into_bytes),
        "[a-c0-3x]{1,3}(\\.[a-c0-3x]{1,3}){0,4}\\.?".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn any_name_is_hidden_if_rustls_refuses_it(name in name(), each in 30usize..400) {
        check(&records(&named(name), each));
    }

    #[test]
    fn any_list_is_hidden_if_rustls_refuses_the_name(
        list in vec(prop_oneof![Just(0u8), Just(1), Just(3), any::<u8>()], 0..16),
        is_sized in any::<bool>(),
    ) {
        let list = if is_sized { sized(&list) } else { list };
        check(&records(&hello(&extension(0, &list)), 16_000));
    }

    /// Lengths that lie, too: what rustls takes is never changed, and nothing panics.
    #[test]
    fn of_bytes_that_were_changed_nothing_is_hidden_that_rustls_takes(
        changes in vec((any::<Index>(), any::<u8>()), 0..6),
        each in 1usize..400,
        cut in any::<Index>(),
        is_cut in any::<bool>(),
        has_bad_name in any::<bool>(),
    ) {
        let message = named(if has_bad_name { "a:1" } else { "a.test" });
        let mut bytes = records(&message, each);
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        for (index, byte) in changes {
            if !bytes.is_empty() {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
        }
        let (out, told) = hide(HelloReader::first(), &bytes);
        let of_rustls = rustls_takes(&bytes);
        prop_assert!(told.is_none() || of_rustls.is_err());
        prop_assert!(told.is_some() || of_rustls != Err(true));
        prop_assert!(told.is_some() || out == bytes);
        prop_assert!(!HelloReader::first().is_partial(&bytes) || bytes.len() < MOST_HELLO);
    }
}
