//! Header blocks with something wrong in them: a malformed request ends its own stream (RFC 9113 section
//! 8.1.1), and the others of its connection get their answers.

use crate::support::{
    Origin, Proxy, eventually,
    hostile::{bytes, cases, text},
    http2::{Fields, Http2, Outcome, World, encode, frame, integer, literal},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x01, 1, b'a'];

/// A request that waits for the rest of its body, as the origin does.
struct InFlight {
    client: Http2,
    stream: u32,
}

impl InFlight {
    fn start(world: &World) -> Self {
        let known = world.origin.heads().len();
        let mut client = world.client();
        let stream = client.open(&Fields::post("/slow").with("content-length", "2"));
        eventually("the request to arrive", || (world.origin.heads().len() > known).then_some(()));
        Self { client, stream }
    }

    /// Sends a block; how its stream ended.
    fn outcome(&mut self, block: &[u8]) -> Outcome {
        let stream = self.client.next_stream();
        self.client.write(frame::headers(stream, block, true));
        self.client.outcome(stream)
    }

    fn ends_answered(mut self) -> bool {
        let written = self.client.try_write(frame::data(self.stream, b"ab", true));
        written && self.client.outcome(self.stream) == Outcome::Status(200)
    }
}

fn world() -> World {
    let origin = Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            if exchange.whole_body(&head).is_none() || !exchange.write(OK) {
                return;
            }
        }
    });
    World { proxy: Proxy::start(&origin.config()), origin }
}

fn is_stream_error(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Reset(frame::PROTOCOL_ERROR) | Outcome::Status(400))
}

/// A literal whose name and value are coded as Huffman says; `first` says whether to remember it.
fn coded(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    let text = |text: &[u8]| {
        let coded = encode(text);
        [integer(0x80, 7, coded.len()), coded].concat()
    };
    [vec![first], text(name), text(value)].concat()
}

const WRONG_FIELDS: [(&[u8], &[u8]); 24] = [
    (b"x-a", b"b\nc"),
    (b"x-a", b"b\rc"),
    (b"x-a", b"b\0c"),
    (b"x-a", b"b\x7fc"),
    (b"x-a", b"\x01"),
    (b"X-a", b"b"),
    (b"x a", b"b"),
    (b"x:a", b"b"),
    (b"x-a\xff", b"b"),
    (b"", b"b"),
    (b":", b"b"),
    (b":odd", b"b"),
    (b":status", b"abc"),
    (b":protocol", b"\xff"),
    (b":method", b""),
    (b":method", b"G T"),
    (b":scheme", b"\xff"),
    (b":authority", b"\xff"),
    (b":path", b"/\0"),
    (b":path", b"/a b"),
    (b":path", b"/again"),
    (b"!path", b"/other"),
    (b"connection", b"close"),
    (b"te", b"gzip"),
];

