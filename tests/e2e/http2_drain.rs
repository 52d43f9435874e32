//! A stop signal on HTTP/2: clients are told with GOAWAY which streams are still served, those are
//! finished, no later one is, and the connection ends in order.

use std::{
    net::TcpStream,
    sync::{Arc, RwLock, RwLockWriteGuard},
    time::{Duration, Instant},
};

use crate::support::{
    Origin, Proxy, eventually,
    http2::{Fields, Http2, Outcome, frame},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";

/// An origin that answers `/held` only while nobody has the gate, and everything else at once.
fn gated_origin() -> (Origin, Arc<RwLock<()>>) {
    let gate = Arc::new(RwLock::new(()));
    let passed = Arc::clone(&gate);
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            if head.line.contains("/held") {
                drop(passed.read());
            }
            exchange.body(&head);
            exchange.write(OK);
        }
    });
    (origin, gate)
}

fn shut(gate: &RwLock<()>) -> RwLockWriteGuard<'_, ()> {
    gate.write().expect("nobody has panicked")
}

fn wait_for(origin: &Origin, count: usize) {
    eventually("the requests to arrive", || (origin.heads().len() >= count).then_some(()));
}

/// Sends TERM and waits until nobody takes connections any more.
fn drain(proxy: &Proxy) {
    proxy.program.signal("TERM");
    eventually("connections to be refused", || TcpStream::connect(proxy.address).err());
}

/// Reads until the proxy has said goodbye.
fn wait_for_goaway(client: &mut Http2) -> (u32, u32) {
    while client.goaway().is_none() {
        client.read_on("a GOAWAY");
    }
    client.goaway().expect("was said")
}

#[test]
fn streams_that_run_are_finished_and_the_connection_ends_in_order() {
    let (origin, gate) = gated_origin();
    let mut proxy = Proxy::start(&origin.config());
    let held = shut(&gate);
    let mut client = Http2::connect(proxy.address);
    let streams: Vec<u32> = (0..50).map(|_| client.send(&Fields::get("/held"))).collect();
    wait_for(&origin, 50);

    drain(&proxy);
    let (_, code) = wait_for_goaway(&mut client);
    drop(held);
    let outcomes: Vec<Outcome> = streams.iter().map(|stream| client.outcome(*stream)).collect();
    let ending = client.ending();

    assert_eq!(code, frame::NO_ERROR);
    assert!(outcomes.iter().all(|one| *one == Outcome::Status(200)), "{outcomes:?}");
    assert!(ending.in_order);
    assert_eq!(ending.goaway, Some((*streams.last().expect("there are some"), frame::NO_ERROR)));
    assert_eq!(proxy.program.exit_code(), Some(0));
    let whole = |line: &serde_json::Value| line["status"] == 200 && line["reason"].is_null();
    let lines = eventually("50 access lines", || {
        Some(proxy.access_lines()).filter(|lines| lines.len() >= 50)
    });
    assert!(lines.iter().all(whole), "{lines:#?}");
}

#[test]
fn a_stream_behind_the_goodbye_is_not_served() {
    let (origin, gate) = gated_origin();
    let mut proxy = Proxy::start(&origin.config());
    let held = shut(&gate);
    let mut client = Http2::connect(proxy.address);
    let first = client.send(&Fields::get("/held"));
    wait_for(&origin, 1);

    drain(&proxy);
    // The first GOAWAY may be a warning with the highest number (RFC 9113 section 6.8).
    while wait_for_goaway(&mut client).0 != first {
        client.read_on("the last GOAWAY");
    }
    let late = client.send(&Fields::get("/late"));
    drop(held);

    assert_eq!(client.outcome(first), Outcome::Status(200));
    client.ending();
    let reply = client.reply_so_far(late).clone();
    assert_eq!(
        (reply.status, reply.reset.unwrap_or(frame::REFUSED_STREAM)),
        (0, frame::REFUSED_STREAM)
    );
    assert!(!origin.heads().iter().any(|head| head.line.contains("/late")));
    assert_eq!(proxy.program.exit_code(), Some(0));
}

