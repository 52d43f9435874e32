//! Chunked bodies, with the bounds of requests and with those of responses. Any split of the bytes
//! gives the same data, end or refusal; the narrow bounds are the only difference between the two;
//! and actix's decoder and a plain reading of the lines see the same data and the same end.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use proxy::{
    framing::{ChunkBounds, ChunkError, Rest, Taken},
    http1, upstream,
};
use proxy_fuzz::{Body, pieces, read_request};

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
const REQUEST: ChunkBounds = ChunkBounds { line: 1024, trailers: 8 << 10 };
const RESPONSE: ChunkBounds = ChunkBounds { line: 4096, trailers: 16 << 10 };

#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    data: Vec<u8>,
    /// Where the body ends, if it does.
    end: Result<Option<usize>, ChunkError>,
}

fuzz_target!(|input: &[u8]| {
    let (pieces, wire) = pieces(input);
    let decode = |bounds, body: fn() -> Rest| {
        let decoded = decode(&[wire], body(), bounds);
        assert_eq!(self::decode(&pieces, body(), bounds), decoded, "it depends on the split");
        decoded
    };
    let request = decode(REQUEST, http1::fuzz::chunked);
    let response = decode(RESPONSE, upstream::fuzz::chunked);
    if !matches!(request.end, Err(ChunkError::LongLine | ChunkError::LongTrailers)) {
        assert_eq!(request, response, "more than the bounds differs");
    }
    compare_with_actix(wire, &response);
    if let Ok(Some(end)) = response.end {
        let plain = read_plainly(&wire[..end]);
        assert_eq!(plain.data, response.data);
        assert!(plain.is_within(RESPONSE));
        assert_eq!(plain.is_within(REQUEST), request.end.is_ok());
    }
});

fn decode(pieces: &[&[u8]], mut body: Rest, bounds: ChunkBounds) -> Decoded {
    let (mut buffer, mut came, mut data) = (BytesMut::new(), 0, Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        came += piece.len();
        loop {
            match body.take(&mut buffer) {
                Ok(Taken::Data(bytes)) => {
                    assert!(!bytes.is_empty(), "an empty piece would end the body to the client");
                    assert!(!body.is_over());
                    data.extend_from_slice(&bytes);
                }
                Ok(Taken::NeedsMore) => {
                    assert!(!body.is_over());
                    assert!(buffer.len() < bounds.trailers + 2, "bytes are held beyond the bounds");
                    break;
                }
                Ok(Taken::End) => {
                    assert!(body.is_over());
                    return Decoded { data, end: Ok(Some(came - buffer.len())) };
                }
                Err(error) => return Decoded { data, end: Err(error) },
            }
        }
    }
    Decoded { data, end: Ok(None) }
}

/// It knows no bounds and takes a bare LF in trailers; whatever it refuses, we refuse.
fn compare_with_actix(wire: &[u8], ours: &Decoded) {
    let reading = read_request(&[HEAD, wire].concat()).expect("the head is whole");
    match (reading.body, ours.end) {
        (Body::None | Body::Endless, _) => panic!("a chunked body has an end"),
        (_, Err(_)) => {}
        (Body::Whole(data), Ok(end)) => {
            assert_eq!(end, Some(wire.len() - reading.left), "actix sees another end");
            assert_eq!(data, ours.data, "actix sees other data");
        }
        (Body::Partial(data), Ok(end)) => {
            assert_eq!(end, None, "actix sees no end");
            assert_eq!(data, ours.data, "actix sees other data");
        }
        // In the middle of a line that we want whole first.
        (Body::Refused, Ok(end)) => assert_eq!(end, None, "actix refuses a whole body"),
    }
}

#[derive(Default)]
struct Plain {
    data: Vec<u8>,
    /// Bytes of the longest size line.
    line: usize,
    /// Bytes of the trailer section, but for the last line end.
    trailers: usize,
}

impl Plain {
    fn is_within(&self, bounds: ChunkBounds) -> bool {
        self.line <= bounds.line && self.trailers <= bounds.trailers
    }
}

/// A whole body, read line by line; every line ends in CRLF and has no other CR or LF.
fn read_plainly(body: &[u8]) -> Plain {
    let (mut plain, mut rest) = (Plain::default(), body);
    loop {
        let line = take_line(&mut rest);
        plain.line = plain.line.max(line.len());
        let digits = line.split(|byte| b"; \t".contains(byte)).next().unwrap_or_default();
        let digits = std::str::from_utf8(digits).expect("digits are ASCII");
        let size = usize::from_str_radix(digits, 16).expect("a size fits the body");
        if size == 0 {
            break;
        }
        plain.data.extend_from_slice(&rest[..size]);
        rest = &rest[size..];
        assert!(take_line(&mut rest).is_empty());
    }
    let section = rest.len();
    loop {
        match take_line(&mut rest).len() {
            0 => break,
            _ => plain.trailers = section - rest.len() - 2,
        }
    }
    assert!(rest.is_empty());
    plain
}

fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.windows(2).position(|two| two == b"\r\n").expect("a line has an end");
    let line = &rest[..end];
    assert!(!line.iter().any(|byte| b"\r\n".contains(byte)), "{}", line.escape_ascii());
    *rest = &rest[end + 2..];
    line
}
