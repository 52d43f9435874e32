//! The bytes of a client, taken as `http1/` takes them: a head, its body, the next head. Any split
//! of them gives the same requests and the same refusal; heads keep their bounds; and to actix's
//! own parser each request is the same one, with the same body and the same end.

#![no_main]

use actix_http::{ConnectionType, Request, header};
use bytes::{Buf, Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use proxy::{
    config::HeadBounds,
    error::Reason,
    framing::{Rest, Taken},
    http1::fuzz::{Head, Scanner, parse},
};
use proxy_fuzz::{Body, Reading, pieces, read_request};

/// Near enough for the fuzzer to get there.
const NARROW: HeadBounds = HeadBounds { bytes: 512, fields: 8, target: 100 };
/// Of a request line beside its target, in bytes.
const REST_OF_LINE: usize = 64;
/// actix refuses more.
const MOST_FIELDS_OF_ACTIX: usize = 96;
/// A chunk line or the trailers, with a line end.
const MOST_HELD: usize = (8 << 10) + 2;

/// A request that was taken from the wire.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    from: usize,
    /// Of the head, in bytes.
    head: usize,
    body: Vec<u8>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    At(usize),
    /// More of the body must come.
    Open,
    Refused,
}

/// What `Conn` knows of a connection.
struct Connection {
    bounds: HeadBounds,
    scanner: Scanner,
    buffer: BytesMut,
    body: Rest,
    allows_empty_line: bool,
    /// No other request is read.
    is_last: bool,
    /// Bytes that came.
    came: usize,
    found: Vec<Found>,
    refused: Option<Reason>,
}

fuzz_target!(|input: &[u8]| {
    let (pieces, wire) = pieces(input);
    let is_narrow = input.first().is_none_or(|flags| flags & 0x80 == 0);
    let bounds = if is_narrow { NARROW } else { HeadBounds::default() };
    let at_once = read(&[wire], bounds);
    assert_eq!(read(&pieces, bounds), at_once, "it depends on the split");
    for found in &at_once.0 {
        let head = &wire[found.from..found.from + found.head];
        check_bounds(head, bounds);
        let ours = parse(&Bytes::copy_from_slice(head)).ok().expect("was taken");
        match read_request(head) {
            Some(theirs) => {
                check_request(&ours, &theirs.request);
                let end = if let End::At(end) = found.end { end } else { wire.len() };
                check_body(found, &ours, &wire[found.from..end]);
            }
            None => {
                let fields = ours.request.head().headers.len();
                let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
                // A target may have bytes that a URI has not: it goes on as it came.
                let is_raw = !line.is_ascii();
                assert!(fields > MOST_FIELDS_OF_ACTIX || is_raw, "actix refuses");
            }
        }
    }
});

fn read(pieces: &[&[u8]], bounds: HeadBounds) -> (Vec<Found>, Option<Reason>) {
    let mut connection = Connection {
        bounds,
        scanner: Scanner::default(),
        buffer: BytesMut::new(),
        body: Rest::Length(0),
        allows_empty_line: false,
        is_last: false,
        came: 0,
        found: Vec::new(),
        refused: None,
    };
    for piece in pieces {
        connection.came += piece.len();
        connection.buffer.extend_from_slice(piece);
        while connection.take_head_or_body() {}
    }
    (connection.found, connection.refused)
}

impl Connection {
    /// Whether there is more to do with the bytes that came.
    fn take_head_or_body(&mut self) -> bool {
        if self.refused.is_some() || (self.is_last && self.body.is_over()) {
            return false;
        }
        if !self.body.is_over() { self.take_body() } else { self.take_head() }
    }

    fn take_body(&mut self) -> bool {
        let taken = self.body.take(&mut self.buffer);
        let needs_more = taken == Ok(Taken::NeedsMore);
        let end = self.came - self.buffer.len();
        let found = self.found.last_mut().expect("a body has a head");
        match taken {
            Ok(Taken::Data(bytes)) => {
                assert!(!bytes.is_empty());
                found.body.extend_from_slice(&bytes);
            }
            Ok(Taken::NeedsMore) => assert!(self.buffer.len() < MOST_HELD),
            Ok(Taken::End) => assert!(self.body.is_over()),
            Err(_) => {
                found.end = End::Refused;
                self.refused = Some(Reason::BadRequest);
            }
        }
        if self.body.is_over() {
            found.end = End::At(end);
        }
        !needs_more
    }

