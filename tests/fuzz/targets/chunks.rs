//! Chunked bodies: the decoder of responses, the follower of requests, and actix's decoder of
//! requests. Any split of the bytes gives the same result, no two of them see different ends, and a
//! plain reading of the lines gives the same data.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use proxy::{
    guard::fuzz::Follower,
    upstream::fuzz::{Decoder, Piece},
};
use proxy_fuzz::{Reading, pieces, read_request};

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

/// Data, and where the body ends if it does; `None` for a refusal.
type Body = Option<(Vec<u8>, Option<usize>)>;

fuzz_target!(|input: &[u8]| {
    let (pieces, wire) = pieces(input);
    let decoded = decode(&[wire]);
    assert_eq!(decode(&pieces), decoded, "the decoder depends on the split");
    let followed = follow(&[wire]);
    assert_eq!(follow(&pieces), followed, "the follower depends on the split");
    if let (Some((_, decoded)), Some(followed)) = (&decoded, followed) {
        assert_eq!(*decoded, followed, "two ends");
    }
    compare_with_actix(wire, &decoded, followed);
    if let Some(Some(end)) = followed {
        read_plainly(&wire[..end]);
    }
    if let Some((data, Some(end))) = decoded {
        assert_eq!(read_plainly(&wire[..end]), data);
    }
});

/// The data of a whole body, read line by line; every line ends in CRLF and has no other CR or LF.
fn read_plainly(body: &[u8]) -> Vec<u8> {
    let (mut data, mut rest) = (Vec::new(), body);
    loop {
        let line = take_line(&mut rest);
        let digits = line.split(|byte| b"; \t".contains(byte)).next().unwrap_or_default();
        let digits = std::str::from_utf8(digits).expect("digits are ASCII");
        let size = usize::from_str_radix(digits, 16).expect("a size fits the body");
        if size == 0 {
            break;
        }
        data.extend_from_slice(&rest[..size]);
        rest = &rest[size..];
        assert!(take_line(&mut rest).is_empty());
    }
    while !take_line(&mut rest).is_empty() {}
    assert!(rest.is_empty());
    data
}

fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.windows(2).position(|two| two == b"\r\n").expect("a line has an end");
    let line = &rest[..end];
    assert!(!line.iter().any(|byte| b"\r\n".contains(byte)), "{}", line.escape_ascii());
    *rest = &rest[end + 2..];
    line
}

fn compare_with_actix(wire: &[u8], decoded: &Body, followed: Option<Option<usize>>) {
    let (body, end) = match read_request(&[HEAD, wire].concat()) {
        Reading::Refused => return,
        Reading::Unfinished => (None, None),
        Reading::Whole { body, left, .. } => (Some(body), Some(wire.len() - left)),
        Reading::Endless(_) => panic!("a chunked body has an end"),
    };
    if let Some(followed) = followed {
        assert_eq!(followed, end, "actix sees another end than the follower");
    }
    if let Some((data, decoded)) = decoded {
        assert_eq!(*decoded, end, "actix sees another end than the decoder");
        assert!(body.is_none_or(|body| body == *data), "actix sees other data");
    }
}

fn decode(pieces: &[&[u8]]) -> Body {
    let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
    let (mut data, mut came) = (Vec::new(), 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        came += piece.len();
        loop {
            match decoder.decode(&mut buffer).ok()? {
                Piece::Data(bytes) => {
                    assert!(!bytes.is_empty(), "an empty piece would end the body to the client");
                    data.extend_from_slice(&bytes);
                }
                Piece::Partial => break,
                Piece::End => return Some((data, Some(came - buffer.len()))),
            }
        }
    }
    Some((data, None))
}

/// Where the body ends, if it does.
fn follow(pieces: &[&[u8]]) -> Option<Option<usize>> {
    let mut follower = Follower::default();
    let mut length = 0;
    for piece in pieces {
        let (taken, is_whole) = follower.follow(piece).ok()?;
        length += taken;
        if is_whole {
            return Some(Some(length));
        }
        assert_eq!(taken, piece.len(), "bytes of a body are held back");
    }
    Some(None)
}
