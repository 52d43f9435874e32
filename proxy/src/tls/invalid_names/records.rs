//! Where the first handshake message of a client begins and ends in its records (RFC 8446 section 5.1).
//!
//! Pure: bytes in, places out. What a server may refuse is not told from what it takes: whatever is no
//! hello in plain records is left to rustls.

use std::{borrow::Cow, ops::Range};

use super::MOST_HELLO;

const HEADER: usize = 5;
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Of a message: its type and three bytes of length.
pub(super) const MESSAGE_HEADER: usize = 4;

/// What the records begin with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    Hello,
    /// Or with the hello.
    ChangeCipherSpec,
}

/// What the bytes are so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Part,
    Whole,
    /// No hello, or one that is too long.
    Other,
}

pub(super) struct Records {
    begin: Begin,
    /// Where the records of the message begin.
    first: usize,
    /// Where the next record begins.
    next: usize,
    /// Bytes of the message before `next`.
    length: usize,
    /// What the message begins with.
    header: [u8; MESSAGE_HEADER],
}

/// What the bytes from some place on are.
enum Record {
    Part,
    Other,
    Whole { kind: u8, content: Range<usize> },
}

impl Records {
    pub(super) fn new(begin: Begin) -> Self {
        Self { begin, first: 0, next: 0, length: 0, header: [0; MESSAGE_HEADER] }
    }

    /// Goes on from where it was, with all the bytes from the first on.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Heard {
        loop {
            let heard = self.heard();
            if heard != Heard::Part {
                return heard;
            }
            match record(bytes, self.next) {
                Record::Part => return Heard::Part,
                Record::Whole { kind: HANDSHAKE, content } => self.take(bytes, content),
                Record::Whole { kind: CHANGE_CIPHER_SPEC, content } if self.may_skip() => {
                    (self.first, self.next) = (content.end, content.end);
                }
                Record::Other | Record::Whole { .. } => return Heard::Other,
            }
        }
    }

    /// The message; as it lies in `bytes` if it is in one record.
    pub(super) fn message<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let mut contents = self.contents(bytes);
        let first = bytes.get(contents.next()?)?;
        if contents.next().is_none() {
            return Some(Cow::Borrowed(first));
        }
        let parts: Option<Vec<&[u8]>> =
            self.contents(bytes).map(|content| bytes.get(content)).collect();
        Some(Cow::Owned(parts?.concat()))
    }

    /// Where in `bytes` a byte of the message lies.
    pub(super) fn place(&self, bytes: &[u8], mut offset: usize) -> Option<usize> {
        for content in self.contents(bytes) {
            if offset < content.len() {
                return Some(content.start + offset);
            }
            offset -= content.len();
        }
        None
    }

    fn heard(&self) -> Heard {
        let [kind, length @ ..] = self.header;
        if self.length > 0 && kind != CLIENT_HELLO {
            return Heard::Other;
        }
        let whole = MESSAGE_HEADER + big_endian(&length);
        // The length itself may have come in part.
        let is_whole = self.length >= MESSAGE_HEADER && self.length >= whole;
        if is_whole { Heard::Whole } else { Heard::Part }
    }

    fn may_skip(&self) -> bool {
        self.begin == Begin::ChangeCipherSpec && self.length == 0
    }

    fn take(&mut self, bytes: &[u8], content: Range<usize>) {
        self.next = content.end;
        let content = bytes.get(content).unwrap_or_default();
        for (place, byte) in self.header.iter_mut().skip(self.length).zip(content) {
            *place = *byte;
        }
        self.length += content.len();
    }

    /// Of each record that was read.
    fn contents(&self, bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let Record::Whole { content, .. } = record(bytes, next) else { return None };
            next = content.end;
            (next <= self.next).then_some(content)
        })
    }
}

/// The record that begins at `at`, as far as rustls would take it for one and the bound goes.
fn record(bytes: &[u8], at: usize) -> Record {
    let header = bytes.get(at..).unwrap_or_default();
    let header = header.get(..HEADER).unwrap_or(header);
    let is_known = match header {
        [] => true,
        [kind] => matches!(*kind, CHANGE_CIPHER_SPEC | HANDSHAKE),
        [kind, major, ..] => matches!(*kind, CHANGE_CIPHER_SPEC | HANDSHAKE) && *major == 3,
    };
    let length = header.get(3..HEADER).map(big_endian);
    let start = at + HEADER;
    match length {
        _ if !is_known || start >= MOST_HELLO => Record::Other,
        None => Record::Part,
        Some(length) if length == 0 || start + length > MOST_HELLO => Record::Other,
        Some(length) if start + length > bytes.len() => Record::Part,
        Some(length) => Record::Whole { kind: header[0], content: start..start + length },
    }
}

/// Of a few bytes.
pub(super) fn big_endian(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}
