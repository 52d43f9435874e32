//! Clients of HTTP/2 that stop halfway: each is ended by the deadline that holds for HTTP/1 too,
//! and what it held is let go.

use std::time::{Duration, Instant};

use crate::support::{
    Origin, Proxy, eventually,
    http2::{Credit, Fields, Http2, frame, frame::Frame},
};

/// Sooner than without the setting of the test, where the shortest default is 10 s; the rest is room for
/// a busy machine.
const BEFORE_THE_DEFAULT: Duration = Duration::from_millis(9500);

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn world(server: &str) -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&format!("[server]\n{server}\n{}", origin.config()));
    (origin, proxy)
}

fn pause(milliseconds: u64) {
    let (start, pause) = (Instant::now(), Duration::from_millis(milliseconds));
    eventually("time to pass", || (start.elapsed() > pause).then_some(()));
}

fn wait_until_let_go(proxy: &Proxy) {
    eventually("the connection to the origin to close", || {
        (proxy.metric("proxy_upstream_connections{state=\"active\"}") == 0.0).then_some(())
    });
}

#[test]
fn a_preface_that_does_not_end_closes_the_connection() {
    let (_origin, proxy) = world("header_timeout = \"300ms\"");
    for begun in [&b""[..], b"P", b"PRI * HT", &frame::PREFACE[..23]] {
        let mut client = Http2::silent(proxy.address);
        client.write(begun);
        let started = Instant::now();
        // An answer of HTTP/1 is none of HTTP/2: only the end is looked for.
        let mut stream = client.writer();
        std::io::copy(&mut stream, &mut std::io::sink())
            .unwrap_or_else(|error| panic!("{begun:?}: {error}"));
        let took = started.elapsed();
        assert!(took < BEFORE_THE_DEFAULT, "{begun:?}: {took:?}");
    }
}

#[test]
fn a_head_that_does_not_end_closes_the_connection() {
    let (origin, proxy) = world("header_timeout = \"500ms\"");
    let block = Fields::get("/slow").block();
    let whole = frame::headers(3, &block, true);
    let open = Frame::new(frame::HEADERS, frame::END_STREAM, 3, &block[..]).bytes();
    for begun in [&whole[..9], &whole[..20], &open] {
        let mut client = Http2::connect(proxy.address);
        assert_eq!(client.ask(&Fields::get("/")).text(), "ok");
        client.write(begun);
        let started = Instant::now();
        client.ending();
        let took = started.elapsed();
        assert!(Duration::from_millis(400) < took && took < BEFORE_THE_DEFAULT, "{took:?}");
    }
    assert!(!origin.heads().iter().any(|head| head.line.contains("/slow")));
}

/// Each frame comes in time, the block never ends.
#[test]
fn a_head_that_drips_closes_the_connection() {
    let (_origin, proxy) = world("header_timeout = \"500ms\"");
    let mut client = Http2::connect(proxy.address);
    let stream = client.next_stream();
    let block = [Fields::get("/").block(), b"\0\x01x\x7f\xff\x7f".to_vec()].concat();
    client.write(Frame::new(frame::HEADERS, frame::END_STREAM, stream, block).bytes());
    let mut writer = client.writer();
    let drip = Frame::new(frame::CONTINUATION, 0, stream, b"v").bytes();
    let started = Instant::now();
    eventually("the connection to be closed", || {
        pause(100);
        std::io::Write::write_all(&mut writer, &drip).err()
    });
    assert!(started.elapsed() < BEFORE_THE_DEFAULT, "{:?}", started.elapsed());
}

#[test]
fn a_body_that_does_not_come_is_answered_408_and_lets_the_origin_go() {
    let (origin, proxy) = world("body_timeout = \"500ms\"");
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(&Fields::post("/stall").with("content-length", "100"));
    client.data(stream, b"part", false);
    eventually("the request to arrive", || origin.heads().pop());
    let reply = client.reply(stream);
    assert_eq!((reply.status, reply.reason()), (408, Some("request_timeout")));
    wait_until_let_go(&proxy);
    assert_eq!(proxy.access_line("/stall")["reason"], "request_timeout");
    assert_eq!(client.ask(&Fields::get("/next")).text(), "ok", "the connection goes on");
}

/// Other streams keep the connection busy; the deadline is each stream's own.
#[test]
fn a_body_that_does_not_come_is_408_on_a_busy_connection() {
    let (_origin, proxy) = world("body_timeout = \"500ms\"");
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(&Fields::post("/stall"));
    client.data(stream, b"part", false);
    eventually("the answer", || {
        assert_eq!(client.ask(&Fields::get("/busy")).text(), "ok");
        let status = client.reply_so_far(stream).status;
        (status == 408).then_some(())
    });
}

#[test]
fn a_body_that_drips_is_408() {
    let (_origin, proxy) = world("body_timeout = \"500ms\"");
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(&Fields::post("/drip"));
    let started = Instant::now();
    let status = eventually("the answer", || {
        if client.reply_so_far(stream).reset.is_none() {
            client.data(stream, b"x", false);
        }
        pause(50);
        assert!(client.ping());
        Some(client.reply_so_far(stream).status).filter(|status| *status > 0)
    });
    assert_eq!(status, 408);
    assert!(started.elapsed() < BEFORE_THE_DEFAULT, "{:?}", started.elapsed());
}

/// An origin without end, and a proxy in front of it that waits a second for its clients.
fn world_without_end() -> (Origin, Proxy) {
    let endless = Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            if head.line.contains("/short") {
                exchange.write(OK);
                continue;
            }
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while exchange.write([b'x'; 64 << 10]) {}
            return;
        }
    });
    let proxy = Proxy::start(&format!("[server]\nwrite_timeout = \"1s\"\n{}", endless.config()));
    (endless, proxy)
}

