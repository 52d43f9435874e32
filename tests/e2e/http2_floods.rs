//! Floods over HTTP/2: frames that cost their sender little are held to a rate, and whatever comes,
//! memory stays bounded, the work of others goes on, and no work is left behind.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Origin, Proxy, eventually,
    http2::{Credit, Ending, Fields, Http2, frame, frame::Frame, integer, literal},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// How much more memory a flood may take.
const GROWTH_KIB: u64 = 32 << 10;

struct World {
    origin: Origin,
    proxy: Proxy,
    before_kib: u64,
}

impl World {
    fn start() -> Self {
        let origin = Origin::answering(OK);
        let proxy = Proxy::start(&origin.config());
        assert_eq!(Http2::connect(proxy.address).ask(&Fields::get("/")).text(), "ok");
        let (before_kib, _) = proxy.program.memory_kib();
        Self { origin, proxy, before_kib }
    }

    /// An origin that never answers.
    fn silent() -> Self {
        let origin = Origin::start(|exchange| {
            while let Some(head) = exchange.request() {
                if head.line.contains("/flood") {
                    exchange.wait_for_close();
                    return;
                }
                exchange.write(OK);
            }
        });
        let proxy = Proxy::start(&origin.config());
        assert_eq!(Http2::connect(proxy.address).ask(&Fields::get("/")).text(), "ok");
        let (before_kib, _) = proxy.program.memory_kib();
        Self { origin, proxy, before_kib }
    }

    fn client(&self) -> Http2 {
        Http2::connect(self.proxy.address)
    }

    /// Memory stayed within its bound, nothing is left running, and others are served.
    fn assert_unharmed(&self) {
        let (_, most) = self.proxy.program.memory_kib();
        let before = self.before_kib;
        assert!(most < before + GROWTH_KIB, "{before} KiB became {most}");
        self.proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
        self.proxy.wait_for_metric("proxy_upstream_connections{state=\"active\"}", 0.0);
        assert_eq!(self.client().ask(&Fields::get("/")).text(), "ok");
    }
}

/// Sends rounds of frames, each when the one before has been read, so that the proxy does not see
/// them all at once; how many it took before it ended the connection.
fn paced(client: &mut Http2, most: usize, mut round: impl FnMut(&mut Http2) -> Vec<u8>) -> usize {
    (0..most)
        .position(|_| {
            let bytes = round(client);
            !client.try_write(bytes) || !client.ping()
        })
        .unwrap_or(most)
}

fn assert_calmed(client: &mut Http2) {
    let Ending { goaway, .. } = client.ending();
    assert_eq!(goaway.map(|(_, code)| code), Some(frame::ENHANCE_YOUR_CALM));
}

/// CVE-2023-44487, slower than what the library counts by itself.
#[test]
fn streams_that_are_opened_and_reset_end_the_connection() {
    let world = World::silent();
    let mut client = world.client();
    let rounds = paced(&mut client, 1000, |client| {
        let open = |_| client.next_stream();
        let streams: Vec<u32> = (0..10).map(open).collect();
        let block = Fields::get("/flood").block();
        let opened: Vec<u8> =
            streams.iter().flat_map(|id| frame::headers(*id, &block, true)).collect();
        if !(client.try_write(opened) && client.ping()) {
            return Vec::new();
        }
        streams.iter().flat_map(|id| frame::reset(*id, frame::CANCEL)).collect()
    });
    assert!((60..600).contains(&rounds), "{rounds} rounds of ten resets");
    assert_calmed(&mut client);
    world.proxy.wait_for_metric("proxy_http2_floods_total", 1.0);
    world.assert_unharmed();
}

#[test]
fn all_at_once_they_end_it_too() {
    let world = World::silent();
    let mut client = world.client();
    let block = Fields::get("/flood").block();
    for _ in 0..20_000 {
        let stream = client.next_stream();
        let both = [frame::headers(stream, &block, true), frame::reset(stream, frame::CANCEL)];
        if !client.try_write(both.concat()) {
            break;
        }
    }
    assert_calmed(&mut client);
    assert!(world.origin.heads().len() < 2000, "{}", world.origin.heads().len());
    world.assert_unharmed();
}

/// Who gives many requests up, but not without pause, is a browser.
#[test]
fn a_burst_of_resets_that_is_no_flood_is_served() {
    let world = World::silent();
    let mut client = world.client();
    let rounds = paced(&mut client, 75, |client| {
        let streams: Vec<u32> = (0..10).map(|_| client.next_stream()).collect();
        let block = Fields::get("/flood").block();
        let opened: Vec<u8> =
            streams.iter().flat_map(|id| frame::headers(*id, &block, true)).collect();
        client.write(opened);
        assert!(client.ping());
        streams.iter().flat_map(|id| frame::reset(*id, frame::CANCEL)).collect()
    });
    assert_eq!(rounds, 75);
    assert_eq!(client.ask(&Fields::get("/")).text(), "ok");
    world.assert_unharmed();
}

