//! A request is tried again where that is safe, on another endpoint, and never more often than the
//! budget allows.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::Instant,
};

use crate::support::{ClosedPort, Origin, PATIENCE, Proxy, pool_of};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
/// Ejection would hide who is asked.
const NO_OUTLIER: &str = "outlier = { consecutive_failures = \"off\" }\n";
/// Half of the requests meet the endpoint that fails.
const UNBOUNDED: &str = "outlier = { consecutive_failures = \"off\" }\nretry = { budget = 100 }\n";

/// Reads whole requests and resets the connection in place of an answer.
fn resetting() -> Origin {
    Origin::start(|exchange| {
        if let Some(head) = exchange.request() {
            exchange.body(&head);
            exchange.reset();
        }
    })
}

#[test]
fn a_dead_endpoint_costs_no_request_whatever_the_method() {
    let (dead, origin) = (ClosedPort::reserve(), Origin::answering(OK));
    let config = pool_of(&[dead.address, origin.address], UNBOUNDED);
    let proxy = Proxy::start(&config);
    for turn in 0..40 {
        let method = if turn % 2 == 0 { "GET" } else { "POST" };
        let answer = proxy.request(method, "/a").body("x").send();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    assert!(proxy.metric("proxy_retries_total{reason=\"connect\"}") >= 1.0);
    assert_eq!(origin.heads().len(), 40);
    let line = proxy
        .access_lines()
        .into_iter()
        .find(|line| line["tries"].is_array())
        .expect("one of forty went to the dead endpoint first");
    assert_eq!(line["attempts"], 2);
    assert_eq!(line["tries"][0]["reason"], "connection_refused");
    assert_eq!(line["tries"][0]["endpoint"], format!("http://{}", dead.address));
    assert_eq!(line["tries"][1]["status"], 200);
    assert_eq!(line["tries"][1]["endpoint"], format!("http://{}", origin.address));
    assert!(line["tries"][1]["started_ms"].as_f64() >= line["tries"][0]["duration_ms"].as_f64());
}

#[test]
fn what_an_endpoint_may_have_seen_is_not_sent_again_unless_told() {
    let (broken, also_broken) = (resetting(), resetting());
    let proxy = Proxy::start(&pool_of(&[broken.address, also_broken.address], NO_OUTLIER));
    assert_eq!(proxy.get("/a").send().status, 502);
    assert_eq!(broken.heads().len() + also_broken.heads().len(), 1);
}

#[test]
fn a_reset_is_retried_on_another_endpoint_with_the_whole_body_if_told() {
    let broken = resetting();
    let echo = Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            let body = exchange.body(&head);
            exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            exchange.write(body);
        }
    });
    let settings =
        format!("retry = {{ on = [\"connect\", \"reset\"], budget = 100 }}\n{NO_OUTLIER}");
    let proxy = Proxy::start(&pool_of(&[broken.address, echo.address], settings));
    let body: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
    for _ in 0..20 {
        let answer = proxy.request("PUT", "/a").body(&body).send();
        assert_eq!(answer.status, 200);
        assert!(answer.body == body);
    }
    assert!(!broken.heads().is_empty());
    // Not safe to repeat: one of them meets the broken endpoint.
    let statuses: Vec<u16> =
        (0..20).map(|_| proxy.request("POST", "/a").body("x").send().status).collect();
    assert!(statuses.contains(&502) && statuses.contains(&200), "{statuses:?}");
}

