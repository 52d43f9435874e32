//! `timeouts.total` bounds a request as a whole, and the endpoint is told what is left of it.

use std::time::Instant;

use crate::support::{Origin, Proxy, eventually, pool_of};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn what_is_left_is_told_and_a_client_s_own_is_not() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&pool_of(&[origin.address], "timeouts = { total = \"5s\" }"));
    proxy.get("/a").header("X-Request-Timeout-Ms", "1").header("x_request_timeout_ms", "2").send();
    let head = origin.last_head();
    let told: u64 = head
        .header("x-request-timeout-ms")
        .and_then(|value| value.parse().ok())
        .expect("is a number");
    assert!((4000..=5000).contains(&told), "{told}");
    assert_eq!(head.headers("x-request-timeout-ms").len(), 1);
    assert_eq!(head.header("x_request_timeout_ms"), None);
}

#[test]
fn an_endpoint_that_does_not_answer_in_all_is_504() {
    let origin = Origin::start(|exchange| {
        exchange.request();
        exchange.wait_for_close();
    });
    let settings = "timeouts = { total = \"500ms\", response = \"20s\" }";
    let proxy = Proxy::start(&pool_of(&[origin.address], settings));
    let started = Instant::now();
    let answer = proxy.get("/a").send();
    assert_eq!(answer.status, 504);
    assert!(started.elapsed().as_millis() >= 500);
    let why = answer.header("proxy-status").expect("says why");
    assert!(why.contains("total_timeout"), "{why}");
}

/// A body that drips, a byte each 100 ms, twenty times.
fn dripping(content_type: &'static str) -> Origin {
    Origin::start(move |exchange| {
        exchange.request();
        exchange.write(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: 20\r\n\r\n"
        ));
        let started = Instant::now();
        for step in 1..=20 {
            eventually("time to pass", || {
                (started.elapsed().as_millis() > step * 100).then_some(())
            });
            exchange.write("x");
        }
    })
}

#[test]
fn a_body_that_takes_too_long_is_cut_and_events_are_not() {
    let settings = "timeouts = { total = \"700ms\", idle = \"500ms\" }";
    for (content_type, whole) in [("text/plain", false), ("Text/Event-Stream; charset=utf-8", true)]
    {
        let origin = dripping(content_type);
        let proxy = Proxy::start(&pool_of(&[origin.address], settings));
        let answer = proxy.get("/a").send();
        assert_eq!(answer.is_whole, whole, "{content_type}");
        if !whole {
            assert_eq!(proxy.access_line("/a")["reason"], "total_timeout");
        }
    }
}

#[test]
fn retries_and_their_pauses_draw_on_it() {
    let busy =
        Origin::answering("HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n");
    let settings = "timeouts = { total = \"20s\" }\n\
         retry = { on = [\"503\"], attempts = 5, budget = 100 }\n\
         outlier = { consecutive_failures = \"off\" }";
    let proxy = Proxy::start(&pool_of(&[busy.address], settings));
    let started = Instant::now();
    assert_eq!(proxy.get("/a").send().status, 503);
    assert!(started.elapsed().as_secs() < 20, "it must not wait for what cannot be");
    assert_eq!(busy.heads().len(), 1);
}
