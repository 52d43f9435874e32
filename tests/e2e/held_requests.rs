//! `buffer_request`: a service gets bodies whole, with their length.

use std::sync::{Arc, Mutex};

use crate::support::{
    Client, Origin, Proxy,
    http2::{Fields, Http2},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n";

/// An origin, what it has read of bodies, and a proxy that holds 10 bytes.
struct World {
    origin: Origin,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    proxy: Proxy,
}

impl World {
    /// The origin answers the first request with `first`.
    fn start(first: &'static str, settings: &str) -> Self {
        let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&bodies);
        let origin = Origin::start(move |exchange| {
            while let Some(head) = exchange.request() {
                let body = exchange.body(&head);
                let mut bodies = kept.lock().expect("no panic");
                exchange.write(if bodies.is_empty() { first } else { OK });
                bodies.push(body);
            }
        });
        let config = format!("{}buffer_request = \"10B\"\n{settings}\n", origin.config());
        let proxy = Proxy::start(&config);
        Self { origin, bodies, proxy }
    }

    /// What `client` is told, which sends a body of these chunks.
    fn chunked(&self, method: &str, chunks: &[&str]) -> u16 {
        let mut client = Client::connect(self.proxy.address);
        client.write(format!("{method} /a HTTP/1.1\r\nHost: a\r\n{CHUNKED}"));
        for chunk in chunks {
            client.write(format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        }
        client.write("0\r\n\r\n");
        client.answer(method).status
    }

    /// The same over HTTP/2, without a length.
    fn streamed(&self, method: &str, chunks: &[&str]) -> u16 {
        let mut client = Http2::connect(self.proxy.address);
        let stream = client.open(&Fields::new(method, "/a"));
        for chunk in chunks {
            client.data(stream, chunk.as_bytes(), false);
        }
        client.data(stream, b"", true);
        client.reply(stream).status
    }

    /// What came last has `body`, and says how long it is.
    fn assert_told(&self, body: &str, what: &str) {
        let head = self.origin.last_head();
        assert_eq!(head.headers("content-length"), [body.len().to_string()], "{what}");
        assert!(head.headers("transfer-encoding").is_empty(), "{what}");
        let bodies = self.bodies.lock().expect("no panic");
        assert_eq!(bodies.last().map(Vec::as_slice), Some(body.as_bytes()), "{what}");
    }
}

#[test]
fn a_body_without_a_length_is_sent_with_one() {
    let world = World::start(OK, "");
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET", "MKCOL"] {
        for chunks in [&["hello"][..], &["a", "bc", "def", "ghij"], &[]] {
            let body = chunks.concat();
            assert_eq!(world.chunked(method, chunks), 200, "{method} {body}");
            world.assert_told(&body, method);
            assert_eq!(world.streamed(method, chunks), 200, "{method} {body} over HTTP/2");
            world.assert_told(&body, method);
        }
    }
}

#[test]
fn a_longer_body_without_a_length_is_refused_and_one_with_a_length_streams() {
    let world = World::start(OK, "");
    for chunks in [&["12345678901"][..], &["1234567890", "1"]] {
        assert_eq!(world.chunked("POST", chunks), 413);
        assert_eq!(world.streamed("POST", chunks), 413);
    }
    assert_eq!(world.proxy.access_line("/a")["reason"], "body_too_large");
    assert_eq!(world.origin.connections(), 0);
    for body in ["12345678901", "1234567890", "1"] {
        assert_eq!(world.proxy.request("POST", "/b").body(body).send().status, 200);
        world.assert_told(body, "announced");
    }
}

#[test]
fn the_bound_on_bodies_holds_for_those_that_are_held() {
    let world = World::start(OK, "[server]\nmax_body = \"5B\"");
    assert_eq!(world.chunked("POST", &["12345"]), 200);
    assert_eq!(world.chunked("POST", &["123", "456"]), 413);
    assert_eq!(world.streamed("POST", &["123", "456"]), 413);
}

#[test]
fn no_endpoint_is_asked_before_the_body_is_whole() {
    let world = World::start(OK, "");
    for (length, first, rest) in [
        (CHUNKED, "3\r\nabc\r\n", "2\r\nde\r\n0\r\n\r\n"),
        ("Content-Length: 5\r\n\r\n", "abc", "de"),
    ] {
        let before = world.origin.heads().len();
        let mut client = Client::connect(world.proxy.address);
        client.write(format!("PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{length}"));
        assert_eq!(client.line(), "HTTP/1.1 100 Continue");
        assert_eq!(client.line(), "");
        client.write(first);
        assert_eq!(world.proxy.get("/between").send().status, 200);
        assert_eq!(world.origin.heads().len(), before + 1);
        client.write(rest);
        assert_eq!(client.answer("PUT").status, 200);
        world.assert_told("abcde", length);
    }
}

#[test]
fn a_body_that_is_held_is_sent_again_as_it_was() {
    let settings = "retry = { on = \"503\", methods = \"any\", body_limit = \"0B\" }";
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let world = World::start(busy, settings);
    assert_eq!(world.chunked("POST", &["hel", "lo"]), 200);
    world.assert_told("hello", "again");
    let bodies = world.bodies.lock().expect("no panic");
    assert_eq!(*bodies, [b"hello", b"hello"]);
}

#[test]
fn a_client_that_does_not_end_its_body_is_given_up() {
    let world = World::start(OK, "timeouts = { total = \"100ms\" }");
    let mut client = Client::connect(world.proxy.address);
    client.write(format!("PUT /late HTTP/1.1\r\nHost: a\r\n{CHUNKED}1\r\na\r\n"));
    assert_eq!(client.answer("PUT").status, 504);
    assert_eq!(world.proxy.access_line("/late")["reason"], "total_timeout");
    assert_eq!(world.origin.connections(), 0);
}

#[test]
fn a_client_that_leaves_amid_its_body_asks_for_nothing() {
    let world = World::start(OK, "");
    let mut client = Client::connect(world.proxy.address);
    client.write(format!("PUT /gone HTTP/1.1\r\nHost: a\r\n{CHUNKED}1\r\na\r\n"));
    drop(client);
    assert_eq!(world.proxy.access_line("/gone")["reason"], "client_closed");
    assert_eq!(world.origin.connections(), 0);
}
