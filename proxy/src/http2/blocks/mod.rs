//! Header blocks of a client, each looked at as a whole before h2 is shown any of it (RFC 9113 section
//! 4.3): where one ends, what of its frames is compressed fields, and one written anew.
//!
//! h2 resets a stream for a malformed part of a block and then takes the rest of the block for a fault of the
//! connection. So it gets a block in one frame, if there is room for it in one.

mod fields;
mod huffman;
mod table;

use std::{borrow::Cow, ops::Range};

pub(super) use self::fields::{FieldBlocks, ODD_PATH, Of};
use super::frames::{CONTINUATION, END_HEADERS, END_STREAM, HEADER, HEADERS, PADDED};

/// Has a priority, which says another stream's number and a weight (RFC 9113 section 6.2).
const PRIORITY: u8 = 0x20;
const PRIORITY_LENGTH: usize = 5;
/// What a frame may hold (`SETTINGS_MAX_FRAME_SIZE`).
const LONGEST_FRAME: usize = 16 << 10;

/// How far a block goes that begins what was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// So many bytes of frames.
    Whole(usize),
    /// The rest is still to come.
    Begun,
    /// Larger than what is waited for.
    TooLarge,
    /// Its frames break a rule, for which h2 ends the connection.
    Broken,
}

/// Bounds of a block, in bytes of its frames and in frames that do not end it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Longest {
    bytes: usize,
    parts: usize,
}

impl Longest {
    /// `list`: the size of the largest list of fields. As much as h2 reads to answer 431, and as many
    /// frames.
    pub(super) fn of_list(list: usize) -> Self {
        let frames = (list / LONGEST_FRAME).max(1);
        Self { bytes: list.saturating_mul(4), parts: (frames + frames / 4).max(5) }
    }
}

pub(super) fn extent(bytes: &[u8], longest: Longest) -> Extent {
    let (mut at, mut parts) = (0, 0);
    loop {
        let Some(header) = bytes[at..].first_chunk::<HEADER>() else { return Extent::Begun };
        let kind = if at == 0 { HEADERS } else { CONTINUATION };
        let length = length(header);
        if header[3] != kind || header[5..] != bytes[5..HEADER] || length > LONGEST_FRAME {
            return Extent::Broken;
        }
        at += HEADER + length;
        let is_last = header[4] & END_HEADERS != 0;
        parts += usize::from(!is_last);
        if at > longest.bytes || parts > longest.parts {
            return Extent::TooLarge;
        }
        match bytes.len() {
            read if read < at => return Extent::Begun,
            _ if is_last => return Extent::Whole(at),
            _ => {}
        }
    }
}

/// Looks at the frames of a whole block; `None` if h2 may have them as they are.
pub(super) fn read(frames: &[u8], fields: &mut FieldBlocks, of: Of) -> Option<Vec<u8>> {
    let header = frames.first_chunk::<HEADER>()?;
    let first = HEADER + length(header);
    // Wrong padding ends the connection.
    let (part, is_malformed) = content(&frames[..first])?;
    let mut block = Cow::Borrowed(&frames[part]);
    let mut at = first;
    while let Some(next) = frames[at..].first_chunk::<HEADER>() {
        let end = at + HEADER + length(next);
        block.to_mut().extend_from_slice(&frames[at + HEADER..end]);
        at = end;
    }
    match (fields.read(&block, of, is_malformed), block) {
        (Some(anew), _) => Some(write(header, &anew)),
        (None, Cow::Owned(block)) => Some(write(header, &block)),
        (None, Cow::Borrowed(_)) => None,
    }
}

fn length(header: &[u8; HEADER]) -> usize {
    let [high, middle, low, ..] = *header;
    u32::from_be_bytes([0, high, middle, low]) as usize
}

/// Where compressed fields stand in a frame of kind HEADERS, and whether the stream depends on itself, for
/// which h2 would not read them.
fn content(frame: &[u8]) -> Option<(Range<usize>, bool)> {
    let flags = frame[4];
    let (mut from, mut end) = (HEADER, frame.len());
    if flags & PADDED != 0 {
        end = end.checked_sub(usize::from(*frame.get(from)?))?;
        from += 1;
    }
    let mut depends_on_itself = false;
    if flags & PRIORITY != 0 {
        let number = |four: &[u8]| [four[0] & 0x7f, four[1], four[2], four[3]];
        depends_on_itself = number(frame.get(from..from + 4)?) == number(&frame[5..HEADER]);
        from += PRIORITY_LENGTH;
    }
    (from <= end).then_some((from..end, depends_on_itself))
}

/// The frames of a block.
fn write(header: &[u8; HEADER], block: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(block.len() + 2 * HEADER);
    let parts = block.chunks(LONGEST_FRAME).len().max(1);
    for index in 0..parts {
        let part = &block[index * LONGEST_FRAME..block.len().min((index + 1) * LONGEST_FRAME)];
        let (kind, ends) =
            if index == 0 { (HEADERS, header[4] & END_STREAM) } else { (CONTINUATION, 0) };
        let is_last = if index + 1 == parts { END_HEADERS } else { 0 };
        let length = u32::try_from(part.len()).unwrap_or_default().to_be_bytes();
        written.extend_from_slice(&length[1..]);
        written.extend_from_slice(&[kind, ends | is_last]);
        written.extend_from_slice(&header[5..]);
        written.extend_from_slice(part);
    }
    written
}
