//! Follows a chunked request body to its end without touching it, and bounds what in it is not
//! data (RFC 9112 section 7.1): extensions and trailers carry nothing here.

use crate::error::Reason;

/// Bound on one size line with its extension, in bytes.
const LONGEST_LINE: u32 = 1024;
/// Bound on the whole trailer section, in bytes.
const LONGEST_TRAILERS: u32 = 8 << 10;

#[derive(Debug)]
pub(super) struct ChunkFollower {
    state: State,
    /// Bytes of the size line, or of the trailer section, so far.
    length: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the first digit of a size.
    SizeStart,
    Size(u64),
    Extension(u64),
    /// Behind the CR of a size line.
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
    Done,
}

impl Default for ChunkFollower {
    fn default() -> Self {
        Self { state: State::SizeStart, length: 0 }
    }
}

impl ChunkFollower {
    /// How many of `bytes` belong to the body, and whether it is complete with them.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<(usize, bool), Reason> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if let State::Data(left) = self.state {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += taken;
                let left = left - taken as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data(left) };
                continue;
            }
            self.step(bytes[at])?;
            at += 1;
        }
        Ok((at, self.state == State::Done))
    }

    fn step(&mut self, byte: u8) -> Result<(), Reason> {
        let before = self.state;
        let bound = if before.is_trailer() { LONGEST_TRAILERS } else { LONGEST_LINE };
        self.length += 1;
        if self.length > bound {
            return Err(Reason::BadRequest);
        }
        self.state = before.after(byte).ok_or(Reason::BadRequest)?;
        if self.state == State::SizeStart || before.is_trailer() != self.state.is_trailer() {
            self.length = 0;
        }
        Ok(())
    }
}

impl State {
    fn is_trailer(self) -> bool {
        matches!(self, Self::TrailerStart | Self::Trailer | Self::TrailerLf | Self::LastLf)
    }

    /// The next state; `None` where the grammar has no such byte.
    fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size(size) | Self::Extension(size), b'\r') => Self::SizeLf(size),
            (Self::SizeStart, _) => Self::Size(u64::from((byte as char).to_digit(16)?)),
            (Self::Size(size), _) => match (byte as char).to_digit(16) {
                Some(digit) => Self::Size(size.checked_mul(16)? | u64::from(digit)),
                None if b"; \t".contains(&byte) => Self::Extension(size),
                None => return None,
            },
            (Self::Extension(size), b'\t' | 0x20..=0x7e | 0x80..) => Self::Extension(size),
            (Self::SizeLf(0), b'\n') => Self::TrailerStart,
            (Self::SizeLf(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::SizeStart,
            (Self::TrailerStart, b'\r') => Self::LastLf,
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::TrailerLf, b'\n') => Self::TrailerStart,
            (Self::LastLf, b'\n') => Self::Done,
            (Self::TrailerStart | Self::Trailer, _) if byte != b'\n' => Self::Trailer,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_at_any_cut() {
        let body = b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nx: 1\r\n\r\n";
        let wire = [&body[..], b"GET / HTTP/1.1\r\n"].concat();
        for cut in 0..body.len() {
            let mut follower = ChunkFollower::default();
            assert_eq!(follower.follow(&wire[..cut]), Ok((cut, false)), "{cut}");
            assert_eq!(follower.follow(&wire[cut..]), Ok((body.len() - cut, true)), "{cut}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded_but_not_the_number_of_chunks() {
        let extension = [b"1;".to_vec(), vec![b'x'; 2000]].concat();
        assert_eq!(ChunkFollower::default().follow(&extension), Err(Reason::BadRequest));
        let trailers = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(2000)].concat();
        assert_eq!(ChunkFollower::default().follow(&trailers), Err(Reason::BadRequest));
        let many = b"1\r\nx\r\n".repeat(5000);
        assert_eq!(ChunkFollower::default().follow(&many), Ok((many.len(), false)));
    }

    #[test]
    fn what_the_grammar_does_not_have_is_refused() {
        for wire in [
            &b"3\r\nabcXY"[..],
            b"10000000000000000\r\n",
            b"3\nabc",
            b"3;x\nabc",
            b"3;\x00\r\n",
            b"0\r\nx\n",
            b"0\r\n\n",
            b"3\r\nabc\n",
            b"\r\n",
            b"-1\r\n",
            b"0x3\r\n",
        ] {
            let found = ChunkFollower::default().follow(wire);
            assert_eq!(found, Err(Reason::BadRequest), "{}", wire.escape_ascii());
        }
    }
}
