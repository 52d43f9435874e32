//! Looks at the frames that h2 writes, and only at their headers: how often it resets a stream by
//! itself, which it does for what the client did wrong (CVE-2025-8671: work begins and is dropped).
//! The proxy's own resets are told from them by their code.

use h2::Reason;

const HEADER: usize = 9;
const CODE: usize = 4;
const RST_STREAM: u8 = 3;

/// Faults that a client may have at once, and in each tick of 250 ms from then on.
const BURST: u32 = 100;
const PER_TICK: u32 = 8;

/// A walk over what one connection is sent.
#[derive(Debug)]
pub(super) struct Faults {
    /// With the code of a reset behind it.
    header: [u8; HEADER + CODE],
    length: usize,
    payload_left: usize,
    /// Faults that may still come.
    left: u32,
    in_all: usize,
}

impl Faults {
    pub(super) fn new() -> Self {
        let header = [0; HEADER + CODE];
        Self { header, length: 0, payload_left: 0, left: BURST, in_all: 0 }
    }

    /// Looks at what was written; whether there were too many faults.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> bool {
        let mut is_too_many = false;
        loop {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            let wanted = self.wanted();
            let (header, rest) = bytes.split_at((wanted - self.length).min(bytes.len()));
            self.header[self.length..][..header.len()].copy_from_slice(header);
            self.length += header.len();
            bytes = rest;
            if self.length < wanted {
                return is_too_many;
            }
            // The header of a reset wants its code, too.
            if self.length == self.wanted() {
                self.length = 0;
                is_too_many |= self.begin();
            }
        }
    }

    fn wanted(&self) -> usize {
        let is_reset = self.length >= HEADER && self.header[3] == RST_STREAM;
        if is_reset { HEADER + CODE } else { HEADER }
    }

    /// A frame has begun; whether it tells of one fault too many.
    fn begin(&mut self) -> bool {
        let [high, middle, low, kind, .., a, b, c, d] = self.header;
        if kind != RST_STREAM {
            self.payload_left = u32::from_be_bytes([0, high, middle, low]) as usize;
            return false;
        }
        let ours = [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR];
        if ours.contains(&u32::from_be_bytes([a, b, c, d]).into()) {
            return false;
        }
        self.in_all = self.in_all.saturating_add(1);
        let is_too_many = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_too_many
    }

    /// A tick has passed.
    pub(super) fn tick(&mut self) {
        self.left = (self.left + PER_TICK).min(BURST);
    }

    /// Faults in the life of the connection.
    pub(super) fn in_all(&self) -> usize {
        self.in_all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("is short");
        [&[0, 0, length, kind, 0, 0, 0, 0, 1], payload].concat()
    }

    fn reset(code: u8) -> Vec<u8> {
        frame(RST_STREAM, &[0, 0, 0, code])
    }

    #[test]
    fn faults_are_counted_wherever_the_bytes_are_cut() {
        let frames = [frame(4, &[]), reset(1), frame(0, &[3; 100]), reset(8), reset(5), reset(0)];
        let bytes = frames.concat();
        for cut in 0..bytes.len() {
            let mut faults = Faults::new();
            assert!(!faults.take(&bytes[..cut]) && !faults.take(&bytes[cut..]));
            assert_eq!((faults.left, faults.in_all()), (BURST - 2, 2), "{cut}");
        }
    }

    #[test]
    fn the_bound_is_a_rate() {
        let mut faults = Faults::new();
        assert!(!faults.take(&reset(1).repeat(BURST as usize)));
        faults.tick();
        assert!(!faults.take(&reset(1).repeat(PER_TICK as usize)));
        assert!(faults.take(&reset(1)));
    }

    #[test]
    fn resets_of_the_proxys_own_are_none() {
        let mut faults = Faults::new();
        for code in [0, 2, 8] {
            assert!(!faults.take(&reset(code).repeat(2 * BURST as usize)));
        }
    }
}
