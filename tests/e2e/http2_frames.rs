//! Frames that break a rule of RFC 9113 sections 3 to 6 end the connection or the stream, as the
//! section says; frames that are only unknown or late do not.

use crate::support::http2::{Fields, Http2, Outcome, World, frame, frame::Frame, literal};

/// A stream whose request is not finished, one that has ended, and the next one.
const OPEN: u32 = 3;
const ENDED: u32 = 1;
const NEXT: u32 = 5;

/// A broken rule: what is sent, and the codes that may be answered.
type Row = (&'static str, Vec<u8>, &'static [u32]);

const PROTOCOL: &[u32] = &[frame::PROTOCOL_ERROR];
const FLOW: &[u32] = &[frame::FLOW_CONTROL_ERROR];
const SIZE: &[u32] = &[frame::FRAME_SIZE_ERROR];
/// Crate h2 says that something is wrong and not always what: the general code in place of the one
/// that the section names ends the connection all the same (section 7).
const ANY_SIZE: &[u32] = &[frame::FRAME_SIZE_ERROR, frame::PROTOCOL_ERROR];
const ANY_FLOW: &[u32] = &[frame::FLOW_CONTROL_ERROR, frame::PROTOCOL_ERROR];
const ANY_CLOSED: &[u32] = &[frame::STREAM_CLOSED, frame::PROTOCOL_ERROR];

impl World {
    /// A connection with a stream of each state.
    fn with_each_state(&self) -> Http2 {
        let mut client = self.client();
        assert_eq!(client.ask(&Fields::get("/ended")).text(), "ok");
        assert_eq!(client.open(&Fields::post("/open")), OPEN);
        client.data(OPEN, b"some", false);
        client
    }

    /// What is wrong with how the proxy took a broken rule of the connection.
    fn wrong_frame(&self, (name, bytes, codes): &Row) -> Option<String> {
        let mut client = self.with_each_state();
        client.try_write(bytes);
        // What follows must not be served.
        client.try_write(frame::headers(99, &Fields::get("/behind").block(), true));
        let code = client.ending().goaway.map(|(_, code)| code);
        let is_right = code.is_some_and(|code| codes.contains(&code));
        (!is_right).then(|| format!("{name}: {code:?} is none of {codes:?}"))
    }

    fn assert_end_the_connection(&self, rows: &[Row]) {
        let wrong: Vec<String> = rows.iter().filter_map(|row| self.wrong_frame(row)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert_eq!(self.with_each_state().ask(&Fields::get("/")).text(), "ok");
        let heads = self.origin.heads();
        assert!(!heads.iter().any(|head| head.line.contains("/behind")), "{heads:?}");
    }

    /// What is wrong with how the proxy took something harmless.
    fn not_ignored(&self, (name, bytes): &(&str, Vec<u8>)) -> Option<String> {
        let mut client = self.with_each_state();
        client.write(bytes);
        client.data(OPEN, b"more", true);
        let open = client.outcome(OPEN);
        client.next_stream();
        let stream = client.next_stream();
        client.try_write(frame::headers(stream, &Fields::get("/next").block(), true));
        let next = client.outcome(stream);
        let is_ignored = [open, next] == [Outcome::Status(200); 2];
        (!is_ignored).then(|| format!("{name}: {open:?}, then {next:?}"))
    }
}

fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    Frame::new(kind, flags, stream, payload).bytes()
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    frame::settings(&[(name, value)])
}

/// A request's head.
fn block() -> Vec<u8> {
    Fields::get("/x").block()
}