    fn take_head(&mut self) -> bool {
        if self.allows_empty_line && self.buffer.starts_with(b"\r\n") {
            self.allows_empty_line = false;
            self.buffer.advance(2);
        }
        if self.buffer.is_empty() || (self.allows_empty_line && &self.buffer[..] == b"\r") {
            return false;
        }
        match self.scanner.scan(&self.buffer, self.bounds) {
            Ok(None) => {
                assert!(self.buffer.len() <= self.bounds.bytes, "a head is held beyond its bound");
                return false;
            }
            Ok(Some(length)) => self.begin(length),
            Err(reason) => self.refused = Some(reason),
        }
        true
    }

    fn begin(&mut self, length: usize) {
        let from = self.came - self.buffer.len();
        self.scanner = Scanner::default();
        match parse(&self.buffer.split_to(length).freeze()) {
            Err(reason) => self.refused = Some(reason),
            Ok(head) => {
                let has_body = !head.body.is_over();
                let end = if has_body { End::Open } else { End::At(from + length) };
                self.found.push(Found { from, head: length, body: Vec::new(), end });
                self.body = head.body;
                self.allows_empty_line = has_body;
                self.is_last = !head.keeps_alive || head.offers_upgrade;
            }
        }
    }
}

fn check_bounds(head: &[u8], bounds: HeadBounds) {
    assert!(head.len() <= bounds.bytes, "a head of {} bytes", head.len());
    let lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
    // The request line, the empty line, and what is behind it.
    assert!(lines.len() <= bounds.fields + 3, "a head of {} lines", lines.len());
    assert!(lines[0].len() <= bounds.target + REST_OF_LINE, "a request line without bound");
    let target = lines[0].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    assert!(target.len() <= bounds.target, "a target of {} bytes", target.len());
    assert!(head.ends_with(b"\r\n\r\n"));
    assert!(!head[..head.len() - 1].windows(4).any(|four| four == b"\r\n\r\n"), "two heads in one");
}

fn check_request(ours: &Head, theirs: &Request) {
    let (head, other) = (ours.request.head(), theirs.head());
    assert_eq!(head.method, other.method);
    assert_eq!(head.uri.to_string(), other.uri.to_string());
    assert_eq!(head.version, other.version);
    assert_eq!(head.headers.len(), other.headers.len());
    for name in head.headers.keys() {
        let values: Vec<_> = head.headers.get_all(name).collect();
        assert_eq!(values, other.headers.get_all(name).collect::<Vec<_>>(), "{name}");
    }
    // actix does not look into a value that is no text.
    let mut options = head.headers.get_all(header::CONNECTION);
    if other.connection_type() == ConnectionType::Close && options.all(|one| one.to_str().is_ok()) {
        assert!(!ours.keeps_alive, "actix closes");
    }
}

fn check_body(found: &Found, ours: &Head, wire: &[u8]) {
    let Some(Reading { request, body, left }) = read_request(wire) else {
        panic!("actix took the head");
    };
    let has_body = !ours.body.is_over();
    match (body, found.end) {
        // To actix a tunnel begins. It does not ask whether `Connection` names the `Upgrade`, and
        // a length beside one is refused by `request/`.
        (Body::Endless, _) => {
            let is_connect = request.method() == "CONNECT";
            assert!(!is_connect || !ours.keeps_alive, "behind CONNECT comes no request");
            assert!(is_connect || request.head().headers.contains_key(header::UPGRADE));
        }
        (Body::None, End::At(_)) => assert!(!has_body && left == 0),
        (Body::Whole(data), End::At(_)) => {
            assert!(has_body && left == 0, "actix sees another end");
            assert_eq!(data, found.body);
        }
        (Body::Partial(data), End::Open) => assert_eq!(data, found.body),
        // In the middle of a line that we want whole first.
        (Body::Refused, End::Open) => assert!(matches!(ours.body, Rest::Chunked(_))),
        // It takes a bare LF in trailers, and knows no bounds.
        (_, End::Refused) => assert!(matches!(ours.body, Rest::Chunked(_))),
        (body, end) => panic!("actix sees another end than {end:?}: {body:?}"),
    }
}
