//! Clients with TLS that name a server by what is no name of a host: they are served as clients that name
//! none. The client is OpenSSL's, which says any name; where there is none, a hello of our own.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    process::{Command, Stdio},
};

use crate::support::{Authority, Client, Proxy, Shaking, TlsFiles, eventually, skip};

const COUNT: &str = "proxy_tls_invalid_server_names_total";
const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n";
/// It contradicts no server name.
const NAMELESS: &[u8] = b"GET /x HTTP/1.0\r\n\r\n";
/// Without a body behind a 200 there was no answer.
const ANSWERED: &str = "\r\n\r\nserved";
const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// A proxy with a certificate for `a.test`, and its CA.
struct World {
    authority: Authority,
    clients: Authority,
    files: TlsFiles,
    proxy: Proxy,
}

impl World {
    fn new() -> Self {
        Self::with(|_, _| String::new())
    }

    /// With more keys of the listener's `tls`.
    fn with(keys: impl Fn(&TlsFiles, &Authority) -> String) -> Self {
        let (authority, clients) = (Authority::new(), Authority::new());
        let files = TlsFiles::new("", &[&authority.server(&["a.test"])]);
        let route = "[[routes]]\nrespond = { body = \"served\" }\n";
        let config = format!("{}{}{route}", files.config, keys(&files, &clients));
        let proxy = Proxy::start_with(&config, &["--log", "debug"]);
        Self { authority, clients, files, proxy }
    }

    /// What OpenSSL's client says, which sends this over a connection; `None` if there is no OpenSSL.
    fn says(&self, name: &str, args: &[&str], sent: &[u8]) -> Option<String> {
        says(self.proxy.address, &[&["-servername", name], args].concat(), sent)
    }

    fn path(&self, file: &str) -> String {
        self.files.folder.path().join(file).display().to_string()
    }
}

fn says(address: SocketAddr, args: &[&str], sent: &[u8]) -> Option<String> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-ign_eof", "-connect", &address.to_string()]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut client) = command.spawn() else {
        skip("there is no openssl");
        return None;
    };
    // One that was refused has closed it.
    let _ = client.stdin.take().expect("is piped").write_all(sent);
    let ended = client.wait_with_output().expect("ends");
    let both = [ended.stdout, ended.stderr].concat();
    Some(String::from_utf8_lossy(&both).into_owned())
}

#[test]
fn a_client_that_names_a_host_with_a_port_is_served_and_counted() {
    let world = World::new();
    for (version, shown) in VERSIONS.into_iter().zip(["TLSv1.2", "TLSv1.3"]) {
        let Some(said) = world.says("localhost:8443", &[version], REQUEST) else { return };
        assert!(said.contains(ANSWERED) && said.contains(shown), "{said}");
    }
    world.proxy.wait_for_metric(COUNT, 2.0);
    let event = "a TLS client names no host, and is served as without a name";
    let line = eventually(event, || {
        world.proxy.program.stderr().into_iter().find(|line| line.contains(event))
    });
    assert!(line.contains("localhost:8443"), "{line}");
}

#[test]
fn whatever_the_name_is_there_is_an_answer() {
    let world = World::new();
    let long = ["a".repeat(64), ["abc"; 63].join(".") + ".ab"];
    let odd =
        ["a..test", ".a.test", "a test", "-a.test", "*.a.test", "[::1]:443", &long[0], &long[1]];
    let good = ["a_b.test", "a.test.", "127.0.0.1", "::1"];
    for name in odd.into_iter().chain(good) {
        let Some(said) = world.says(name, &[], NAMELESS) else { return };
        assert!(said.contains(ANSWERED), "{name}: {said}");
    }
    world.proxy.wait_for_metric(COUNT, 8.0);
}

