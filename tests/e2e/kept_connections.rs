//! Which connections to endpoints are kept, and for how long.

use std::{
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use crate::support::{Origin, PATIENCE, Proxy, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const IDLE: &str = "proxy_upstream_connections{state=\"idle\"}";

fn with(origin: &Origin, settings: &str) -> Proxy {
    Proxy::start(&format!("{}{settings}\n", origin.config()))
}

#[test]
fn a_connection_that_has_answered_head_is_used_again() {
    for length in ["Content-Length: 2", "Transfer-Encoding: chunked", "X-A: none"] {
        let origin = Origin::answering(format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n"));
        let proxy = Proxy::start(&origin.config());
        for _ in 0..4 {
            assert_eq!(proxy.request("HEAD", "/").send().status, 200, "{length}");
        }
        assert_eq!(origin.connections(), 1, "{length}");
    }
}

/// An origin that sends the body of a HEAD when it is told, and says when it has.
fn late_bodies(body: &'static str, go: Receiver<()>) -> (Origin, Receiver<()>) {
    let (sent, is_sent) = channel();
    let world = Mutex::new((go, sent));
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            exchange.body(&head);
            if head.line.starts_with("HEAD") {
                let (go, sent) = &*world.lock().expect("no panic");
                exchange
                    .write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
                let _ = go.recv_timeout(PATIENCE);
                exchange.write(body);
                let _ = sent.send(());
            } else {
                exchange.write(OK);
            }
        }
    });
    (origin, is_sent)
}

#[test]
fn a_body_that_follows_head_late_is_nobody_s_answer() {
    for body in ["late", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"] {
        let (go, told) = channel();
        let (origin, is_sent) = late_bodies(body, told);
        let proxy = Proxy::start(&origin.config());

        for round in 0..3 {
            assert_eq!(proxy.request("HEAD", "/").send().status, 200);
            go.send(()).expect("the origin waits");
            is_sent.recv_timeout(PATIENCE).expect("the origin sends it");
            let answer = proxy.request("POST", "/").body("x").send();
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{round}: {body}");
        }
    }
}

#[test]
fn an_idle_connection_goes_in_its_time() {
    for settings in ["pool = { idle = \"1s\" }", "pool = { max_age = \"1s\" }"] {
        let origin = Origin::answering(OK);
        let proxy = with(&origin, settings);
        assert_eq!(proxy.get("/").send().status, 200);
        proxy.wait_for_metric(IDLE, 0.0);
        assert_eq!(proxy.get("/").send().status, 200);
        assert_eq!(origin.connections(), 2, "{settings}");
    }
}

#[test]
fn a_connection_in_steady_use_has_an_end() {
    let origin = Origin::answering(OK);
    let proxy = with(&origin, "pool = { max_age = \"1s\" }");
    eventually("a second connection", || {
        assert_eq!(proxy.get("/").send().status, 200);
        (origin.connections() > 1).then_some(())
    });
}

#[test]
fn none_is_kept_where_none_may_be() {
    let origin = Origin::answering(OK);
    let proxy = with(&origin, "pool = { max_idle = 0 }");
    for _ in 0..3 {
        assert_eq!(proxy.get("/").send().status, 200);
    }
    assert_eq!(origin.connections(), 3);
}

/// An origin that closes what is idle for two seconds, and says so, would close it amid the request.
#[test]
fn nothing_is_sent_over_a_connection_near_the_end_that_its_origin_has_named() {
    let answer = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2, max=100\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::answering(answer);
    let proxy = Proxy::start(&origin.config());
    let began = Instant::now();
    let first = proxy.get("/").send();
    assert_eq!((first.status, first.header("keep-alive")), (200, None));
    eventually("the margin", || (began.elapsed() > Duration::from_millis(1500)).then_some(()));
    assert_eq!(proxy.request("POST", "/").body("x").send().status, 200);
    assert_eq!(origin.connections(), 2);
}

#[test]
fn an_origin_with_a_second_of_patience_gets_each_request_over_a_fresh_connection() {
    let answer = "HTTP/1.1 200 OK\r\nkeep-alive: max=5, Timeout=1\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::answering(answer);
    let proxy = Proxy::start(&origin.config());
    assert_eq!([(); 2].map(|()| proxy.get("/").send().status), [200, 200]);
    assert_eq!(origin.connections(), 2);
}