/// The bound is a rate, not a sum over the life of the connection.
#[test]
fn a_client_that_keeps_to_the_rate_is_served_for_ever() {
    let world = World::start();
    let mut client = world.client();
    client.write(frame::ping(1).repeat(900));
    for _ in 0..12 {
        assert!(client.ping());
        client.write(frame::ping(1).repeat(20));
        let started = Instant::now();
        let pause = || (started.elapsed() > Duration::from_millis(150)).then_some(());
        eventually("time to pass", pause);
    }
    assert_eq!(client.ask(&Fields::get("/")).text(), "ok");
}

/// CVE-2025-8671: the client breaks a rule of the stream, so that it is the proxy that resets it.
#[test]
fn streams_that_the_proxy_must_reset_end_the_connection() {
    for breaks in [
        |stream: u32| frame::window_update(stream, (1 << 31) - 1),
        |stream: u32| frame::headers(stream, &literal(b"x", b"y"), false),
        |stream: u32| frame::data(stream, b"more than nothing", true),
    ] {
        let world = World::silent();
        let mut client = world.client();
        let block = Fields::post("/flood").with("content-length", "1").block();
        let rounds = paced(&mut client, 1000, |client| {
            let streams: Vec<u32> = (0..10).map(|_| client.next_stream()).collect();
            streams
                .iter()
                .flat_map(|id| [frame::headers(*id, &block, false), breaks(*id)].concat())
                .collect()
        });
        assert!(rounds < 600, "{rounds} rounds of ten resets");
        assert_calmed(&mut client);
        world.assert_unharmed();
    }
}

/// Malformed requests cost a reset each, too.
#[test]
fn requests_that_are_malformed_end_the_connection_at_last() {
    let world = World::start();
    let mut client = world.client();
    let block = Fields::get("/").with("connection", "close").block();
    let rounds = paced(&mut client, 1000, |client| {
        let streams: Vec<u32> = (0..10).map(|_| client.next_stream()).collect();
        streams.iter().flat_map(|id| frame::headers(*id, &block, true)).collect()
    });
    assert!(rounds < 600, "{rounds} rounds of ten");
    assert_calmed(&mut client);
    world.assert_unharmed();
}

/// Frames of the connection that ask for an answer or for work: each is held to a rate.
#[test]
fn frames_without_a_purpose_end_the_connection() {
    for (name, bytes) in [
        ("PING", frame::ping(1)),
        ("SETTINGS", frame::settings(&[(frame::INITIAL_WINDOW_SIZE, 65_535)])),
        ("SETTINGS without values", frame::settings(&[])),
    ] {
        let world = World::start();
        let mut client = world.client();
        let rounds = paced(&mut client, 1000, |_| bytes.repeat(10));
        assert!((50..600).contains(&rounds), "{name}: {rounds} rounds of ten");
        assert_calmed(&mut client);
        world.proxy.wait_for_metric("proxy_http2_floods_total", 1.0);
        world.assert_unharmed();
    }
}

/// The same by a client that reads no answer: the proxy must not keep what it cannot send.
#[test]
fn frames_without_a_purpose_do_not_pile_up() {
    for bytes in [frame::ping(1), frame::settings(&[]), frame::settings(&[(1, 0), (1, 4096)])] {
        let world = World::start();
        let client = world.client();
        let mut writer = client.writer();
        writer.set_write_timeout(Some(Duration::from_millis(500))).expect("can be set");
        let piece = bytes.repeat(1000);
        // 100,000 of them, or as many as the proxy takes.
        for _ in 0..100 {
            if std::io::Write::write_all(&mut writer, &piece).is_err() {
                break;
            }
        }
        drop((client, writer));
        world.assert_unharmed();
    }
}

/// Frames that change nothing: they may end the connection or be read for ever, in little memory.
#[test]
fn frames_that_change_nothing_take_no_memory() {
    let priority = Frame::new(frame::PRIORITY, 0, 1, [0, 0, 0, 0, 7]).bytes();
    let unknown = Frame::new(0x42, 0, 1, [0; 100]).bytes();
    let pong = Frame::new(frame::PING, frame::ACK, 0, [0; 8]).bytes();
    for bytes in [priority, unknown, pong, frame::reset(1, 8), frame::window_update(1, 1)] {
        let world = World::start();
        let mut client = world.client();
        assert_eq!(client.ask(&Fields::get("/")).text(), "ok");
        for _ in 0..100 {
            if !client.try_write(bytes.repeat(1000)) {
                break;
            }
        }
        if client.ping() {
            assert_eq!(client.ask(&Fields::get("/")).text(), "ok");
        }
        drop(client);
        world.assert_unharmed();
    }
}

