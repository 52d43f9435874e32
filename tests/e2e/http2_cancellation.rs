//! A client that resets a stream, or leaves with all of them, cancels what was done for it: the
//! origin's connection is closed, the log says who gave up, and no other stream is disturbed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver},
    },
    time::Instant,
};

use crate::support::{
    Exchange, Origin, PATIENCE, Proxy, eventually,
    http2::{Credit, Fields, Http2, Outcome, frame},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An origin that answers `/other` and handles all else with `handle`, and then reports that its
/// connection closed.
fn abandoned_origin(
    handle: impl Fn(&mut Exchange) + Send + Sync + 'static,
) -> (Origin, Receiver<()>) {
    let (report, closed) = mpsc::channel();
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            if head.line.contains("/other") {
                exchange.write(OK);
                continue;
            }
            handle(exchange);
            let started = Instant::now();
            exchange.wait_for_close();
            if started.elapsed() < PATIENCE / 2 {
                let _ = report.send(());
            }
            return;
        }
    });
    (origin, closed)
}

fn wait_for(origin: &Origin, path: &str) {
    eventually("the request to arrive", || {
        origin.heads().iter().any(|head| head.line.contains(path)).then_some(())
    });
}

/// The origin is let go, the log says who gave up, and the connection serves others.
fn assert_cancelled(proxy: &Proxy, client: &mut Http2, closed: &Receiver<()>, status: u16) {
    closed.recv_timeout(PATIENCE / 2).expect("the origin sees its connection close");
    let line = proxy.access_line("/a");
    assert_eq!((&line["status"], &line["reason"]), (&status.into(), &"client_closed".into()));
    assert_eq!(proxy.metric("proxy_errors_total{reason=\"client_closed\"}"), 1.0);
    proxy.wait_for_metric("proxy_http2_resets_total{by=\"client\"}", 1.0);
    assert_eq!(client.ask(&Fields::get("/other")).text(), "ok");
    proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
}

#[test]
fn a_reset_before_the_answer_cancels_the_request() {
    let (origin, closed) = abandoned_origin(|_| {});
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let stream = client.send(&Fields::get("/a"));
    wait_for(&origin, "/a");
    client.write(frame::reset(stream, frame::CANCEL));
    assert_cancelled(&proxy, &mut client, &closed, 499);
}

#[test]
fn a_reset_amid_the_upload_cancels_the_request() {
    let (origin, closed) = abandoned_origin(|_| {});
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(&Fields::post("/a").with("content-length", "100"));
    client.data(stream, b"only this", false);
    wait_for(&origin, "/a");
    client.write(frame::reset(stream, frame::CANCEL));
    assert_cancelled(&proxy, &mut client, &closed, 499);
}

#[test]
fn a_reset_amid_the_answer_cancels_the_request() {
    let (origin, closed) = abandoned_origin(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let stream = client.send(&Fields::get("/a"));
    client.until(stream, |reply| reply.body == b"only this");
    client.write(frame::reset(stream, frame::NO_ERROR));
    assert_cancelled(&proxy, &mut client, &closed, 200);
}

/// The answer has no end and the window is shut: the proxy waits for the client.
#[test]
fn a_reset_of_an_answer_that_is_held_up_cancels_the_request() {
    let (origin, closed) = abandoned_origin(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        while exchange.write([b'x'; 64 << 10]) {}
    });
    let proxy = Proxy::start(&origin.config());
    let settings = [(frame::INITIAL_WINDOW_SIZE, 1000)];
    let mut client = Http2::with(proxy.address, &settings, Credit::Kept);
    let stream = client.send(&Fields::get("/a"));
    client.until(stream, |reply| reply.body.len() == 1000);
    client.write(frame::reset(stream, frame::CANCEL));
    assert_cancelled(&proxy, &mut client, &closed, 200);
}

