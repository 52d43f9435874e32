//! Bounds on what one HTTP/2 connection may ask for: streams, heads, fields, targets. What breaks
//! one is refused by itself; the connection goes on where it can.

use std::sync::{Arc, RwLock};

use crate::support::{
    Origin, Proxy, eventually,
    http2::{Fields, Http2, Outcome, Reply, frame, frame::Frame, literal},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn world(server: &str) -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&format!("[server]\n{server}\n{}", origin.config()));
    (origin, proxy)
}

/// An origin that answers while nobody has the gate.
fn gated() -> (Origin, Arc<RwLock<()>>) {
    let gate = Arc::new(RwLock::new(()));
    let passed = Arc::clone(&gate);
    let origin = Origin::start(move |exchange| {
        while exchange.request().is_some() {
            drop(passed.read());
            exchange.write(OK);
        }
    });
    (origin, gate)
}

/// Whether the proxy says this reason to the client and in the log.
fn assert_refused(proxy: &Proxy, reply: &Reply, status: u16, reason: &str) {
    assert_eq!((reply.status, reply.reason()), (status, Some(reason)));
    assert!(reply.is_whole && reply.header("x-request-id").is_some(), "{reply:?}");
    let line = eventually("an access line", || {
        proxy.access_lines().into_iter().find(|line| line["reason"] == reason)
    });
    assert_eq!(line["status"], status);
    assert!(proxy.metric(&format!("proxy_errors_total{{reason=\"{reason}\"}}")) >= 1.0);
}

#[test]
fn the_bounds_are_announced() {
    let (_origin, proxy) = world("");
    let client = Http2::connect(proxy.address);
    let streams = client.setting(frame::MAX_CONCURRENT_STREAMS).expect("is announced");
    // RFC 9113 section 6.5.2 recommends 100 or more.
    assert!((100..=1000).contains(&streams), "{streams}");
    let list = client.setting(frame::MAX_HEADER_LIST_SIZE).expect("is announced");
    assert!((32 << 10..=1 << 20).contains(&list), "{list}");
    assert!(client.setting(frame::ENABLE_PUSH).is_none_or(|push| push == 0));
}

#[test]
fn streams_up_to_the_bound_are_served_and_one_more_is_refused() {
    let (origin, gate) = gated();
    let proxy = Proxy::start(&origin.config());
    let held = gate.write().expect("nobody has panicked");
    let mut client = Http2::connect(proxy.address);
    let most = client.setting(frame::MAX_CONCURRENT_STREAMS).expect("is announced");
    let streams: Vec<u32> =
        (0..most).map(|n| client.send(&Fields::get(&format!("/{n}")))).collect();
    let more: Vec<u32> = (0..5).map(|_| client.send(&Fields::get("/more"))).collect();
    for stream in more {
        assert_eq!(client.outcome(stream), Outcome::Reset(frame::REFUSED_STREAM));
    }
    drop(held);
    for stream in streams {
        assert_eq!(client.outcome(stream), Outcome::Status(200), "{stream}");
    }
    // What was refused may be asked again.
    assert_eq!(client.ask(&Fields::get("/again")).text(), "ok");
    assert!(!origin.heads().iter().any(|head| head.line.contains("/more")));
}

#[test]
fn a_head_that_is_too_large_is_431() {
    let (origin, proxy) = world("max_header_bytes = \"2KiB\"");
    let mut client = Http2::connect(proxy.address);
    let large = |length: usize| Fields::get("/").with("x", "v".repeat(length));
    assert_eq!(client.ask(&large(1000)).text(), "ok");
    assert_refused(&proxy, &client.ask(&large(2500)), 431, "headers_too_large");
    assert_eq!(client.ask(&large(1000)).text(), "ok", "the connection goes on");
    assert_eq!(origin.heads().len(), 2);
}

/// The default bound, crossed by fields in many frames.
#[test]
fn a_head_too_large_in_many_frames_is_431() {
    let (origin, proxy) = world("");
    let mut client = Http2::connect(proxy.address);
    let fields =
        (0..5).fold(Fields::get("/"), |all, n| all.with(format!("x{n}"), "v".repeat(7500)));
    let stream = client.send(&fields);
    assert_refused(&proxy, &client.reply(stream), 431, "headers_too_large");
    assert_eq!(client.ask(&Fields::get("/")).text(), "ok", "the connection goes on");
    assert_eq!(origin.heads().len(), 1);
}