/// `c.test` is none of the certificate's.
#[test]
fn such_a_client_may_ask_for_what_one_without_a_name_may() {
    let world = World::new();
    let Some(none) = says(world.proxy.address, &["-noservername"], REQUEST) else { return };
    assert!(none.contains("HTTP/1.1 200"), "{none}");
    let of = |name| world.says(name, &[], REQUEST).expect("there is openssl");
    let invalid = of("localhost:8443");
    assert!(invalid.contains("HTTP/1.1 200"), "{invalid}");
    let other = of("a.test");
    assert!(other.contains("HTTP/1.1 421"), "{other}");
}

#[test]
fn such_a_client_resumes_its_session() {
    let world = World::new();
    let session = world.path("session");
    for version in VERSIONS {
        for (how, expected) in [("-sess_out", "New, "), ("-sess_in", "Reused, ")] {
            let args = [version, how, &session];
            let Some(said) = world.says("localhost:8443", &args, REQUEST) else { return };
            assert!(said.contains(ANSWERED) && said.contains(expected), "{version}: {said}");
        }
    }
}

/// It sends a share of a group that the proxy does not know, and is asked for another.
#[test]
fn such_a_client_may_be_asked_for_another_hello() {
    let world = World::new();
    let session = world.path("session");
    for (how, expected) in [("-sess_out", "New, "), ("-sess_in", "Reused, ")] {
        let args = ["-tls1_3", "-groups", "X448:P-256", "-msg", how, &session];
        let Some(said) = world.says("localhost:8443", &args, REQUEST) else { return };
        assert_eq!(said.matches(", ClientHello").count(), 2, "{said}");
        assert!(said.contains(ANSWERED) && said.contains(expected), "{said}");
    }
}

#[test]
fn such_a_client_shows_the_certificate_that_it_must() {
    let world = World::with(TlsFiles::client_ca);
    let write = |name: &str, by: &Authority| {
        let client = by.client("alice.test");
        let paths = [world.path(&format!("{name}.pem")), world.path(&format!("{name}.key"))];
        std::fs::write(&paths[0], client.pem()).expect("is written");
        std::fs::write(&paths[1], client.key_pem()).expect("is written");
        paths
    };
    let (known, other) = (write("known", &world.clients), write("other", &world.authority));
    for version in VERSIONS {
        let with = |[cert, key]: &[String; 2]| {
            world.says("localhost:8443", &[version, "-cert", cert, "-key", key], REQUEST)
        };
        let Some(said) = with(&known) else { return };
        assert!(said.contains(ANSWERED), "{version}: {said}");
        for said in [with(&other), world.says("localhost:8443", &[version], REQUEST)] {
            let said = said.expect("there is openssl");
            assert!(!said.contains(ANSWERED) && said.contains("alert"), "{version}: {said}");
        }
    }
}

/// A GET, and then GOAWAY, behind which the proxy ends the connection.
#[test]
fn such_a_client_agrees_on_http_2() {
    let world = World::new();
    let sent = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        b"\0\0\0\x04\0\0\0\0\0",
        b"\0\0\x0b\x01\x05\0\0\0\x01\x82\x87\x84\x41\x06c.test",
        b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ];
    let Some(said) = world.says("localhost:8443", &["-alpn", "h2"], &sent.concat()) else { return };
    assert!(said.contains("ALPN protocol: h2") && said.contains("served"), "{said}");
}

/// A byte at a time, in records of seven. What the proxy says first is a `ServerHello`.
#[test]
fn a_hello_in_pieces_is_put_together() {
    let world = World::new();
    let shaking = Shaking::trusting(&world.authority);
    let mut client = Client::connect(world.proxy.address);
    let mut hello = shaking.hello("a.test").split_off(5);
    let at = hello.windows(6).position(|part| part == b"a.test").expect("is named");
    hello[at + 1] = b':';
    for part in hello.chunks(7) {
        let length = u8::try_from(part.len()).expect("is short");
        for byte in [&[22, 3, 1, 0, length], part].concat() {
            client.write([byte]);
        }
    }
    let mut answer = [0; 6];
    client.stream.read_exact(&mut answer).expect("says something");
    assert_eq!((answer[0], answer[5]), (22, 2), "{answer:?}");
    world.proxy.wait_for_metric(COUNT, 1.0);
}