#[test]
fn a_malformed_field_ends_its_stream_alone() {
    let world = world();
    let mut wrong = Vec::new();
    for (name, value) in WRONG_FIELDS {
        for field in [literal(name, value), coded(0, name, value), coded(0x40, name, value)] {
            let mut all = InFlight::start(&world);
            let outcome = all.outcome(&[GET, &field].concat());
            if !is_stream_error(outcome) || !all.ends_answered() {
                wrong.push(format!(
                    "{}: {}: {outcome:?}",
                    name.escape_ascii(),
                    value.escape_ascii()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(world.origin.heads().iter().all(|head| head.line == "POST /slow HTTP/1.1"));
}

/// All that the corpus of hostile requests knows, and trailers among it.
#[test]
fn no_hostile_request_ends_the_streams_beside_it() {
    let world = world();
    let fields = |list: &serde_json::Value| {
        let list = list.as_array().cloned().unwrap_or_default();
        list.iter().fold(Fields::none(), |all, field| {
            let part = |index: usize| bytes(field[index].as_str().expect("is a string"));
            all.with(part(0), part(1))
        })
    };
    let mut wrong = Vec::new();
    for case in cases("h2") {
        let mut all = InFlight::start(&world);
        let stream = all.client.next_stream();
        let ends = case["end_stream"] == true;
        let mut sent = frame::headers(stream, &fields(&case["headers"]).block(), ends);
        if let Some(body) = case["body"].as_str() {
            sent.extend(frame::data(stream, &bytes(body), case["trailers"].is_null()));
        }
        if !case["trailers"].is_null() {
            sent.extend(frame::headers(stream, &fields(&case["trailers"]).block(), true));
        }
        all.client.write(sent);
        if !all.ends_answered() {
            wrong.push(text(&case, "name").to_owned());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Both sides remember the same, and what was wrong once is wrong whenever it is named.
#[test]
fn what_is_malformed_and_remembered_is_refused_again() {
    let world = world();
    let mut all = InFlight::start(&world);
    let teach = |name: &[u8], value: &[u8]| [&[0x40][..], &literal(name, value)[1..]].concat();
    let first =
        [GET, &teach(b"x-good", b"1"), &teach(b"x-a", b"b\nc"), &teach(b"X-B", b"long value")];
    assert!(is_stream_error(all.outcome(&first.concat())));
    for wrong in [&[0xbe][..], &[0xbf], &[0x7e, 1, b'v'], &[0x0f, 48, 1, b'v']] {
        assert!(is_stream_error(all.outcome(&[GET, wrong].concat())), "{wrong:?}");
    }
    // The third of these has made room for one more.
    assert_eq!(
        all.outcome(&[GET, &[0xc1][..], &[0x0f, 49, 1, b'v']].concat()),
        Outcome::Status(200)
    );
    let head = world.origin.last_head();
    assert_eq!((head.headers("x-good"), head.headers("x-a")), (vec!["1"], vec!["v"]));
    assert!(all.ends_answered());
}

#[test]
fn a_block_in_many_frames_is_one_block() {
    let world = world();
    for field in [literal(b"x-a", b"b\nc"), literal(b"te", b"gzip"), literal(b"x-a", b"b")] {
        let block = [GET, &field].concat();
        let mut all = InFlight::start(&world);
        let stream = all.client.next_stream();
        let (last, parts) = block.split_last().expect("is long");
        let mut frames = Vec::new();
        for (index, part) in parts.chunks(parts.len().div_ceil(3)).enumerate() {
            let (kind, flags) = if index == 0 {
                (frame::HEADERS, frame::END_STREAM)
            } else {
                (frame::CONTINUATION, 0)
            };
            frames.extend(frame::Frame::new(kind, flags, stream, part).bytes());
        }
        let end = frame::Frame::new(frame::CONTINUATION, frame::END_HEADERS, stream, [*last]);
        frames.extend(end.bytes());
        // Byte by byte, as far as the sockets let that be seen.
        frames.chunks(1).for_each(|byte| all.client.write(byte));
        let outcome = all.client.outcome(stream);
        let is_right = if field.ends_with(b"\x01b") {
            outcome == Outcome::Status(200)
        } else {
            is_stream_error(outcome)
        };
        assert!(is_right && all.ends_answered(), "{field:?}: {outcome:?}");
    }
}

#[test]
fn a_stream_that_depends_on_itself_is_reset_and_its_fields_are_known() {
    let world = world();
    let mut all = InFlight::start(&world);
    let stream = all.client.next_stream();
    let teach = [&[0x40][..], &literal(b"x", b"1")[1..]].concat();
    let block = [&stream.to_be_bytes()[..], &[0], GET, &teach].concat();
    let flags = frame::END_HEADERS | frame::END_STREAM | frame::HAS_PRIORITY;
    all.client.write(frame::Frame::new(frame::HEADERS, flags, stream, block).bytes());
    assert!(is_stream_error(all.client.outcome(stream)));
    assert_eq!(all.outcome(&[GET, &[0xbe]].concat()), Outcome::Status(200));
    assert_eq!(world.origin.last_head().headers("x"), ["1"]);
    assert!(all.ends_answered());
}

/// As the support shows what came.
fn seen(path: &[u8]) -> String {
    let latin_1 = || path.iter().map(|byte| char::from(*byte)).collect();
    String::from_utf8(path.to_vec()).unwrap_or_else(|_| latin_1())
}

#[test]
fn a_path_reaches_the_origin_as_it_came() {
    let world = world();
    let mut client = world.client();
    for path in [
        &b"/api?query=up{job=\"x\"}"[..],
        b"/a\"b",
        b"/<a>`?<b>`",
        b"/caf\xc3\xa9?q=\xe9",
        b"/[a]|b^c?[a]|b^c",
        b"/plain?and=%20more",
    ] {
        for field in
            [literal(b":path", path), coded(0, b":path", path), coded(0x40, b":path", path)]
        {
            let stream = client.next_stream();
            let block = [&[0x82, 0x86, 0x01, 1, b'a'][..], &field].concat();
            client.write(frame::headers(stream, &block, true));
            assert_eq!(client.outcome(stream), Outcome::Status(200), "{}", path.escape_ascii());
            let line = world.origin.last_head().line;
            let expected = seen(path);
            assert_eq!(line, format!("GET {expected} HTTP/1.1"));
        }
        // As it was remembered.
        let stream = client.next_stream();
        client.write(frame::headers(stream, &[0x82, 0x86, 0x01, 1, b'a', 0xbe], true));
        assert_eq!(client.outcome(stream), Outcome::Status(200));
        let expected = seen(path);
        assert_eq!(world.origin.last_head().line, format!("GET {expected} HTTP/1.1"));
    }
}

#[test]
fn a_fragment_in_a_path_is_refused_with_400() {
    let world = world();
    for path in ["/x#/y", "/x?a#b", "/#", "#", "/\"#"] {
        let mut all = InFlight::start(&world);
        for field in
            [literal(b":path", path.as_bytes()), coded(0x40, b":path", path.as_bytes()), vec![0xbe]]
        {
            let outcome = all.outcome(&[&[0x82, 0x86, 0x01, 1, b'a'][..], &field].concat());
            assert_eq!(outcome, Outcome::Status(400), "{path}");
        }
        assert!(all.ends_answered(), "{path}");
    }
}