#[test]
fn a_chunked_body_is_replayed_and_one_beyond_the_bound_is_sent_once() {
    let (broken, seen) = (resetting(), Mutex::new(Vec::new()));
    let taking = std::sync::Arc::new(seen);
    let kept = std::sync::Arc::clone(&taking);
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            let body = exchange.body(&head);
            kept.lock().expect("no panic").push(body);
            exchange.write(OK);
        }
    });
    let settings = format!(
        "retry = {{ on = [\"reset\"], body_limit = \"8KiB\", attempts = 2, budget = 100 }}\n{NO_OUTLIER}"
    );
    let proxy = Proxy::start(&pool_of(&[broken.address, origin.address], settings));
    let send = |size: usize| {
        let mut client = crate::support::Client::connect(proxy.address);
        client.write("PUT /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..4 {
            client.write(format!("{:x}\r\n{}\r\n", size / 4, "y".repeat(size / 4)));
        }
        client.write("0\r\n\r\n");
        client.answer("PUT").status
    };
    for _ in 0..12 {
        assert_eq!(send(4096), 200);
    }
    assert!(taking.lock().expect("no panic").iter().all(|body| body.len() == 4096));
    let statuses: Vec<u16> = (0..20).map(|_| send(64 << 10)).collect();
    assert!(statuses.contains(&502) && statuses.contains(&200), "{statuses:?}");
}

#[test]
fn an_unwanted_status_is_retried_and_the_last_answer_passes_as_it_is() {
    let (busy, well) = (Origin::answering(UNAVAILABLE), Origin::answering(OK));
    let settings = format!("retry = {{ on = \"503\", budget = 100 }}\n{NO_OUTLIER}");
    let proxy = Proxy::start(&pool_of(&[busy.address, well.address], &settings));
    assert!((0..20).all(|_| proxy.get("/a").send().status == 200));
    assert!(!busy.heads().is_empty());
    assert!(proxy.metric("proxy_retries_total{reason=\"status\"}") >= 1.0);

    let other = Origin::answering(UNAVAILABLE);
    let proxy = Proxy::start(&pool_of(&[busy.address, other.address], &settings));
    let answer = proxy.get("/b").send();
    assert_eq!((answer.status, answer.text().as_str()), (503, "busy"));
    assert_eq!(answer.header("proxy-status"), None);
    assert_eq!(other.heads().len(), 1);
}

#[test]
fn retry_after_is_waited_for_or_ends_the_tries() {
    let asked = AtomicUsize::new(0);
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            let after = if head.line.contains("/long") { 60 } else { 1 };
            let is_first = asked.fetch_add(1, SeqCst) == 0;
            if is_first || after == 60 {
                exchange.write(format!(
                    "HTTP/1.1 503 Busy\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\r\n"
                ));
            } else {
                exchange.write(OK);
            }
        }
    });
    let settings = format!("retry = {{ on = [\"503\"], budget = 100 }}\n{NO_OUTLIER}");
    let proxy = Proxy::start(&pool_of(&[origin.address], settings));
    let started = Instant::now();
    assert_eq!(proxy.get("/short").send().status, 200);
    assert!(started.elapsed().as_millis() >= 1000);
    let answer = proxy.get("/long").send();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("60")));
    assert_eq!(origin.heads().len(), 3);
}

#[test]
fn the_budget_bounds_the_retries_of_a_service_that_fails() {
    let (one, two) = (Origin::answering(UNAVAILABLE), Origin::answering(UNAVAILABLE));
    let settings =
        format!("retry = {{ on = [\"503\"], attempts = 5, backoff = \"1ms\" }}\n{NO_OUTLIER}");
    let proxy = Proxy::start(&pool_of(&[one.address, two.address], settings));
    let mut client = crate::support::Client::connect(proxy.address);
    for _ in 0..200 {
        assert_eq!(proxy.get("/a").send_on(&mut client).status, 503);
    }
    let sent = one.heads().len() + two.heads().len();
    assert!((210..=240).contains(&sent), "{sent} tries of 200 requests");
    assert!(proxy.metric("proxy_retries_refused_total{reason=\"status\"}") > 0.0);
}

