//! Copies of requests go to another service and change nothing for the client.

use std::{
    io::Read,
    sync::{Arc, Mutex},
};

use crate::support::{
    Client, ClosedPort, Exchange, OFFER, Origin, Proxy, eventually, pool_of, switching,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Keeps the bodies that come.
fn recording() -> (Origin, Arc<Mutex<Vec<Vec<u8>>>>) {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&bodies);
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            let body = exchange.body(&head);
            kept.lock().expect("no panic").push(body);
            exchange.write("HTTP/1.1 500 Shadow\r\nContent-Length: 6\r\n\r\nshadow");
        }
    });
    (origin, bodies)
}

fn config(origin: &Origin, shadow: std::net::SocketAddr, mirror: &str) -> String {
    pool_of(
        &[origin.address],
        format!("\n[services.shadow]\nendpoints = [\"http://{shadow}/base\"]"),
    )
    .replace(
        "name = \"all\"",
        &format!("name = \"all\"\nmirror = {{ service = \"shadow\"{mirror} }}"),
    )
}

#[test]
fn a_copy_has_the_same_head_and_body_and_its_answer_is_discarded() {
    let (origin, (shadow, bodies)) = (Origin::answering(OK), recording());
    let proxy = Proxy::start(&config(&origin, shadow.address, ""));
    let body: Vec<u8> = (0..40_000_u32).map(|n| (n % 249) as u8).collect();
    let answer = proxy.request("POST", "/a?b=c").header("X-Mine", "1").body(&body).send();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    // Copies are sent beside each other: the second request waits, so that it comes second.
    let copies = |n| {
        eventually("the copies", || (bodies.lock().expect("no panic").len() == n).then_some(()));
    };
    copies(1);
    assert_eq!(proxy.get("/d").send().status, 200);
    copies(2);
    let heads = shadow.heads();
    assert_eq!(heads[0].line, "POST /base/a?b=c HTTP/1.1");
    assert_eq!(heads[0].header("x-mine"), Some("1"));
    assert_eq!(heads[0].header("x-request-id"), origin.heads()[0].header("x-request-id"));
    assert!(bodies.lock().expect("no panic")[0] == body);
    proxy.wait_for_metric("proxy_mirrored_total{service=\"shadow\",result=\"answered\"}", 2.0);
}

#[test]
fn a_copy_has_a_length_whatever_the_request_has() {
    let (origin, (shadow, bodies)) = (Origin::answering(OK), recording());
    let proxy = Proxy::start(&config(&origin, shadow.address, ""));
    for (chunks, body, copies) in [("5\r\nhello\r\n0\r\n\r\n", "hello", 1), ("0\r\n\r\n", "", 2)] {
        let mut client = Client::connect(proxy.address);
        client.write("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.write(chunks);
        assert_eq!(client.answer("PUT").status, 200);
        let kept = || bodies.lock().expect("no panic").clone();
        let last = eventually("the copy", || kept().get(copies - 1).cloned());
        assert_eq!(last, body.as_bytes());
        let head = shadow.last_head();
        assert_eq!(head.headers("content-length"), [body.len().to_string()]);
        assert!(head.headers("transfer-encoding").is_empty());
    }
    assert_eq!(origin.last_head().headers("transfer-encoding"), ["chunked"]);
}

#[test]
fn a_shadow_that_is_dead_or_a_body_that_is_too_long_changes_nothing() {
    let (origin, dead) = (Origin::answering(OK), ClosedPort::reserve());
    let proxy = Proxy::start(&config(&origin, dead.address, ", body_limit = \"1KiB\""));
    assert_eq!(proxy.request("POST", "/a").body("short").send().status, 200);
    proxy.wait_for_metric("proxy_mirrored_total{service=\"shadow\",result=\"failed\"}", 1.0);
    let long = vec![b'x'; 4096];
    assert_eq!(proxy.request("POST", "/a").body(&long).send().status, 200);
    proxy.wait_for_metric("proxy_mirrored_total{service=\"shadow\",result=\"dropped\"}", 1.0);
    assert_eq!(origin.heads().len(), 2);
}

#[test]
fn a_shadow_that_never_answers_holds_nobody_up() {
    let origin = Origin::answering(OK);
    let silent = Origin::start(|exchange| exchange.wait_for_close());
    let proxy = Proxy::start(&config(&origin, silent.address, ""));
    assert!((0..100).all(|_| proxy.get("/a").send().status == 200));
    proxy.wait_for_metric("proxy_mirrored_total{service=\"shadow\",result=\"dropped\"}", 36.0);
}

#[test]
fn a_share_is_a_share() {
    let (origin, (shadow, _)) = (Origin::answering(OK), recording());
    let proxy = Proxy::start(&config(&origin, shadow.address, ", percent = 25"));
    let mut client = Client::connect(proxy.address);
    for _ in 0..400 {
        assert_eq!(proxy.get("/a").send_on(&mut client).status, 200);
    }
    let copies = shadow.heads().len();
    assert!((50..=150).contains(&copies), "{copies} of 400");
}

#[test]
fn a_switch_works_and_is_not_copied() {
    let origin = switching(|exchange| {
        exchange.write("hello");
        exchange.wait_for_close();
    });
    let (one, two) = (switching(Exchange::wait_for_close), switching(Exchange::wait_for_close));
    let spare =
        format!("/base\", \"http://{}\"]\noutlier = {{ consecutive_failures = 1 }}", two.address);
    let proxy = Proxy::start(&config(&origin, one.address, "").replace("/base\"]", &spare));
    let mut client = Client::connect(proxy.address);
    client.write(OFFER);
    assert_eq!(client.head().0, "HTTP/1.1 101 Switching Protocols");
    let mut heard = [0; 5];
    client.stream.read_exact(&mut heard).expect("the tunnel is open");
    assert_eq!(&heard, b"hello");
    proxy.wait_for_metric("proxy_mirrored_total{service=\"shadow\",result=\"dropped\"}", 1.0);
    for shadow in [one, two] {
        assert_eq!(shadow.connections(), 0);
        assert_eq!(proxy.ejections("shadow", shadow.address), 0.0);
    }
}

/// An idle connection that closes under a copy may have been heard: only what may be sent twice is.
#[test]
fn a_copy_that_an_idle_connection_lost_is_sent_again_only_if_it_may_be() {
    for (method, times) in [("PUT", 2), ("POST", 1)] {
        let origin = Origin::answering(OK);
        let shadow = Origin::start(|exchange: &mut Exchange| {
            if let Some(head) = exchange.request() {
                exchange.body(&head);
                exchange.write(OK);
            }
            // The next one is read, and the connection closes without a word.
            if let Some(head) = exchange.request() {
                exchange.body(&head);
            }
        });
        let proxy = Proxy::start(&config(&origin, shadow.address, ""));
        let copied = |result: &str, number: f64| {
            let series = format!("proxy_mirrored_total{{service=\"shadow\",result=\"{result}\"}}");
            proxy.wait_for_metric(&series, number);
        };
        assert_eq!(proxy.get("/first").send().status, 200);
        copied("answered", 1.0);
        assert_eq!(proxy.request(method, "/second").body("x").send().status, 200);
        let (result, number) = if times == 1 { ("failed", 1.0) } else { ("answered", 2.0) };
        copied(result, number);
        let heads = shadow.heads();
        let sent = heads.iter().filter(|head| head.line.contains("/second")).count();
        assert_eq!(sent, times, "{method}");
    }
}
