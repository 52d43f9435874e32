//! Looks at the frames that a client sends before h2 does, and only at their headers (RFC 9113
//! section 4.1): how many cost work and bring none, and whether a header block is left unfinished.
//!
//! h2 bounds empty and small DATA, CONTINUATION and resets that it makes itself. It does not bound
//! how often a client resets (CVE-2023-44487 at a slow pace), pings, or changes its settings.

/// What a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

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

/// A walk over the frames of one connection.
#[derive(Debug)]
pub struct Frames {
    /// Of the preface, still to come.
    preface_left: usize,
    header: [u8; HEADER],
    header_length: usize,
    payload_left: usize,
    /// Whether a header block has begun and not ended.
    in_block: bool,
    /// Header blocks that have begun.
    heads: u32,
    /// Idle frames that may still come.
    left: u32,
    /// Window updates that may still come and are not idle: pieces of answers have paid for them,
    /// and they may come late and all at once.
    updates: u32,
    /// Bytes of pieces that have not paid for an update yet.
    unpaid: usize,
    written: usize,
}

impl Frames {
    pub fn new() -> Self {
        Self {
            preface_left: PREFACE.len(),
            header: [0; HEADER],
            header_length: 0,
            payload_left: 0,
            in_block: false,
            heads: 0,
            left: BURST,
            updates: 0,
            unpaid: 0,
            written: 0,
        }
    }

    /// Looks at what has come; whether there were too many idle frames.
    pub fn take(&mut self, mut bytes: &[u8]) -> bool {
        skip(&mut self.preface_left, &mut bytes);
        loop {
            skip(&mut self.payload_left, &mut bytes);
            let room = HEADER - self.header_length;
            let (header, rest) = bytes.split_at(room.min(bytes.len()));
            self.header[self.header_length..][..header.len()].copy_from_slice(header);
            self.header_length += header.len();
            bytes = rest;
            if self.header_length < HEADER {
                return false;
            }
            self.header_length = 0;
            if self.begin() {
                return true;
            }
        }
    }

    /// A frame has begun; whether it is one too many.
    fn begin(&mut self) -> bool {
        let [high, middle, low, kind, flags, ..] = self.header;
        self.payload_left = u32::from_be_bytes([0, high, middle, low]) as usize;
        match kind {
            DATA => false,
            HEADERS | CONTINUATION => {
                self.heads = self.heads.wrapping_add(u32::from(kind == HEADERS));
                self.in_block = flags & END_HEADERS == 0;
                false
            }
            WINDOW_UPDATE if self.updates > 0 => {
                self.updates -= 1;
                false
            }
            _ => {
                let is_too_many = self.left == 0;
                self.left = self.left.saturating_sub(1);
                is_too_many
            }
        }
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
        self.unpaid = self.unpaid.saturating_add(bytes);
        if self.unpaid >= LEAST_PIECE {
            self.unpaid -= LEAST_PIECE;
            self.updates = self.updates.saturating_add(UPDATES_PER_PIECE);
        }
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
        self.heads
    }

    /// Whether the client is amid its preface, or a block of header fields.
    pub fn is_amid_head(&self) -> bool {
        let is_headers = matches!(self.header[3], HEADERS | CONTINUATION);
        let is_amid = self.payload_left > 0 && is_headers;
        self.preface_left > 0 || self.in_block || is_amid
    }
}

fn skip(left: &mut usize, bytes: &mut &[u8]) {
    let skipped = (*left).min(bytes.len());
    *left -= skipped;
    *bytes = &bytes[skipped..];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u32) -> Vec<u8> {
        let [_, high, middle, low] = length.to_be_bytes();
        let mut frame = vec![high, middle, low, kind, flags, 0, 0, 0, 1];
        frame.resize(HEADER + length as usize, 0);
        frame
    }

    fn begun() -> Frames {
        let mut frames = Frames::new();
        assert!(!frames.take(PREFACE));
        frames
    }

    #[test]
    fn frames_are_counted_wherever_the_bytes_are_cut() {
        let bytes = [frame(6, 0, 8), frame(0, 0, 300), frame(3, 0, 4), frame(1, 5, 40)].concat();
        for cut in 0..bytes.len() {
            let mut frames = begun();
            assert!(!frames.take(&bytes[..cut]) && !frames.take(&bytes[cut..]));
            assert_eq!((frames.left, frames.payload_left), (BURST - 2, 0), "{cut}");
        }
    }

    #[test]
    fn a_burst_passes_and_one_more_does_not() {
        let mut frames = begun();
        let resets = frame(3, 0, 4).repeat(BURST as usize);
        assert!(!frames.take(&resets));
        frames.tick();
        assert!(!frames.take(&frame(3, 0, 4).repeat(PER_TICK as usize)));
        assert!(frames.take(&frame(3, 0, 4)));
    }

    #[test]
    fn who_reads_may_open_its_window_as_often() {
        let mut frames = begun();
        for _ in 0..10 * BURST {
            assert!(!frames.take(&frame(8, 0, 4)));
            frames.wrote(BYTES_PER_FRAME);
        }
    }

    #[test]
    fn who_acknowledges_each_piece_of_many_streams_is_no_flood() {
        let acknowledged = frame(WINDOW_UPDATE, 0, 4).repeat(2);
        let mut frames = begun();
        for _ in 0..5 * BURST {
            frames.sent_piece(2 * LEAST_PIECE - 1);
            frames.sent_piece(1);
        }
        for _ in 0..10 * BURST {
            assert!(!frames.take(&acknowledged));
        }
        assert_eq!(frames.left, BURST);
        let mut frames = begun();
        let mut crumbs = (0..BURST).map(|_| {
            frames.sent_piece(1);
            frames.take(&acknowledged)
        });
        assert!(crumbs.any(|is_flood| is_flood));
    }

    #[test]
    fn data_and_requests_are_not_idle() {
        let mut frames = begun();
        let asked = [frame(1, 4, 10), frame(0, 1, 1)].concat();
        assert!(!frames.take(&asked.repeat(2 * BURST as usize)));
    }

    #[test]
    fn an_unfinished_head_is_noticed() {
        assert!(Frames::new().is_amid_head());
        let mut frames = begun();
        assert!(!frames.is_amid_head());
        frames.take(&frame(1, 0, 5));
        assert!(frames.is_amid_head());
        frames.take(&frame(9, END_HEADERS, 5));
        assert!(!frames.is_amid_head());
        let half = frame(1, END_HEADERS, 50);
        frames.take(&half[..30]);
        assert!(frames.is_amid_head());
        frames.take(&half[30..]);
        assert!(!frames.is_amid_head());
        frames.take(&frame(0, 0, 50)[..30]);
        assert!(!frames.is_amid_head());
    }
}
