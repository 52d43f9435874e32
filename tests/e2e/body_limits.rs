//! `max_body`: at most so many bytes of a request body, announced or counted.

use std::sync::{Arc, Mutex};

use crate::support::{Answer, Client, Origin, Proxy, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The server allows 10 bytes; routes allow 4, 20 and any number.
fn world() -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let config = format!(
        r#"
        [server]
        max_body = "10B"
        [[routes]]
        path = "/less"
        max_body = "4B"
        service = "origin"
        [[routes]]
        path = "/more"
        max_body = "20B"
        service = "origin"
        [[routes]]
        path = "/any"
        max_body = "unlimited"
        service = "origin"
        {}"#,
        origin.config()
    );
    (origin, Proxy::start(&config))
}

fn chunked(proxy: &Proxy, target: &str, chunks: &[&str]) -> Answer {
    let mut client = Client::connect(proxy.address);
    client
        .write(format!("POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for chunk in chunks.iter().chain(&[""]) {
        client.write(format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    }
    client.answer("POST")
}

fn assert_too_large(answer: &Answer) {
    let body = r#"{"message": "Body too large"}"#;
    assert_eq!((answer.status, answer.text().as_str()), (413, body));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.header("proxy-status"),
        Some("proxy; error=http_request_error; details=\"body_too_large\"")
    );
}

#[test]
fn a_body_that_is_announced_too_large_is_refused_without_asking_the_upstream() {
    let (origin, proxy) = world();
    assert_too_large(&proxy.request("POST", "/a").body("12345678901").send());
    assert_eq!(origin.connections(), 0);
    assert_eq!(proxy.access_line("/a")["reason"], "body_too_large");
}

#[test]
fn the_refusal_does_not_wait_for_the_body() {
    let (_origin, proxy) = world();
    let mut client = Client::connect(proxy.address);
    client.write("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n");
    assert_too_large(&client.answer("POST"));
}

#[test]
fn a_body_of_just_the_limit_passes() {
    let (_origin, proxy) = world();
    let post = |target: &str, body: &str| proxy.request("POST", target).body(body).send().status;
    assert_eq!(post("/a", "1234567890"), 200);
    assert_eq!(post("/less", "1234"), 200);
    assert_eq!(post("/more", "12345678901234567890"), 200);
}

#[test]
fn the_limit_of_a_route_replaces_that_of_the_server() {
    let (_origin, proxy) = world();
    let post =
        |target: &str, length| proxy.request("POST", target).body("x".repeat(length)).send().status;
    assert_eq!((post("/less", 4), post("/less", 5)), (200, 413));
    assert_eq!((post("/more", 20), post("/more", 21)), (200, 413));
    assert_eq!(post("/any", 100_000), 200);
}

#[test]
fn a_chunked_body_is_counted() {
    let (_origin, proxy) = world();
    assert_eq!(chunked(&proxy, "/a", &["12345", "67890"]).text(), "ok");
    assert_too_large(&chunked(&proxy, "/a", &["12345", "678901"]));
    assert_too_large(&chunked(&proxy, "/a", &["12345678901"]));
    assert_too_large(&chunked(&proxy, "/less", &["1", "2", "3", "4", "5"]));
    assert_eq!(chunked(&proxy, "/any", &["12345", "678901"]).text(), "ok");
}

#[test]
fn an_upstream_never_sees_a_chunked_body_that_was_too_large_as_complete() {
    let ended = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&ended);
    let origin = Origin::start(move |exchange| {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match exchange.read(&mut buffer) {
                0 => break,
                read => bytes.extend_from_slice(&buffer[..read]),
            }
        }
        let end = bytes.split_off(bytes.len().saturating_sub(5));
        *seen.lock().expect("no test has panicked") = Some(end);
    });
    let proxy = Proxy::start(&format!("[server]\nmax_body = \"10B\"\n{}", origin.config()));
    assert_too_large(&chunked(&proxy, "/a", &["12345", "678901"]));
    let end = eventually("the end of the upload", || {
        ended.lock().expect("no handler has panicked").take()
    });
    assert_ne!(end, b"0\r\n\r\n");
}

#[test]
fn without_a_limit_any_length_passes() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());
    let answer = proxy.request("POST", "/a").body("x".repeat(3_000_000)).send();
    assert_eq!(answer.text(), "ok");
    assert_eq!(proxy.access_line("/a")["bytes_in"], 3_000_000);
}
