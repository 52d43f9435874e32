//! Looks at the frames that a client sends before h2 does, and only at their headers (RFC 9113
//! section 4.1): how many cost work and bring none, and whether a header block is left unfinished. What
//! comes for a stream that is over gets another number (`past.rs`). A header block is held until it is
//! whole, and may be written anew (`blocks/`).
//!
//! h2 bounds empty and small DATA and CONTINUATION. It does not bound how often a client resets
//! (CVE-2023-44487 at a slow pace), pings, or changes its settings. What h2 counts for the life of a
//! connection is counted here too, so that the connection can be left in time.

use super::{
    blocks::{self, Extent, FieldBlocks, Longest, Of},
    past::Past,
};

/// What a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const HEADER: usize = 9;
const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;

/// Idle frames that a client may send at once, and in each tick of 250 ms from then on: more than
/// a browser that closes a window full of downloads, less than what hurts.
pub const BURST: u32 = 1000;
pub const PER_TICK: u32 = 50;
/// So many bytes of answers make room for another idle frame: a client that reads fast opens its
/// window often.
const BYTES_PER_FRAME: usize = 1 << 10;
/// A piece of an answer may be acknowledged by itself, for its stream and for the connection: with
/// many streams in one window, pieces are small. On average they have so many bytes, or it is an
/// answer that is asked for byte by byte (CVE-2019-9511).
const LEAST_PIECE: usize = 64;
const UPDATES_PER_PIECE: u32 = 2;

/// What h2 takes off its budget for a piece of a body is the rest to so many bytes, and it does not
/// give that back for streams that are over.
const FULL_PIECE: usize = 256;
/// That budget, in bytes: what was taken off it and is still buffered takes little memory.
pub(super) const PIECES: usize = 4 << 20;
/// Pieces with nothing in them that h2 takes in the life of a connection.
const MOST_EMPTY: u32 = 100;

/// What was looked at.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// All but so many bytes at the end, with which a header or a header block begins.
    AllBut(usize),
    /// All up to the end of a header block, which begins there and is that long; h2 gets another one.
    Anew { at: usize, length: usize, block: Vec<u8> },
    /// As much as is wanted of a client that sends too much for nothing.
    TooMuch,
}

/// A walk over the frames of one connection.
#[derive(Debug)]
pub struct Frames {
    /// Of the preface, still to come.
    preface_left: usize,
    /// Of the frame that has begun last, as the client sent it.
    kind: u8,
    stream: u32,
    payload_left: usize,
    /// Whether a header block has begun and not ended.
    in_block: bool,
    /// Header blocks that have ended.
    heads: u32,
    longest: Longest,
    fields: FieldBlocks,
    /// Idle frames that may still come.
    left: u32,
    /// Window updates that may still come and are not idle: pieces of answers have paid for them,
    /// and they may come late and all at once.
    updates: u32,
    /// Bytes of pieces that have paid for no update yet.
    unspent: usize,
    written: usize,
    /// The last stream that was opened.
    last_stream: u32,
    past: Past,
    /// Of [`PIECES`], what is lost for good.
    lost: usize,
    empty: u32,
}

impl Frames {
    /// `list`: the size of the largest list of fields that is read.
    pub fn new(list: usize) -> Self {
        Self {
            preface_left: PREFACE.len(),
            kind: DATA,
            stream: 0,
            payload_left: 0,
            in_block: false,
            heads: 0,
            longest: Longest::of_list(list),
            fields: FieldBlocks::default(),
            left: BURST,
            updates: 0,
            unspent: 0,
            written: 0,
            last_stream: 0,
            past: Past::default(),
            lost: 0,
            empty: 0,
        }
    }

    /// Looks at what has come. The beginning of a header or a block that is not whole is not looked at, and
    /// must come again with the rest of it.
    pub fn take(&mut self, bytes: &mut [u8]) -> Taken {
        let mut at = skip(&mut self.preface_left, bytes.len());
        loop {
            at += skip(&mut self.payload_left, bytes.len() - at);
            let left = bytes.len() - at;
            let Some((header, payload)) = bytes[at..].split_first_chunk::<HEADER>() else {
                return Taken::AllBut(left);
            };
            // How much of a padded piece is padding stands behind the header.
            if has_padding(header) && payload.is_empty() {
                return Taken::AllBut(left);
            }
            let is_head = header[3] == HEADERS;
            let padding = if has_padding(header) { 1 + u32::from(payload[0]) } else { 0 };
            let block = if is_head { self.take_block(&mut bytes[at..]) } else { Block::Broken };
            match block {
                Block::Fine(length) => at += length,
                Block::Begun => return Taken::AllBut(left),
                Block::TooMuch => return Taken::TooMuch,
                Block::Anew(length, block) => return Taken::Anew { at, length, block },
                Block::Broken => {
                    if self.begin_at(bytes, at, padding) {
                        return Taken::TooMuch;
                    }
                    at += HEADER;
                }
            }
        }
    }

    fn begin_at(&mut self, bytes: &mut [u8], at: usize, padding: u32) -> bool {
        bytes[at..].first_chunk_mut().is_some_and(|header| self.begin(header, padding))
    }

    /// A header block may have come whole.
    fn take_block(&mut self, bytes: &mut [u8]) -> Block {
        let length = match blocks::extent(bytes, self.longest) {
            Extent::Whole(length) => length,
            Extent::TooLarge => return Block::TooMuch,
            Extent::Broken => return Block::Broken,
            Extent::Begun => {
                self.in_block = true;
                return Block::Begun;
            }
        };
        let last_stream = self.last_stream;
        let Some(header) = bytes.first_chunk_mut() else { return Block::Begun };
        if self.begin(header, 0) {
            return Block::TooMuch;
        }
        let of = match self.stream {
            stream if stream > last_stream => Of::Head,
            stream if self.past.has(stream) => Of::Past,
            _ => Of::Trailers,
        };
        (self.in_block, self.payload_left) = (false, 0);
        match blocks::read(&bytes[..length], &mut self.fields, of) {
            Some(block) => Block::Anew(length, block),
            None => Block::Fine(length),
        }
    }