#[test]
fn what_cannot_be_sent_again_costs_the_budget_nothing() {
    let (one, two) = (Origin::answering(UNAVAILABLE), Origin::answering(UNAVAILABLE));
    let settings = format!("retry = {{ on = [\"503\"], body_limit = \"1KiB\" }}\n{NO_OUTLIER}");
    let proxy = Proxy::start(&pool_of(&[one.address, two.address], settings));
    for _ in 0..30 {
        let answer = proxy.request("PUT", "/large").body("x".repeat(2000)).send();
        assert_eq!(answer.status, 503);
    }
    assert_eq!(one.heads().len() + two.heads().len(), 30);
    assert_eq!(proxy.get("/last").send().status, 503);
    assert_eq!(one.heads().len() + two.heads().len(), 32, "another try was made");
}

#[test]
fn a_route_overrides_its_service() {
    let (broken, well) = (resetting(), Origin::answering(OK));
    let config = pool_of(&[broken.address, well.address], UNBOUNDED).replace(
        "name = \"all\"",
        "name = \"all\"\nretry = { on = [\"reset\"], methods = \"any\" }",
    );
    let proxy = Proxy::start(&config);
    assert!((0..20).all(|_| proxy.request("POST", "/a").body("x").send().status == 200));
    assert!(!broken.heads().is_empty());
}

#[test]
fn a_retry_after_date_that_is_far_off_ends_the_tries() {
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n\
                Content-Length: 4\r\n\r\nbusy";
    let origin = Origin::answering(busy);
    let settings = format!("retry = {{ on = [\"503\"], budget = 100 }}\n{NO_OUTLIER}");
    let proxy = Proxy::start(&pool_of(&[origin.address], settings));
    let answer = proxy.get("/a").send();
    assert_eq!((answer.status, answer.text().as_str()), (503, "busy"));
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn an_answer_that_opens_the_only_breaker_passes_as_it_is() {
    let busy = Origin::answering(UNAVAILABLE);
    let settings = format!(
        "retry = {{ on = [\"503\"], budget = 100 }}\nbreaker = {{ min_requests = 1 }}\n{NO_OUTLIER}"
    );
    let proxy = Proxy::start(&pool_of(&[busy.address], settings));
    let answer = proxy.get("/a").send();
    assert_eq!((answer.status, answer.text().as_str()), (503, "busy"));
    assert_eq!(answer.header("proxy-status"), None);
    assert_eq!(busy.heads().len(), 1);
    assert_eq!(proxy.get("/b").send().status, 503);
    assert_eq!(proxy.access_line("/b")["reason"], "circuit_open");
}

#[test]
fn a_body_that_comes_byte_by_byte_is_held_in_no_more_than_its_bytes() {
    const LENGTH: usize = 60_000;
    const SINGLE: usize = 4000;
    let (took, taken) = mpsc::channel();
    let origin = Origin::start(move |exchange| {
        while exchange.request().is_some() {
            let (mut left, mut buffer) = (LENGTH, [0; 4096]);
            while left > 0 {
                let read = exchange.read(&mut buffer);
                assert!(read > 0, "the body is cut");
                left -= read;
                let _ = took.send(read);
            }
            exchange.write(OK);
        }
    });
    let settings = format!("retry = {{ on = [\"reset\"] }}\n{NO_OUTLIER}");
    let proxy = Proxy::start(&pool_of(&[origin.address], settings));
    // What any such request takes is taken.
    assert_eq!(proxy.request("PUT", "/a").body([b'x'; LENGTH]).send().status, 200);
    assert_eq!(taken.try_iter().sum::<usize>(), LENGTH);
    let (_, before) = proxy.program.memory_kib();
    let mut client = crate::support::Client::connect(proxy.address);
    client.write(format!("PUT /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: {LENGTH}\r\n\r\n"));
    for _ in 0..SINGLE {
        client.write("x");
        assert_eq!(taken.recv_timeout(PATIENCE), Ok(1), "each byte passes by itself");
    }
    client.write([b'x'; LENGTH - SINGLE]);
    assert_eq!(client.answer("PUT").status, 200);
    let (_, most) = proxy.program.memory_kib();
    assert!(most < before + (4 << 10), "{before} KiB became {most}");
}