/// Far beyond the bound there may be no answer, but there is an end, and little memory.
#[test]
fn a_head_far_too_large_is_refused_in_bounded_memory() {
    let (origin, proxy) = world("");
    assert_eq!(Http2::connect(proxy.address).ask(&Fields::get("/")).text(), "ok");
    let (before, _) = proxy.program.memory_kib();
    let mut clients: Vec<Http2> = (0..8).map(|_| Http2::connect(proxy.address)).collect();
    for client in &mut clients {
        let field = literal(b"x", &vec![b'v'; 16_000]);
        let stream = client.next_stream();
        let start = [Fields::get("/large").block(), field.clone()].concat();
        client.write(Frame::new(frame::HEADERS, frame::END_STREAM, stream, start).bytes());
        // 16 MiB in all.
        let more = Frame::new(frame::CONTINUATION, 0, stream, field).bytes();
        if (0..1000).all(|_| client.try_write(&more)) {
            client
                .try_write(Frame::new(frame::CONTINUATION, frame::END_HEADERS, stream, []).bytes());
        }
        let outcome = client.outcome(stream);
        assert_ne!(outcome, Outcome::Status(200));
    }
    let (_, most) = proxy.program.memory_kib();
    assert!(most < before + (32 << 10), "{before} KiB became {most}");
    assert!(!origin.heads().iter().any(|head| head.line.contains("/large")));
}

#[test]
fn too_many_fields_are_431() {
    let (origin, proxy) = world("max_headers = 10");
    let mut client = Http2::connect(proxy.address);
    let many =
        |count: usize| (0..count).fold(Fields::get("/"), |all, n| all.with(format!("x{n}"), "v"));
    assert_eq!(client.ask(&many(9)).text(), "ok");
    assert_refused(&proxy, &client.ask(&many(11)), 431, "headers_too_large");
    assert_refused(&proxy, &client.ask(&many(90)), 431, "headers_too_large");
    assert_eq!(client.ask(&many(9)).text(), "ok", "the connection goes on");
    assert_eq!(origin.heads().len(), 2);
}

#[test]
fn a_target_that_is_too_long_is_414() {
    let (origin, proxy) = world("max_uri = \"100B\"");
    let mut client = Http2::connect(proxy.address);
    let long = |length: usize| Fields::get(&format!("/{}", "x".repeat(length - 1)));
    assert_eq!(client.ask(&long(100)).text(), "ok");
    assert_refused(&proxy, &client.ask(&long(101)), 414, "uri_too_long");
    assert_refused(&proxy, &client.ask(&long(5000)), 414, "uri_too_long");
    assert_eq!(client.ask(&long(100)).text(), "ok", "the connection goes on");
    assert_eq!(origin.heads().len(), 2);
}

/// The default bound of a target, and one that no URI of the library holds.
#[test]
fn a_target_of_many_kibibytes_is_refused() {
    let (origin, proxy) = world("");
    for length in [9000, 20_000, 66_000] {
        let mut client = Http2::connect(proxy.address);
        let stream = client.send(&Fields::get(&format!("/{}", "x".repeat(length))));
        let outcome = client.outcome(stream);
        let is_refused = match outcome {
            Outcome::Status(status) => status == 414 || (status == 431 && length > 32 << 10),
            Outcome::Reset(_) | Outcome::GoAway(_) => length > 32 << 10,
            Outcome::Closed => false,
        };
        assert!(is_refused, "{length}: {outcome:?}");
    }
    assert_eq!(origin.heads().len(), 0);
}

/// `max_connections` counts connections, and each may have many streams.
#[test]
fn many_streams_are_one_connection() {
    let (origin, gate) = gated();
    let proxy = Proxy::start(&format!("[server]\nmax_connections = 2\n{}", origin.config()));
    let held = gate.write().expect("nobody has panicked");
    let mut client = Http2::connect(proxy.address);
    let streams: Vec<u32> = (0..20).map(|_| client.send(&Fields::get("/"))).collect();
    eventually("twenty at the origin", || (origin.heads().len() == 20).then_some(()));
    assert_eq!(proxy.metric("proxy_requests_in_flight"), 20.0);
    drop(held);
    for stream in streams {
        assert_eq!(client.outcome(stream), Outcome::Status(200));
    }
}
