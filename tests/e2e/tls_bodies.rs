//! What passes over TLS: all of it, at once, and never a part that looks like the whole.

use std::{
    io::{Read, Write},
    time::Duration,
};

use crate::support::{
    Authority, Exchange, Origin, Proxy, Secured, Shaking, TlsFiles, eventually, switching,
};

const LARGE: usize = 24 << 20;

struct World {
    authority: Authority,
    proxy: Proxy,
    _files: TlsFiles,
}

impl World {
    fn before(origin: &Origin, settings: &str) -> Self {
        let authority = Authority::new();
        let files = TlsFiles::new("", &[&authority.server(&["a.test"])]);
        let proxy = Proxy::start(&format!("{settings}{}{}", files.config, origin.config()));
        Self { authority, proxy, _files: files }
    }

    fn connect(&self) -> Secured {
        Shaking::trusting(&self.authority).connect(self.proxy.address, "a.test")
    }
}

/// Bytes that repeat after a prime, so that a lost or moved piece shows.
fn content() -> Vec<u8> {
    (0..LARGE).map(|place| (place % 65_521 % 251) as u8).collect()
}

#[test]
fn large_bodies_pass_whole_in_both_directions() {
    let origin = Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            let body = exchange.body(&head);
            exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            exchange.write(body);
        }
    });
    let world = World::before(&origin, "");
    let sent = content();
    let request = world.proxy.request("POST", "/").header("Host", "a.test").body(&sent);
    let mut client = world.connect();

    let answer = request.send_on(&mut client);

    assert!(answer.is_whole && answer.body == sent, "{} bytes", answer.body.len());
}

/// The last record of a chunk must not wait for more: the client has the chunk before the origin
/// goes on.
#[test]
fn what_has_come_is_not_held_back() {
    let origin = Origin::start(|exchange| {
        while exchange.request().is_some() {
            exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for _ in 0..3 {
                exchange.write(format!("9c40\r\n{}\r\n", "x".repeat(40_000)));
                let mut next = [0; 1];
                if exchange.read(&mut next) == 0 {
                    return;
                }
            }
            exchange.write("0\r\n\r\n");
        }
    });
    let world = World::before(&origin, "");
    let mut client = world.connect();
    let head = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\n";
    client.write(head);
    client.head();
    for _ in 0..3 {
        let mut left = 40_000;
        while left > 0 {
            left -= client.chunk().expect("comes before the origin goes on").len();
        }
        client.write("g");
    }
    assert_eq!(client.chunk(), Some(Vec::new()));
}

fn cut_after(head: &'static str) -> impl Fn(&mut Exchange) {
    move |exchange| {
        while exchange.request().is_some() {
            exchange.write(head);
            exchange.write("part of it");
            exchange.cut();
        }
    }
}

#[test]
fn a_cut_body_never_ends_as_a_whole_one_does() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n",
    ] {
        let origin = Origin::start(cut_after(head));
        let world = World::before(&origin, "");
        let mut client = world.connect();
        client.write("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
        let mut answer = Vec::new();
        let ended = client.stream.read_to_end(&mut answer);
        // Without a close_notify, or by a reset: both are errors to who reads.
        assert!(ended.is_err(), "{head:?} {}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn a_tunnel_passes_bytes_both_ways_and_ends_in_order() {
    let origin = switching(|exchange| {
        let mut buffer = [0; 4096];
        loop {
            match exchange.read(&mut buffer) {
                0 => return exchange.close(),
                read => exchange.write(&buffer[..read]),
            };
        }
    });
    let world = World::before(&origin, "");
    let mut client = world.connect();
    client.write(crate::support::OFFER);
    assert_eq!(client.head().0, "HTTP/1.1 101 Switching Protocols");
    for message in [b"one".to_vec(), vec![7; 100_000], b"three".to_vec()] {
        client.write(&message);
        let mut back = vec![0; message.len()];
        client.stream.read_exact(&mut back).expect("comes back");
        assert!(back == message);
    }
    let stream = client.stream.get_mut();
    stream.conn.send_close_notify();
    stream.flush().expect("is sent");
    assert_eq!(client.stream.read(&mut [0; 8]).expect("ends in order"), 0);
}

#[test]
fn a_client_that_does_not_read_is_let_go_of() {
    let origin = Origin::start(|exchange| {
        while exchange.request().is_some() {
            exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"));
            exchange.write(content());
        }
    });
    let world = World::before(&origin, "[server]\nwrite_timeout = \"1s\"\n");
    let mut client = world.connect();
    client.write("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.head();
    let line = world.proxy.access_line("/slow");
    assert_eq!(line["reason"], "write_timeout");
    eventually("it to be gone", || {
        (world.proxy.metric("proxy_connections") == 0.0).then_some(Duration::ZERO)
    });
}
