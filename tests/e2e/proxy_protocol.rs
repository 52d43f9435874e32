//! Listeners behind a load balancer that says with a PROXY header whose connection it is: what the
//! header names is the client, everywhere; without a header there is no connection.

use crate::support::{Client, Launch, Origin, Program, Request, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n";
const V1: &str = "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n";
const REJECTED: &str = "proxy_connections_rejected_total{reason=\"proxy_protocol\"} ";

struct World {
    origin: Origin,
    proxy: Program,
    address: std::net::SocketAddr,
    _folder: tempfile::TempDir,
}

impl World {
    fn start(server: &str) -> Self {
        let origin = Origin::answering(OK);
        let listener = "[[listeners]]\nbind = \"127.0.0.1:0\"\nproxy_protocol = true\n";
        let config = format!("[server]\n{server}\n{listener}{}", origin.config());
        let (mut proxy, folder) = Launch::with(&config).run(&["--workers", "1"]).start();
        let address = proxy.listening("traffic", 0);
        Self { origin, proxy, address, _folder: folder }
    }

    fn connect(&self, bytes: impl AsRef<[u8]>) -> Client {
        let mut client = Client::connect(self.address);
        client.write(bytes);
        client
    }

    /// The client that the origin and the log are told of.
    fn client_of(&self, header: &[u8]) -> String {
        let mut client = self.connect([header, GET.as_bytes()].concat());
        assert_eq!(client.answer("GET").text(), "ok");
        let told = self.origin.last_head().headers("x-forwarded-for").join(", ");
        assert_eq!(self.last_access_line()["client_ip"], told.as_str());
        told
    }

    fn last_access_line(&self) -> serde_json::Value {
        let count = self.origin.heads().len();
        eventually("an access line", || {
            let lines = self.proxy.stdout();
            let last = lines.last().filter(|_| lines.len() == count)?;
            Some(serde_json::from_str(last).expect("is JSON"))
        })
    }

    fn rejected(&mut self) -> String {
        let admin = self.proxy.listening("admin", 0);
        let page = Request::new(admin, "GET", "/metrics").send().text();
        let line = page.lines().find_map(|line| line.strip_prefix(REJECTED));
        line.expect("is a metric").to_owned()
    }

    fn wait_until_rejected(&mut self, count: &str) {
        eventually("the rejection to be counted", || (self.rejected() == count).then_some(()));
    }
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("is short");
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    [signature, &[0x20 | command, family][..], &length.to_be_bytes(), block].concat()
}

#[test]
fn the_address_that_a_header_names_is_the_client() {
    let world = World::start("");
    let further_field = [3, 0, 2, 1, 2];
    let v4 = [&[192, 0, 2, 9, 192, 0, 2, 2, 1, 2, 0, 80][..], &further_field].concat();
    let mut v6 = [0; 36];
    v6[..2].copy_from_slice(&[0x20, 0x01]);
    v6[15] = 7;
    for (header, client) in [
        (V1.as_bytes().to_vec(), "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 80\r\n".to_vec(), "2001:db8::1"),
        (v2(1, 0x11, &v4), "192.0.2.9"),
        (v2(1, 0x21, &v6), "2001::7"),
    ] {
        assert_eq!(world.client_of(&header), client);
    }
}

#[test]
fn a_header_that_names_nobody_leaves_the_address_of_the_socket() {
    let world = World::start("");
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), v2(0, 0, &[]), v2(1, 0, &[])] {
        assert_eq!(world.client_of(&header), "127.0.0.1");
    }
}

#[test]
fn whom_the_header_names_is_who_must_be_trusted() {
    let given = "GET /a HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n";
    for (trusted, told, client) in [
        // The load balancer is no proxy of HTTP: what it passes on is the client's own word.
        ("127.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "1.2.3.4, 192.0.2.1", "1.2.3.4"),
    ] {
        let world = World::start(&format!("trusted_proxies = [\"{trusted}\"]"));
        let mut client_of = world.connect(format!("{V1}{given}"));
        assert_eq!(client_of.answer("GET").text(), "ok");
        assert_eq!(world.origin.last_head().headers("x-forwarded-for"), [told]);
        assert_eq!(world.last_access_line()["client_ip"], client);
    }
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let world = World::start("");
    for header in [V1.as_bytes(), &v2(1, 0x11, &[192, 0, 2, 1, 0, 0, 0, 0, 0, 1, 0, 80])] {
        let mut client = Client::connect(world.address);
        for byte in [header, GET.as_bytes()].concat() {
            client.write([byte]);
        }
        assert_eq!(client.answer("GET").text(), "ok");
        assert_eq!(world.origin.last_head().headers("x-forwarded-for"), ["192.0.2.1"]);
    }
}

#[test]
fn what_comes_with_the_header_belongs_to_the_requests() {
    let world = World::start("");
    let body = "x".repeat(100_000);
    let post = format!("POST /b HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\n{body}");
    let mut client = world.connect(format!("{V1}{GET}{post}{GET}"));
    for _ in 0..3 {
        assert_eq!(client.answer("GET").text(), "ok");
    }
    let lines: Vec<String> = world.origin.heads().into_iter().map(|head| head.line).collect();
    assert_eq!(lines, ["GET /a HTTP/1.1", "POST /b HTTP/1.1", "GET /a HTTP/1.1"]);
}

#[test]
fn a_connection_without_a_valid_header_is_closed_without_a_word_and_counted() {
    let mut world = World::start("");
    let too_long = v2(1, 0x11, &[0; 5000]);
    let wrong: [&[u8]; 5] = [
        GET.as_bytes(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4711\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0",
        &too_long,
        &[b'P'; 107],
    ];
    for bytes in wrong {
        assert!(world.connect(bytes).is_closed(), "{bytes:?}");
    }
    // A connection that is closed at once is the check of a load balancer, and no failure.
    drop(Client::connect(world.address));
    assert_eq!(world.client_of(V1.as_bytes()), "192.0.2.1");
    world.wait_until_rejected("5");
    assert_eq!(world.origin.heads().len(), 1);
}

#[test]
fn a_header_that_does_not_end_is_given_up() {
    let mut world = World::start("header_timeout = \"300ms\"");
    assert!(world.connect("PROXY TCP4 192.0.2.1").is_closed());
    assert!(Client::connect(world.address).is_closed());
    world.wait_until_rejected("2");
}

#[test]
fn a_stop_does_not_wait_for_headers() {
    let mut world = World::start("header_timeout = \"10m\"\ndrain_timeout = \"10m\"");
    let mut waiting = world.connect("PROXY TCP4 ");
    assert_eq!(world.client_of(V1.as_bytes()), "192.0.2.1");
    world.proxy.signal("TERM");
    assert!(waiting.is_closed());
    assert_eq!(world.proxy.exit_code(), Some(0));
}

#[test]
fn a_header_over_a_unix_socket_names_the_client_too() {
    let origin = Origin::answering(OK);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("proxy.sock");
    let config = format!(
        "[[listeners]]\nbind = \"unix:{}\"\nproxy_protocol = true\n{}",
        path.display(),
        origin.config()
    );
    let (mut proxy, _other) = Launch::with(&config).run(&[]).start();
    proxy.listening_on("traffic", 0);
    for (header, told) in [(V1, &["192.0.2.1"][..]), ("PROXY UNKNOWN\r\n", &[])] {
        let mut client = Client::connect_unix(&path);
        client.write(format!("{header}{GET}"));
        assert_eq!(client.answer("GET").text(), "ok");
        assert_eq!(origin.last_head().headers("x-forwarded-for"), told);
    }
}