#[test]
fn frames_that_are_too_large_or_too_small_end_the_connection() {
    let long = vec![0; 16_385];
    World::start().assert_end_the_connection(&[
        ("4.2 large DATA", raw(frame::DATA, 0, OPEN, &long), SIZE),
        ("4.2 large HEADERS", raw(frame::HEADERS, frame::END_HEADERS, NEXT, &long), SIZE),
        ("4.2 large SETTINGS", raw(frame::SETTINGS, 0, 0, &[0; 16_386]), SIZE),
        ("4.2 large unknown frame", raw(0x42, 0, OPEN, &long), SIZE),
        ("6.4 short RST_STREAM", raw(frame::RST_STREAM, 0, OPEN, &[0; 3]), ANY_SIZE),
        ("6.4 long RST_STREAM", raw(frame::RST_STREAM, 0, OPEN, &[0; 5]), ANY_SIZE),
        ("6.5 odd SETTINGS", raw(frame::SETTINGS, 0, 0, &[0; 5]), ANY_SIZE),
        ("6.5 SETTINGS ACK with values", raw(frame::SETTINGS, frame::ACK, 0, &[0; 6]), ANY_SIZE),
        ("6.7 short PING", raw(frame::PING, 0, 0, &[0; 7]), ANY_SIZE),
        ("6.7 long PING", raw(frame::PING, 0, 0, &[0; 9]), ANY_SIZE),
        ("6.8 short GOAWAY", raw(frame::GOAWAY, 0, 0, &[0; 7]), ANY_SIZE),
        ("6.9 short WINDOW_UPDATE", raw(frame::WINDOW_UPDATE, 0, OPEN, &[0; 3]), ANY_SIZE),
        ("6.9 long WINDOW_UPDATE", raw(frame::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1, 0]), ANY_SIZE),
    ]);
}

#[test]
fn frames_on_the_wrong_stream_end_the_connection() {
    World::start().assert_end_the_connection(&[
        ("6.1 DATA on 0", frame::data(0, b"x", false), PROTOCOL),
        ("6.2 HEADERS on 0", frame::headers(0, &block(), true), PROTOCOL),
        ("6.3 PRIORITY on 0", raw(frame::PRIORITY, 0, 0, &[0, 0, 0, 1, 5]), PROTOCOL),
        ("6.4 RST_STREAM on 0", frame::reset(0, 8), PROTOCOL),
        ("6.5 SETTINGS on a stream", raw(frame::SETTINGS, 0, OPEN, &[]), PROTOCOL),
        ("6.5 SETTINGS ACK on a stream", raw(frame::SETTINGS, frame::ACK, OPEN, &[]), PROTOCOL),
        ("6.7 PING on a stream", raw(frame::PING, 0, OPEN, &[0; 8]), PROTOCOL),
        ("6.8 GOAWAY on a stream", raw(frame::GOAWAY, 0, OPEN, &[0; 8]), PROTOCOL),
        ("6.10 CONTINUATION on 0", raw(frame::CONTINUATION, 4, 0, &block()), PROTOCOL),
        ("5.1 DATA on an idle stream", frame::data(NEXT, b"x", false), PROTOCOL),
        ("5.1 RST_STREAM on an idle stream", frame::reset(NEXT, 8), PROTOCOL),
        ("5.1 WINDOW_UPDATE on an idle stream", frame::window_update(NEXT, 1), PROTOCOL),
        ("5.1.1 HEADERS on an even stream", frame::headers(6, &block(), true), PROTOCOL),
        ("5.1 DATA on an even stream", frame::data(2, b"x", true), PROTOCOL),
        (
            "6.6 PUSH_PROMISE",
            raw(frame::PUSH_PROMISE, 4, OPEN, &[&[0, 0, 0, 2], &block()[..]].concat()),
            PROTOCOL,
        ),
    ]);
}

/// A stream that was passed over is closed (section 5.1.1); one that has ended may be forgotten.
#[test]
fn a_stream_is_not_opened_twice() {
    let skipped = [frame::headers(9, &block(), true), frame::headers(7, &block(), true)].concat();
    World::start().assert_end_the_connection(&[
        ("5.1.1 a number that was passed over", skipped, ANY_CLOSED),
        (
            "5.1 HEADERS on a stream that has ended",
            frame::headers(ENDED, &block(), true),
            ANY_CLOSED,
        ),
    ]);
}