/// Between the signal and the last GOAWAY the client cannot know: what it sends is served, or its
/// number is above the last.
#[test]
fn no_request_is_lost_between_the_signal_and_the_goodbye() {
    let (origin, _gate) = gated_origin();
    let mut proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    proxy.program.signal("TERM");
    let mut streams = Vec::new();
    while client.goaway().is_none() {
        let stream = client.next_stream();
        if !client.try_write(frame::headers(stream, &Fields::get("/now").block(), true)) {
            break;
        }
        streams.push(stream);
        client.outcome(stream);
    }
    let ending = client.ending();
    let (last, code) = ending.goaway.expect("a goodbye is said");
    assert_eq!(code, frame::NO_ERROR);
    for stream in streams {
        let reply = client.reply_so_far(stream);
        assert!(
            stream > last || (reply.is_whole && reply.status == 200),
            "{stream} {last} {reply:?}"
        );
    }
    assert_eq!(proxy.program.exit_code(), Some(0));
}

#[test]
fn an_upload_that_is_under_way_is_finished() {
    let (origin, _gate) = gated_origin();
    let mut proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(&Fields::post("/up").with("content-length", "200000"));
    client.data(stream, &[b'x'; 1000], false);
    wait_for(&origin, 1);

    drain(&proxy);
    wait_for_goaway(&mut client);
    client.data(stream, &[b'x'; 199_000], true);

    assert_eq!(client.reply(stream).text(), "done");
    assert_eq!(proxy.program.exit_code(), Some(0));
}

#[test]
fn idle_connections_go_at_once() {
    for requests in 0..2 {
        let (origin, _gate) = gated_origin();
        let mut proxy = Proxy::start(&origin.config());
        let mut client = Http2::connect(proxy.address);
        let mut silent = Http2::silent(proxy.address);
        silent.write(&frame::PREFACE[..10]);
        for _ in 0..requests {
            assert_eq!(client.ask(&Fields::get("/")).text(), "done");
        }

        let started = Instant::now();
        proxy.program.signal("TERM");
        let ending = client.ending();
        let code = proxy.program.exit_code();

        assert_eq!(ending.goaway.map(|(_, code)| code), Some(frame::NO_ERROR));
        assert_eq!(code, Some(0), "after {requests} requests");
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    }
}

/// A client that reads nothing cannot hold the end up beyond the timeout.
#[test]
fn a_stream_that_outlasts_the_drain_timeout_is_cut_and_the_exit_code_says_so() {
    let (origin, gate) = gated_origin();
    let config = format!("server = {{ drain_timeout = \"300ms\" }}\n{}", origin.config());
    let mut proxy = Proxy::start(&config);
    let _held = shut(&gate);
    let mut client = Http2::connect(proxy.address);
    let stream = client.send(&Fields::get("/held"));
    wait_for(&origin, 1);

    let started = Instant::now();
    proxy.program.signal("TERM");
    let outcome = client.outcome(stream);
    let code = proxy.program.exit_code();

    assert_ne!(outcome, Outcome::Status(200));
    assert_eq!(code, Some(3));
    assert!(started.elapsed() >= Duration::from_millis(300), "it had no time");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert_eq!(proxy.access_line("/held")["path"], "/held");
}

#[test]
fn an_end_in_order_leaves_no_complaint() {
    let (origin, _gate) = gated_origin();
    let mut proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    client.ask(&Fields::get("/"));
    proxy.program.signal("TERM");
    client.ending();
    proxy.program.exit_code();
    let complaint = |line: &String| line.contains("panicked") || line.contains("ERROR");
    let stderr = proxy.program.stderr();
    assert!(!stderr.iter().any(complaint), "{stderr:#?}");
}
