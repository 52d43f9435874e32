//! The bytes of a client on their way through the guard. Any split of them gives the same
//! requests; heads keep their bounds; and what goes on as one request is one to actix as well,
//! which is refused, or ends with its last byte.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::{
    config::HeadBounds,
    guard::fuzz::{Expects, Guard, Scanner},
};
use proxy_fuzz::{Reading, pieces, read_request};

const BOUNDS: HeadBounds = HeadBounds { bytes: 512, fields: 8, target: 100 };

/// What went on, request by request, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Passed {
    requests: Vec<(Vec<u8>, Expects)>,
    /// Bytes of a request that is not whole.
    rest: Vec<u8>,
    is_refused: bool,
}

impl Passed {
    /// How much of what is refused has gone on before is a matter of time.
    fn refused(mut self) -> Self {
        self.rest.clear();
        self.is_refused = true;
        self
    }
}

fuzz_target!(|input: &[u8]| {
    let (pieces, wire) = pieces(input);
    let passed = pass(&[wire]);
    assert_eq!(pass(&pieces), passed, "the guard depends on the split");
    for (request, expects) in &passed.requests {
        check_bounds(request);
        check_reading(request, *expects);
    }
});

/// Does what `GuardIo` does with the bytes that come, and answers every request at once.
fn pass(pieces: &[&[u8]]) -> Passed {
    let mut guard = Guard::default();
    let mut passed = Passed { requests: Vec::new(), rest: Vec::new(), is_refused: false };
    let mut held = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            let Ok(length) = guard.pass(&held, BOUNDS) else {
                return passed.refused();
            };
            assert!(length <= held.len(), "more goes on than there is");
            passed.rest.extend(held.drain(..length));
            let expects = guard.expects();
            match expects {
                Expects::Answer => {
                    passed.requests.push((std::mem::take(&mut passed.rest), expects));
                    guard.answered();
                }
                Expects::AnswerToLast => {
                    passed.requests.push((std::mem::take(&mut passed.rest), expects));
                    assert_eq!(guard.pass(b"GET / HTTP/1.1\r\n\r\n", BOUNDS), Ok(0));
                    return passed;
                }
                Expects::Nothing => return passed.refused(),
                Expects::Head | Expects::Body | Expects::Anything => break,
            }
        }
    }
    if guard.expects() == Expects::Anything {
        passed.requests.push((std::mem::take(&mut passed.rest), Expects::Anything));
    }
    passed
}

fn check_bounds(request: &[u8]) {
    let length = Scanner::default().scan(request, BOUNDS).expect("was passed");
    let length = length.expect("was whole");
    let head = &request[..length];
    let lines = head.split(|byte| *byte == b'\n').count();
    assert!(length <= BOUNDS.bytes, "a head of {length} bytes");
    // The request line, the empty line, and what is behind it.
    assert!(lines <= BOUNDS.fields + 3, "a head of {lines} lines");
    assert!(head.ends_with(b"\r\n\r\n"));
    assert!(!head[..length - 2].windows(4).any(|four| four == b"\r\n\r\n"), "two heads in one");
}

fn check_reading(request: &[u8], expects: Expects) {
    match (read_request(request), expects) {
        (Reading::Refused, _) | (Reading::Endless(_), Expects::Anything) => {}
        (Reading::Whole { left, .. }, Expects::Answer | Expects::AnswerToLast) => {
            assert_eq!(left, 0, "actix sees an earlier end");
        }
        (Reading::Unfinished, _) => panic!("actix waits for more"),
        (Reading::Endless(_), _) => panic!("actix sees no end"),
        (Reading::Whole { .. }, _) => panic!("the guard sees no end, and actix does"),
    }
}
