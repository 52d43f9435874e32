//! Frames (RFC 9113 section 4): a header of nine bytes and a payload, of any bytes.

use std::io::{self, Read};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const HAS_PRIORITY: u8 = 0x20;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const HEADER_TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;
pub const MAX_HEADER_LIST_SIZE: u16 = 6;

/// The longest payload that every peer takes (section 4.2).
pub const LONGEST: usize = 16_384;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame, sent or received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a payload is short");
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The next frame; `None` at the end of the connection.
    ///
    /// # Errors
    /// Those of the connection, and an end inside a frame.
    pub fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; 9];
        if stream.read(&mut head[..1])? == 0 {
            return Ok(None);
        }
        stream.read_exact(&mut head[1..])?;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
        Ok(Some(Self { kind, flags, stream, payload }))
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The number at `index` of a payload of 32-bit numbers.
    pub fn number(&self, index: usize) -> u32 {
        let bytes = self.payload.get(4 * index..4 * index + 4).expect("the payload holds it");
        u32::from_be_bytes(bytes.try_into().expect("four bytes"))
    }
}

pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let value = |(name, value): &(u16, u32)| {
        let (name, value) = (name.to_be_bytes(), value.to_be_bytes());
        [&name[..], &value[..]].concat()
    };
    let payload: Vec<u8> = values.iter().flat_map(value).collect();
    Frame::new(SETTINGS, 0, 0, payload).bytes()
}

pub fn settings_ack() -> Vec<u8> {
    Frame::new(SETTINGS, ACK, 0, []).bytes()
}

pub fn ping(number: u64) -> Vec<u8> {
    Frame::new(PING, 0, 0, number.to_be_bytes()).bytes()
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    Frame::new(WINDOW_UPDATE, 0, stream, increment.to_be_bytes()).bytes()
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    Frame::new(RST_STREAM, 0, stream, code.to_be_bytes()).bytes()
}

pub fn goaway(last: u32, code: u32) -> Vec<u8> {
    Frame::new(GOAWAY, 0, 0, [last.to_be_bytes(), code.to_be_bytes()].concat()).bytes()
}

/// A whole header block, in as many frames as it needs.
pub fn headers(stream: u32, block: &[u8], ends: bool) -> Vec<u8> {
    let (first, mut rest) = block.split_at(block.len().min(LONGEST));
    let flag = |rest: &[u8]| if rest.is_empty() { END_HEADERS } else { 0 };
    let flags = flag(rest) | if ends { END_STREAM } else { 0 };
    let mut bytes = Frame::new(HEADERS, flags, stream, first).bytes();
    while !rest.is_empty() {
        let (next, behind) = rest.split_at(rest.len().min(LONGEST));
        rest = behind;
        bytes.extend(Frame::new(CONTINUATION, flag(rest), stream, next).bytes());
    }
    bytes
}

pub fn data(stream: u32, content: &[u8], ends: bool) -> Vec<u8> {
    Frame::new(DATA, if ends { END_STREAM } else { 0 }, stream, content).bytes()
}

/// Data with so many bytes of padding behind it.
pub fn padded_data(stream: u32, content: &[u8], padding: u8, ends: bool) -> Vec<u8> {
    let payload = [&[padding], content, &vec![0; padding.into()]].concat();
    Frame::new(DATA, PADDED | if ends { END_STREAM } else { 0 }, stream, payload).bytes()
}