#[test]
fn an_answer_that_is_given_no_window_is_reset_and_the_connection_goes_on() {
    let (_endless, proxy) = world_without_end();
    let settings = [(frame::INITIAL_WINDOW_SIZE, 10_000)];
    let mut client = Http2::with(proxy.address, &settings, Credit::Kept);
    let stream = client.send(&Fields::get("/a"));
    let reply = client.reply(stream);
    assert!(!reply.is_whole && reply.reset.is_some(), "{:?} {}", reply.reset, reply.body.len());
    assert_eq!(reply.body.len(), 10_000);
    assert_eq!(client.ask(&Fields::get("/short")).text(), "ok", "the connection goes on");
    let line = proxy.access_line("/a");
    assert_eq!((&line["status"], &line["reason"]), (&200.into(), &"write_timeout".into()));
    wait_until_let_go(&proxy);
}

#[test]
fn an_answer_that_is_given_no_window_of_the_connection_is_ended() {
    let (_endless, proxy) = world_without_end();
    let settings = [(frame::INITIAL_WINDOW_SIZE, 1 << 30)];
    let mut client = Http2::with(proxy.address, &settings, Credit::Kept);
    let stream = client.send(&Fields::get("/a"));
    let reply = client.reply(stream);
    assert!(!reply.is_whole);
    assert_eq!(reply.body.len(), 65_535);
    assert_eq!(proxy.access_line("/a")["reason"], "write_timeout");
    wait_until_let_go(&proxy);
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let (_endless, proxy) = world_without_end();
    let settings = [(frame::INITIAL_WINDOW_SIZE, (1 << 31) - 1)];
    let mut client = Http2::with(proxy.address, &settings, Credit::Kept);
    client.write(frame::window_update(0, (1 << 31) - 65_536));
    client.send(&Fields::get("/a"));
    assert_eq!(proxy.access_line("/a")["reason"], "write_timeout");
    wait_until_let_go(&proxy);
}

/// Heads of answers need no window: they wait for the socket.
#[test]
fn a_client_that_reads_no_heads_is_cut() {
    let long = "v".repeat(30 << 10);
    let origin = Origin::answering(format!("HTTP/1.1 204 No Content\r\nX-Long: {long}\r\n\r\n"));
    let proxy = Proxy::start(&format!("[server]\nwrite_timeout = \"1s\"\n{}", origin.config()));
    let client = Http2::connect(proxy.address);
    let mut writer = client.writer();
    writer.set_write_timeout(Some(Duration::from_millis(100))).expect("can be set");
    let block = Fields::get("/").block();
    let mut stream = 1;
    eventually("the connection to be closed", || {
        let request = frame::headers(stream, &block, true);
        stream += 2;
        let error = std::io::Write::write_all(&mut writer, &request).err()?;
        // The proxy does not read on while it cannot write.
        (error.kind() != std::io::ErrorKind::WouldBlock).then_some(())
    });
}

/// Small windows, opened steadily, are no stall.
#[test]
fn a_client_that_reads_slowly_but_steadily_is_served() {
    let (_endless, proxy) = world_without_end();
    let settings = [(frame::INITIAL_WINDOW_SIZE, 4096)];
    let mut client = Http2::with(proxy.address, &settings, Credit::Kept);
    let stream = client.send(&Fields::get("/a"));
    let start = Instant::now();
    for step in 1..=40 {
        let reply = client.until(stream, |reply| reply.body.len() == 4096 * step);
        assert_eq!(reply.body.len(), 4096 * step, "cut although it has read all the time");
        let due = Duration::from_millis(u64::try_from(step).expect("is small") * 75);
        eventually("the time to pass", || (start.elapsed() > due).then_some(()));
        client.give(0, 4096);
        client.give(stream, 4096);
    }
}

#[test]
fn an_idle_connection_is_told_to_go_and_a_busy_one_is_not() {
    let (_origin, proxy) = world("idle_timeout = \"500ms\"");
    for requests in 0..2 {
        let mut client = Http2::connect(proxy.address);
        for _ in 0..requests {
            assert_eq!(client.ask(&Fields::get("/")).text(), "ok");
        }
        let started = Instant::now();
        let ending = client.ending();
        assert_eq!(ending.goaway.map(|(_, code)| code), Some(frame::NO_ERROR));
        let took = started.elapsed();
        assert!(Duration::from_millis(400) < took && took < BEFORE_THE_DEFAULT, "{took:?}");
    }
    let slow = Origin::start(|exchange| {
        if exchange.request().is_some() {
            pause(1200);
            exchange.write(OK);
        }
    });
    let timeouts = "header_timeout = \"300ms\"\nidle_timeout = \"300ms\"\nbody_timeout = \"300ms\"";
    let proxy = Proxy::start(&format!("[server]\n{timeouts}\n{}", slow.config()));
    assert_eq!(Http2::connect(proxy.address).ask(&Fields::get("/slow")).text(), "ok");
}

/// What keeps a connection open is a request, not a PING.
#[test]
fn pings_do_not_keep_an_idle_connection() {
    let (_origin, proxy) = world("idle_timeout = \"500ms\"");
    let mut client = Http2::connect(proxy.address);
    let started = Instant::now();
    eventually("the connection to end", || {
        pause(100);
        (!client.ping()).then_some(())
    });
    assert!(started.elapsed() < BEFORE_THE_DEFAULT, "{:?}", started.elapsed());
}