#[test]
fn blocks_that_are_interrupted_end_the_connection() {
    let begun = raw(frame::HEADERS, frame::END_STREAM, NEXT, &block()[..5]);
    let behind = |bytes: Vec<u8>| [&begun[..], &bytes].concat();
    let continued = raw(frame::CONTINUATION, frame::END_HEADERS, NEXT, &block()[5..]);
    World::start().assert_end_the_connection(&[
        ("6.10 a PING inside", behind(frame::ping(7)), PROTOCOL),
        ("6.10 DATA inside", behind(frame::data(OPEN, b"x", false)), PROTOCOL),
        ("6.10 SETTINGS inside", behind(frame::settings(&[])), PROTOCOL),
        ("6.10 WINDOW_UPDATE inside", behind(frame::window_update(0, 1)), PROTOCOL),
        ("6.10 RST_STREAM inside", behind(frame::reset(NEXT, 8)), PROTOCOL),
        ("5.5 an unknown frame inside", behind(raw(0x42, 0, 0, &[])), PROTOCOL),
        ("6.2 other HEADERS inside", behind(frame::headers(7, &block(), true)), PROTOCOL),
        ("6.10 CONTINUATION of another", behind(raw(frame::CONTINUATION, 4, OPEN, &[])), PROTOCOL),
        ("6.10 CONTINUATION of nothing", continued.clone(), PROTOCOL),
        (
            "6.10 CONTINUATION behind the end",
            behind([&continued[..], &continued].concat()),
            PROTOCOL,
        ),
    ]);
}

#[test]
fn padding_longer_than_its_frame_ends_the_connection() {
    let padded_end = frame::PADDED | frame::END_HEADERS | frame::END_STREAM;
    let head =
        |padding: usize| [&[u8::try_from(padding).expect("is small")], &block()[..]].concat();
    let length = block().len();
    World::start().assert_end_the_connection(&[
        (
            "6.1 all of DATA and more",
            raw(frame::DATA, frame::PADDED, OPEN, &[5, 1, 2, 3, 4]),
            PROTOCOL,
        ),
        ("6.1 far more than DATA", raw(frame::DATA, frame::PADDED, OPEN, &[255, 1]), PROTOCOL),
        ("6.1 DATA without its length", raw(frame::DATA, frame::PADDED, OPEN, &[]), ANY_SIZE),
        (
            "6.2 all of HEADERS and more",
            raw(frame::HEADERS, padded_end, NEXT, &head(length + 1)),
            PROTOCOL,
        ),
        ("6.2 HEADERS without its length", raw(frame::HEADERS, padded_end, NEXT, &[]), ANY_SIZE),
        (
            "6.2 HEADERS without its priority",
            raw(frame::HEADERS, frame::HAS_PRIORITY | frame::END_HEADERS, NEXT, &[0; 3]),
            ANY_SIZE,
        ),
    ]);
}

#[test]
fn settings_that_must_not_be_end_the_connection() {
    World::start().assert_end_the_connection(&[
        ("6.5.2 ENABLE_PUSH of 2", setting(frame::ENABLE_PUSH, 2), PROTOCOL),
        ("6.5.2 a window of 2^31", setting(frame::INITIAL_WINDOW_SIZE, 1 << 31), ANY_FLOW),
        ("6.5.2 a frame below 2^14", setting(frame::MAX_FRAME_SIZE, 16_383), PROTOCOL),
        ("6.5.2 a frame of 2^24", setting(frame::MAX_FRAME_SIZE, 1 << 24), PROTOCOL),
        (
            "6.9.2 a window that makes another too large",
            [
                frame::window_update(OPEN, (1 << 31) - 1 - 65_535),
                setting(frame::INITIAL_WINDOW_SIZE, 65_536),
            ]
            .concat(),
            FLOW,
        ),
    ]);
}

#[test]
fn windows_that_must_not_be_end_the_connection() {
    World::start().assert_end_the_connection(&[
        ("6.9 nothing more for the connection", frame::window_update(0, 0), PROTOCOL),
        ("6.9.1 too much for the connection", frame::window_update(0, (1 << 31) - 1), FLOW),
        // The first bit is reserved: this is an increment of 0.
        ("6.9 a reserved bit and nothing else", frame::window_update(0, 1 << 31), PROTOCOL),
    ]);
}

