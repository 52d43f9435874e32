//! How a connection of HTTP/2 begins, what is said on it besides requests, and what is too much on a
//! stream that has ended or has no room (RFC 9113 sections 3 to 6).

use std::{
    io::{self, ErrorKind, Write},
    net::TcpStream,
    sync::{Mutex, mpsc},
};

use crate::support::{
    Origin, PATIENCE, Proxy,
    http2::{Fields, Http2, Outcome, World, frame, frame::Frame, literal},
};

#[test]
fn an_http_1_client_is_served_on_the_same_port() {
    let world = World::start();
    let mut client = world.client();
    assert_eq!(world.proxy.get("/one").send().text(), "ok");
    assert_eq!(client.ask(&Fields::get("/two")).text(), "ok");
    assert_eq!(world.proxy.get("/three").send().text(), "ok");
}

/// RFC 9113 section 3.1: the upgrade from HTTP/1.1 is gone, and what is asked inside it would pass
/// every rule unseen.
#[test]
fn an_upgrade_to_h2c_is_not_taken() {
    let world = World::start();
    let request = world.proxy.get("/u").header("Connection", "Upgrade, HTTP2-Settings");
    let request = request.header("Upgrade", "h2c").header("HTTP2-Settings", "AAMAAABkAAQAoAAA");
    assert_eq!(request.send().status, 200);
    let head = world.origin.last_head();
    assert_eq!((head.header("upgrade"), head.header("http2-settings")), (None, None));
}

/// A preface that comes byte by byte, with the settings and the request behind it.
#[test]
fn a_connection_may_begin_in_pieces() {
    let world = World::start();
    let mut client = Http2::silent(world.proxy.address);
    let stream = client.next_stream();
    let request = frame::headers(stream, &Fields::get("/slow").block(), true);
    for byte in [frame::PREFACE, &frame::settings(&[]), &request].concat() {
        client.write([byte]);
    }
    assert_eq!(client.reply(stream).text(), "ok");
}

#[test]
fn a_request_may_follow_before_the_settings_are_known() {
    let world = World::start();
    let mut client = Http2::silent(world.proxy.address);
    let streams: Vec<u32> = (0..10).map(|_| client.next_stream()).collect();
    let request = |stream: &u32| frame::headers(*stream, &Fields::get("/early").block(), true);
    let requests: Vec<u8> = streams.iter().flat_map(request).collect();
    client.write([frame::PREFACE, &frame::settings(&[]), &requests].concat());
    for stream in streams {
        assert_eq!(client.reply(stream).text(), "ok");
    }
}

/// Section 5.1, half-closed (remote).
#[test]
fn more_behind_the_end_of_a_request_is_an_error() {
    let silent = Origin::start(|exchange| {
        exchange.request();
        exchange.wait_for_close();
    });
    let proxy = Proxy::start(&silent.config());
    for (name, bytes) in [
        ("DATA", frame::data(1, b"x", true)),
        ("HEADERS", frame::headers(1, &literal(b"x", b"y"), true)),
    ] {
        let mut client = Http2::connect(proxy.address);
        let stream = client.send(&Fields::get("/"));
        client.write(bytes);
        let outcome = client.outcome(stream);
        let (Outcome::Reset(code) | Outcome::GoAway(code)) = outcome else {
            panic!("{name}: {outcome:?}");
        };
        // Crate h2 says the general code.
        let codes = [frame::STREAM_CLOSED, frame::PROTOCOL_ERROR];
        assert!(codes.contains(&code), "{name}: {outcome:?}");
    }
}