#[test]
fn a_client_that_leaves_cancels_all_that_it_asked() {
    let (origin, closed) = abandoned_origin(|_| {});
    let proxy = Proxy::start(&origin.config());
    for in_order in [true, false] {
        let mut client = Http2::connect(proxy.address);
        let known = origin.heads().len();
        for stream in 0..20 {
            client.send(&Fields::get(&format!("/{stream}")));
        }
        eventually("the requests to arrive", || (origin.heads().len() == known + 20).then_some(()));
        if !in_order {
            // What is left unread makes the kernel reset the connection.
            let socket = client.writer();
            let linger = Some(std::time::Duration::ZERO);
            socket2::SockRef::from(&socket).set_linger(linger).expect("can be set");
        }
        drop(client);
        for _ in 0..20 {
            closed.recv_timeout(PATIENCE / 2).expect("the origin sees its connection close");
        }
    }
    proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
    proxy.wait_for_metric("proxy_errors_total{reason=\"client_closed\"}", 40.0);
    assert_eq!(proxy.access_line("/7")["status"], 499);
}

/// A client that sends no more may still read what it asked for, or is taken for gone: with HTTP/2
/// nothing can come back without its frames, so it is the latter.
#[test]
fn a_client_that_ends_its_side_leaves_nothing_running() {
    let (origin, closed) = abandoned_origin(|_| {});
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    client.send(&Fields::get("/a"));
    wait_for(&origin, "/a");
    client.shutdown();
    closed.recv_timeout(PATIENCE / 2).expect("the origin sees its connection close");
    client.ending();
    proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
}

/// What was reset may still be answered at the same moment: no answer goes to another stream.
#[test]
fn no_answer_goes_astray_while_one_in_twenty_is_reset() {
    let origin = Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            let target = head.line.split(' ').nth(1).expect("has a target").repeat(100);
            exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", target.len()));
            exchange.write(target);
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let (mut whole, mut cancelled) = (0, 0);
    for round in 0..200 {
        let streams: Vec<(String, u32)> = (0..10)
            .map(|n| {
                let path = format!("/{round}-{n}");
                let stream = client.send(&Fields::get(&path));
                (path, stream)
            })
            .collect();
        for (n, (path, stream)) in streams.iter().enumerate() {
            if (round * 10 + n) % 20 == 0 {
                client.write(frame::reset(*stream, frame::CANCEL));
                cancelled += 1;
                continue;
            }
            let reply = client.reply(*stream);
            assert!(
                reply.is_whole && reply.text() == path.repeat(100),
                "{path}: {:?}",
                reply.reset
            );
            whole += 1;
        }
    }
    assert_eq!((whole, cancelled), (1900, 100));
    assert_eq!(client.goaway(), None);
    proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
    proxy.wait_for_metric("proxy_upstream_connections{state=\"active\"}", 0.0);
}

/// Streams that were given up make room at once, however slow their origin is.
#[test]
fn a_reset_stream_gives_its_place_up() {
    let (origin, closed) = abandoned_origin(|_| {});
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let most = client.setting(frame::MAX_CONCURRENT_STREAMS).expect("is announced");
    let streams: Vec<u32> = (0..most).map(|_| client.send(&Fields::get("/slow"))).collect();
    eventually("them to arrive", || (origin.heads().len() == most as usize).then_some(()));
    for stream in streams {
        client.write(frame::reset(stream, frame::CANCEL));
    }
    for _ in 0..most {
        closed.recv_timeout(PATIENCE / 2).expect("the origin sees its connection close");
    }
    let stream = client.send(&Fields::get("/other"));
    assert_eq!(client.outcome(stream), Outcome::Status(200));
}

/// A request that waits for a place at its service gives its turn up.
#[test]
fn a_reset_ends_the_wait_for_a_place() {
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let origin = Origin::start(move |exchange| {
        while exchange.request().is_some() {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = held.lock().expect("no panic").recv_timeout(PATIENCE);
            exchange.write(OK);
        }
    });
    let limits = "limits = { max_in_flight = 1, queue = 5, queue_timeout = \"20s\" }";
    let proxy = Proxy::start(&format!("{}{limits}\n", origin.config()));
    let depth = || proxy.metric("proxy_queue_depth{service=\"origin\"}");
    let mut client = Http2::connect(proxy.address);
    let first = client.send(&Fields::get("/first"));
    eventually("it to be at the origin", || (asked.load(Ordering::SeqCst) == 1).then_some(()));
    let waiting = client.send(&Fields::get("/waiting"));
    eventually("it to wait", || (depth() == 1.0).then_some(()));
    client.write(frame::reset(waiting, frame::CANCEL));
    eventually("the place to be free", || (depth() == 0.0).then_some(()));
    release.send(()).expect("the origin waits");
    assert_eq!(client.reply(first).text(), "ok");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
