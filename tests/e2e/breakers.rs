//! A breaker opens for an endpoint that fails too often, tries it again, and closes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crate::support::{Client, Exchange, Origin, Proxy, eventually, pool_of};

/// A proxy whose breaker has just opened for four failures of an origin that does what `recovered`
/// says from then on.
fn opened(open: &str, recovered: fn(&mut Exchange)) -> (Origin, Proxy) {
    let asked = AtomicUsize::new(0);
    let origin = Origin::start(move |exchange| {
        while exchange.connection == 0 && asked.load(SeqCst) < 4 && exchange.request().is_some() {
            asked.fetch_add(1, SeqCst);
            exchange.write("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n");
        }
        recovered(exchange);
    });
    let settings = format!(
        "outlier = {{ consecutive_failures = \"off\" }}\n\
         breaker = {{ min_requests = 4, open = \"{open}\" }}"
    );
    let proxy = Proxy::start(&pool_of(&[origin.address], settings));
    assert!((0..4).all(|_| proxy.get("/a").send().status == 500));
    (origin, proxy)
}

#[test]
fn it_opens_lets_trials_through_and_closes() {
    let is_well = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_well);
    let origin = Origin::start(move |exchange| {
        while exchange.request().is_some() {
            let status = if seen.load(SeqCst) { "200 OK" } else { "500 Broken" };
            exchange.write(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let settings = "outlier = { consecutive_failures = \"off\" }\n\
         breaker = { failure_ratio = 0.5, min_requests = 4, open = \"500ms\" }";
    let proxy = Proxy::start(&pool_of(&[origin.address], settings));
    let state = format!("{{service=\"pool\",endpoint=\"http://{}\"}}", origin.address);
    for _ in 0..4 {
        assert_eq!(proxy.get("/a").send().status, 500);
    }
    let answer = proxy.get("/refused").send();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    let why = answer.header("proxy-status").expect("says why");
    assert!(why.contains("circuit_open"), "{why}");
    assert_eq!(proxy.access_line("/refused")["reason"], "circuit_open");
    assert_eq!(origin.heads().len(), 4);
    assert_eq!(proxy.metric(&format!("proxy_breaker_state{state}")), 2.0);
    is_well.store(true, SeqCst);
    eventually("a trial", || (proxy.get("/b").send().status == 200).then_some(()));
    eventually("it to close", || {
        proxy.get("/c").send();
        (proxy.metric(&format!("proxy_breaker_state{state}")) == 0.0).then_some(())
    });
    assert!((0..20).all(|_| proxy.get("/d").send().status == 200));
    assert_eq!(proxy.metric(&format!("proxy_breaker_opens_total{state}")), 1.0);
}

#[test]
fn answers_that_stay_open_close_it() {
    let (origin, proxy) = opened("200ms", |exchange| {
        while exchange.request().is_some() {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n");
            exchange.wait_for_close();
        }
    });
    let state =
        format!("proxy_breaker_state{{service=\"pool\",endpoint=\"http://{}\"}}", origin.address);
    let mut streams = Vec::new();
    eventually("it to close", || {
        let mut client = Client::connect(proxy.address);
        client.write("GET /events HTTP/1.1\r\nHost: a.test\r\n\r\n");
        if client.head().0.contains("200") {
            streams.push(client);
        }
        (proxy.metric(&state) == 0.0).then_some(())
    });
    assert_eq!(streams.len(), 3, "all of them are open");
}

#[test]
fn a_client_that_leaves_during_the_trial_gives_it_back_at_once() {
    let (origin, proxy) = opened("6s", |exchange| {
        while let Some(head) = exchange.request() {
            if head.line.contains("/wait") {
                return exchange.wait_for_close();
            }
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    eventually("it to be half-open", || (proxy.get("/b").send().status == 200).then_some(()));
    let began = Instant::now();
    let mut client = Client::connect(proxy.address);
    client.write("GET /wait HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the trial", || origin.last_head().line.contains("/wait").then_some(()));
    assert_eq!(proxy.get("/beside").send().status, 503);
    drop(client);
    eventually("the next trial", || (proxy.get("/c").send().status == 200).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(6), "it was given up, not given back");
}

/// Each trial ends when the next one has begun.
#[test]
fn an_endpoint_that_answers_well_but_slower_than_it_is_open_closes_it() {
    let (origin, proxy) = opened("200ms", |exchange| {
        while let Some(head) = exchange.request() {
            exchange.body(&head);
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let state =
        format!("proxy_breaker_state{{service=\"pool\",endpoint=\"http://{}\"}}", origin.address);
    let trial = || {
        eventually("a trial", || {
            let mut client = Client::connect(proxy.address);
            client.write("POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\n");
            client.write("Content-Length: 1\r\n\r\n");
            client.head().0.contains("100").then_some(client)
        })
    };
    let mut running = trial();
    for _ in 0..3 {
        assert_eq!(proxy.metric(&state), 1.0, "it is half-open");
        let next = trial();
        running.write("x");
        assert_eq!(running.answer("POST").status, 200);
        running = next;
    }
    proxy.wait_for_metric(&state, 0.0);
    assert_eq!(proxy.get("/well").send().status, 200);
}