/// Errors of one stream: it is reset with this code, and the connection goes on.
#[test]
fn errors_of_a_stream_reset_it_and_no_other() {
    let world = World::start();
    let priority = |length: usize| raw(frame::PRIORITY, 0, OPEN, &vec![0; length]);
    let mut wrong = Vec::new();
    let rows: [Row; 5] = [
        ("6.9 nothing more for a stream", frame::window_update(OPEN, 0), PROTOCOL),
        ("6.9.1 too much for a stream", frame::window_update(OPEN, (1 << 31) - 1), FLOW),
        ("6.3 short PRIORITY", priority(4), ANY_SIZE),
        ("6.3 long PRIORITY", priority(6), ANY_SIZE),
        ("8.1 HEADERS amid the body", frame::headers(OPEN, &literal(b"x", b"y"), false), PROTOCOL),
    ];
    for (name, bytes, codes) in rows {
        let mut client = world.with_each_state();
        client.write(bytes);
        // A stream error may be taken for one of the connection (section 5.4.2).
        match client.outcome(OPEN) {
            Outcome::Reset(code) if codes.contains(&code) => {
                assert_eq!(client.ask(&Fields::get("/")).text(), "ok", "behind {name}");
            }
            Outcome::GoAway(code) if codes.contains(&code) => {}
            other => wrong.push(format!("{name}: {other:?} is none of {codes:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_unknown_or_late_is_ignored() {
    let world = World::start();
    let self_dependent =
        |stream: u32| raw(frame::PRIORITY, 0, stream, &[&stream.to_be_bytes()[..], &[15]].concat());
    let reserved = {
        let mut bytes = frame::window_update(OPEN, 1);
        bytes[5] |= 0x80;
        bytes
    };
    let rows = [
        ("5.5 an unknown frame of the connection", raw(0x42, 0xff, 0, b"anything")),
        ("5.5 an unknown frame of an open stream", raw(0xfe, 0xff, OPEN, b"")),
        ("5.5 an unknown frame of an idle stream", raw(0x42, 0, NEXT, b"anything")),
        ("5.5 an unknown frame of an ended stream", raw(0x42, 0, ENDED, b"anything")),
        ("6.5.2 an unknown setting", setting(0xf0f0, 7)),
        ("6.5 a setting twice", frame::settings(&[(4, 1000), (4, 65_535)])),
        ("6.5 no settings at all", frame::settings(&[])),
        ("4.1 a reserved bit of a stream", reserved),
        ("4.1 unknown flags", raw(frame::PING, 0xfe, 0, &[0; 8])),
        ("6.7 a PING that answers nothing", raw(frame::PING, frame::ACK, 0, &[0; 8])),
        ("6.9 a window of an ended stream", frame::window_update(ENDED, 1)),
        ("6.4 a reset of an ended stream", frame::reset(ENDED, 8)),
        ("6.3 PRIORITY of an ended stream", raw(frame::PRIORITY, 0, ENDED, &[0, 0, 0, 3, 5])),
        ("6.3 PRIORITY of an idle stream", raw(frame::PRIORITY, 0, NEXT, &[0, 0, 0, 3, 5])),
        ("6.3 PRIORITY of a stream far off", raw(frame::PRIORITY, 0, 201, &[0, 0, 0, 3, 5])),
        ("5.3.2 PRIORITY of an idle stream on itself", self_dependent(NEXT)),
        ("6.1 DATA without content", frame::data(OPEN, b"", false)),
        ("6.1 DATA of padding alone", frame::padded_data(OPEN, b"", 3, false)),
    ];
    let wrong: Vec<String> = rows.iter().filter_map(|row| world.not_ignored(row)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// RFC 7540 made it an error of the stream, RFC 9113 no longer does.
#[test]
fn a_stream_that_depends_on_itself_is_served_or_reset() {
    let world = World::start();
    for stream in [OPEN, NEXT] {
        let mut client = world.with_each_state();
        let priority = [&stream.to_be_bytes()[..], &[15]].concat();
        if stream == OPEN {
            client.write(raw(frame::PRIORITY, 0, stream, &priority));
            client.data(OPEN, b"more", true);
        } else {
            let flags = frame::END_HEADERS | frame::END_STREAM | frame::HAS_PRIORITY;
            client.next_stream();
            client.write(raw(frame::HEADERS, flags, stream, &[&priority, &block()[..]].concat()));
        }
        let outcome = client.outcome(stream);
        let allowed = [Outcome::Status(200), Outcome::Reset(frame::PROTOCOL_ERROR)];
        assert!(allowed.contains(&outcome), "{stream}: {outcome:?}");
        assert_eq!(client.ask(&Fields::get("/")).text(), "ok");
    }
}