    /// A frame has begun; whether it is one too many.
    fn begin(&mut self, header: &mut [u8; HEADER], padding: u32) -> bool {
        let [high, middle, low, kind, flags, number @ ..] = header;
        let length = u32::from_be_bytes([0, *high, *middle, *low]);
        let (kind, flags) = (*kind, *flags);
        let stream = u32::from_be_bytes(*number) & (u32::MAX >> 1);
        (self.kind, self.stream, self.payload_left) = (kind, stream, length as usize);
        let instead = match kind {
            // A new stream is none of them.
            DATA | HEADERS if stream <= self.last_stream => self.past.instead_of(stream),
            _ => None,
        };
        if let Some(instead) = instead {
            *number = instead.to_be_bytes();
        }
        match kind {
            DATA => self.take_data(stream, length, length.saturating_sub(padding), flags),
            HEADERS => {
                self.heads = self.heads.wrapping_add(1);
                self.in_block = flags & END_HEADERS == 0;
                let is_new = stream > self.last_stream;
                self.last_stream = self.last_stream.max(stream);
                !is_new && self.past.has_trailed(stream) && self.is_one_too_many()
            }
            CONTINUATION => {
                self.in_block = flags & END_HEADERS == 0;
                false
            }
            WINDOW_UPDATE if self.updates > 0 => {
                self.updates -= 1;
                false
            }
            RST_STREAM | WINDOW_UPDATE | PRIORITY if self.past.takes_idle(stream) => false,
            _ => self.is_one_too_many(),
        }
    }

    /// Counts an idle frame.
    fn is_one_too_many(&mut self) -> bool {
        let is_too_many = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_too_many
    }

    /// A piece of a body, so many bytes of it without its padding; whether it does not fit into what is
    /// left of a stream that is over.
    fn take_data(&mut self, stream: u32, length: u32, content: u32, flags: u8) -> bool {
        let content = content as usize;
        if content < FULL_PIECE && flags & END_STREAM == 0 {
            self.empty = self.empty.saturating_add(u32::from(content == 0));
            if self.past.has(stream) {
                self.lost = self.lost.saturating_add(FULL_PIECE - content);
            }
        }
        self.past.is_overrun(stream, length)
    }

    /// The proxy has ended a stream that the client had not; `is_reset`: h2 knows.
    pub(super) fn ended_early(&mut self, stream: u32, is_reset: bool) {
        self.past.remember(stream, is_reset);
    }

    /// The client hears of a larger window of its streams.
    pub(super) fn widened(&mut self, window: u32) {
        self.past.widened(window);
    }

    /// Whether a frame of the stream has come in part: h2 has been shown its number, and must still know
    /// the stream when the rest comes.
    pub(super) fn is_amid(&self, stream: u32) -> bool {
        self.stream == stream && self.payload_left > 0
    }

    /// Whether half of something is used up that h2 counts for the life of a connection.
    pub(super) fn is_worn(&self) -> bool {
        self.lost > PIECES / 2 || self.empty > MOST_EMPTY / 2
    }

    /// Answers were written.
    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        let earned = self.written / BYTES_PER_FRAME;
        self.written %= BYTES_PER_FRAME;
        self.earn(u32::try_from(earned).unwrap_or(BURST));
    }

    /// A piece of an answer is on its way, in a frame of its own.
    pub fn sent_piece(&mut self, bytes: usize) {
        self.unspent = self.unspent.saturating_add(bytes);
        if self.unspent >= LEAST_PIECE {
            self.unspent -= LEAST_PIECE;
            self.updates = self.updates.saturating_add(UPDATES_PER_PIECE);
        }
    }

    /// An answer has ended: however short it was, the client may open its windows behind it.
    pub(super) fn answered(&mut self) {
        self.updates = self.updates.saturating_add(UPDATES_PER_PIECE);
    }

    /// A tick has passed.
    pub fn tick(&mut self) {
        self.earn(PER_TICK);
    }

    fn earn(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(BURST);
    }

    /// Header blocks that have begun, so that one can be told from the next.
    pub fn heads(&self) -> u32 {
        self.heads.wrapping_add(u32::from(self.in_block))
    }

    /// Whether the client is amid its preface, or a block of header fields.
    pub fn is_amid_head(&self) -> bool {
        let is_headers = matches!(self.kind, HEADERS | CONTINUATION);
        let is_amid = self.payload_left > 0 && is_headers;
        self.preface_left > 0 || self.in_block || is_amid
    }
}

/// What became of a header block.
enum Block {
    /// For h2 as it came, or as it was written anew.
    Fine(usize),
    Anew(usize, Vec<u8>),
    Begun,
    /// Is none, or none that can be: what is known of it is a frame.
    Broken,
    TooMuch,
}

/// Whether the length of a padding comes first in the payload.
fn has_padding(header: &[u8; HEADER]) -> bool {
    let [high, middle, low, kind, flags, ..] = *header;
    kind == DATA && flags & PADDED != 0 && [high, middle, low] != [0; 3]
}

/// How much of so many bytes belongs to what is left.
fn skip(left: &mut usize, bytes: usize) -> usize {
    let skipped = (*left).min(bytes);
    *left -= skipped;
    skipped
}

#[cfg(test)]
mod tests;