/// CVE-2019-9511: an answer of megabytes that is asked for byte by byte.
#[test]
fn an_answer_in_crumbs_ends_the_connection() {
    let large = "x".repeat(1 << 20);
    let fields = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", large.len());
    let origin = Origin::answering(fields + &large);
    let proxy = Proxy::start(&origin.config());
    let settings = [(frame::INITIAL_WINDOW_SIZE, 0)];
    let mut client = Http2::with(proxy.address, &settings, Credit::Kept);
    let stream = client.send(&Fields::get("/"));
    let crumbs = (0..10_000).position(|n| {
        client.give(stream, 1);
        client.until(stream, |reply| reply.body.len() > n).body.len() <= n
    });
    assert!(crumbs.is_some_and(|crumbs| crumbs > 500), "{crumbs:?}");
    assert_calmed(&mut client);
}

/// CVE-2024-27316: a block that is continued and never ends.
#[test]
fn continuations_without_end_end_the_connection() {
    for content in [&b""[..], b"\0\x01x\x01y"] {
        let world = World::start();
        let mut client = world.client();
        let stream = client.next_stream();
        let block = Fields::get("/flood").block();
        client.write(Frame::new(frame::HEADERS, frame::END_STREAM, stream, block).bytes());
        let more = Frame::new(frame::CONTINUATION, 0, stream, content).bytes().repeat(1000);
        let is_taken = (0..100).all(|_| client.try_write(&more));
        let Ending { goaway, .. } = client.ending();
        assert!(goaway.is_some_and(|(_, code)| code > 0), "{is_taken} {goaway:?}");
        world.assert_unharmed();
    }
}

/// RUSTSEC-2026-0258: frames of data with nothing in them, or next to nothing.
#[test]
fn data_in_crumbs_takes_no_memory() {
    for (content, padding) in [(&b""[..], 0), (b"x", 0), (b"", 255)] {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let origin = Origin::start(move |exchange| {
            while let Some(head) = exchange.request() {
                if head.line.contains("/flood") {
                    // Takes nothing, so that all would be kept.
                    let _ = held.lock().expect("one request").recv();
                    return;
                }
                exchange.write(OK);
            }
        });
        let proxy = Proxy::start(&origin.config());
        assert_eq!(Http2::connect(proxy.address).ask(&Fields::get("/")).text(), "ok");
        let (before_kib, _) = proxy.program.memory_kib();
        let world = World { origin, proxy, before_kib };
        let mut client = world.client();
        let stream = client.open(&Fields::post("/flood"));
        let crumb = if padding == 0 {
            frame::data(stream, content, false)
        } else {
            frame::padded_data(stream, content, padding, false)
        };
        for _ in 0..200 {
            if !client.try_write(crumb.repeat(1000)) {
                break;
            }
        }
        drop(client);
        drop(hold);
        world.assert_unharmed();
    }
}

/// A field of 4 KB that the table holds, and thousands of requests for it in one byte each.
#[test]
fn a_block_that_unpacks_to_megabytes_is_refused() {
    let world = World::start();
    let mut clients: Vec<Http2> = (0..10).map(|_| world.client()).collect();
    let bomb = [&[0x40, 1, b'x'][..], &integer(0, 7, 4000), &[b'v'; 4000], &[0xbe; 4000]].concat();
    for client in &mut clients {
        let stream = client.next_stream();
        let block = [Fields::get("/flood").block(), bomb.clone()].concat();
        client.write(frame::headers(stream, &block, true));
        assert_ne!(client.reply(stream).status, 200);
    }
    assert!(!world.origin.heads().iter().any(|head| head.line.contains("/flood")));
    world.assert_unharmed();
}

/// Many connections, each with as many requests as it may have, none of them read.
#[test]
fn answers_that_nobody_reads_take_bounded_memory() {
    let large = "x".repeat(1 << 20);
    let origin = Origin::answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{large}",
        large.len()
    ));
    let proxy = Proxy::start(&origin.config());
    let mut first = Http2::connect(proxy.address);
    assert_eq!(first.ask(&Fields::get("/")).body.len(), large.len());
    let (before, _) = proxy.program.memory_kib();
    let settings = [(frame::INITIAL_WINDOW_SIZE, 0)];
    let mut client = Http2::with(proxy.address, &settings, Credit::Kept);
    let streams: Vec<u32> = (0..100).map(|_| client.send(&Fields::get("/"))).collect();
    for stream in streams {
        assert_eq!(client.until(stream, |reply| reply.status > 0).status, 200);
    }
    let (now, _) = proxy.program.memory_kib();
    // A buffer each for what was read of the origin, not the answers themselves.
    assert!(now < before + 100 * 160, "{before} KiB became {now}");
    drop(client);
    proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
}

/// A flood on one connection does not keep others from being served.
#[test]
fn others_are_served_meanwhile() {
    let world = World::start();
    let address = world.proxy.address;
    let flood = thread::spawn(move || {
        for _ in 0..5 {
            let mut client = Http2::connect(address);
            while client.try_write(frame::ping(1).repeat(100)) && client.step().is_some() {}
        }
    });
    let mut client = world.client();
    eventually("the flood to end", || {
        assert_eq!(client.ask(&Fields::get("/")).text(), "ok");
        flood.is_finished().then_some(())
    });
    world.assert_unharmed();
}