#[test]
fn data_beyond_the_window_is_an_error() {
    let (_hold, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let stuck = Origin::start(move |exchange| {
        exchange.request();
        let _ = held.lock().expect("one request").recv_timeout(PATIENCE);
    });
    let proxy = Proxy::start(&stuck.config());
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(&Fields::post("/"));
    // More than the proxy, the origin and the sockets between them take.
    for _ in 0..4096 {
        if !client.try_write(frame::data(stream, &[0; 16_384], false)) {
            break;
        }
    }
    let outcome = client.outcome(stream);
    let (reset, goaway) =
        (Outcome::Reset(frame::FLOW_CONTROL_ERROR), Outcome::GoAway(frame::FLOW_CONTROL_ERROR));
    assert!(outcome == reset || outcome == goaway, "{outcome:?}");
}

#[test]
fn a_ping_is_answered_with_what_it_said() {
    let world = World::start();
    let mut client = world.client();
    client.write(frame::ping(0x0102_0304_0506_0708));
    let pong = loop {
        let frame = client.read_on("a pong");
        if frame.kind == frame::PING {
            break frame;
        }
    };
    assert!(pong.has(frame::ACK));
    assert_eq!(pong.payload, [1, 2, 3, 4, 5, 6, 7, 8]);
}

/// A head in as many frames as it has bytes is no flood.
#[test]
fn a_head_may_come_in_pieces() {
    let world = World::start();
    let mut client = world.client();
    let stream = client.next_stream();
    let block = Fields::get("/x").block();
    let (first, rest) = block.split_at(block.len() - 3);
    client.write(Frame::new(frame::HEADERS, frame::END_STREAM, stream, first).bytes());
    for (index, byte) in rest.iter().enumerate() {
        let flags = if index + 1 == rest.len() { frame::END_HEADERS } else { 0 };
        client.write(Frame::new(frame::CONTINUATION, flags, stream, [*byte]).bytes());
    }
    assert_eq!(client.reply(stream).text(), "ok");
}

#[test]
fn a_client_that_says_goodbye_gets_what_it_waits_for() {
    let world = World::start();
    let mut client = world.client();
    let stream = client.open(&Fields::post("/"));
    client.data(stream, b"some", false);
    client.write(frame::goaway(0, frame::NO_ERROR));
    client.data(stream, b"more", true);
    assert_eq!(client.reply(stream).text(), "ok");
    client.ending();
}

/// What begins like HTTP/2 and is none (section 3.4).
#[test]
fn a_connection_that_begins_wrong_is_closed() {
    let world = World::start();
    let request = frame::headers(1, &Fields::get("/begun-wrong").block(), true);
    let settings = frame::settings(&[]);
    for (name, bytes) in [
        (
            "another preface",
            [b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", &settings[..], &request].concat(),
        ),
        (
            "another version",
            [b"PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n", &settings[..], &request].concat(),
        ),
        ("half a preface", [b"PRI * HTTP/2.0\r\n\r\n", &settings[..], &request].concat()),
        ("the preface twice", [frame::PREFACE, frame::PREFACE, &settings, &request].concat()),
        ("something else", [frame::PREFACE, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat()),
    ] {
        let mut stream = TcpStream::connect(world.proxy.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("can be set");
        // It may close before all is sent.
        let _ = stream.write_all(&bytes);
        let ended = io::copy(&mut stream, &mut io::sink());
        let is_reset = |error: &io::Error| error.kind() == ErrorKind::ConnectionReset;
        assert!(ended.as_ref().map_or_else(is_reset, |_| true), "{name}: {ended:?}");
        let heads = world.origin.heads();
        assert!(!heads.iter().any(|head| head.line.contains("/begun-wrong")), "{name}");
    }
    assert_eq!(world.client().ask(&Fields::get("/")).text(), "ok");
}

/// Section 3.4 asks for settings first. Crate h2 does without: what comes is served or refused, and
/// the connection understands what follows in either case.
#[test]
fn a_connection_without_settings_is_served_or_closed() {
    let world = World::start();
    for begin in [vec![], frame::ping(1), frame::settings_ack()] {
        let mut client = Http2::silent(world.proxy.address);
        let stream = client.next_stream();
        let request = frame::headers(stream, &Fields::get("/").block(), true);
        client.write([frame::PREFACE, &begin, &request].concat());
        let outcome = client.outcome(stream);
        let allowed = [Outcome::Status(200), Outcome::GoAway(frame::PROTOCOL_ERROR)];
        assert!(allowed.contains(&outcome), "{outcome:?}");
    }
}
