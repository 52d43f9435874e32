//! Decodes `Transfer-Encoding: chunked` (RFC 9112 section 7.1). Strict: sizes are hexadecimal
//! digits, lines end in CRLF, extensions and trailers are skipped and bounded.

use bytes::{Buf, Bytes, BytesMut};

/// What may stand beside the data of a chunked body.
#[derive(Clone, Copy, Debug)]
pub struct ChunkBounds {
    /// Of one size line with its extension, in bytes.
    pub line: usize,
    /// Of the whole trailer section, in bytes.
    pub trailers: usize,
}

#[derive(Debug)]
pub struct ChunkDecoder {
    state: State,
    bounds: ChunkBounds,
}

#[derive(Debug)]
enum State {
    Size,
    Data(u64),
    /// The CRLF behind the data.
    DataEnd,
    Trailers(usize),
    Done,
}

/// What the next bytes mean.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    Data(Bytes),
    /// More bytes are needed.
    Partial,
    /// The body is complete; what is left in the buffer is not part of it.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("a chunk size is not hexadecimal")]
    Size,
    #[error("a chunk size does not fit 64 bits")]
    Overflow,
    #[error("a line does not end in CRLF")]
    LineEnd,
    #[error("a chunk line is too long")]
    LongLine,
    #[error("the trailer section is too long")]
    LongTrailers,
    #[error("a chunk extension has a control character")]
    Extension,
}

impl ChunkDecoder {
    pub fn new(bounds: ChunkBounds) -> Self {
        Self { state: State::Size, bounds }
    }

    /// Whether the last byte of the body has been taken.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes what it can from `buffer`.
    ///
    /// # Errors
    /// The bytes are not a chunked body, or break a bound.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, ChunkError> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = take_line(buffer, self.bounds.line, ChunkError::LongLine)?
                    else {
                        return Ok(Decoded::Partial);
                    };
                    self.state = match parse_size(&line)? {
                        0 => State::Trailers(0),
                        size => State::Data(size),
                    };
                }
                State::Data(_) if buffer.is_empty() => return Ok(Decoded::Partial),
                State::Data(left) => {
                    let available = buffer.len() as u64;
                    let taken = left.min(available);
                    self.state =
                        if taken == left { State::DataEnd } else { State::Data(left - taken) };
                    let taken = usize::try_from(taken).unwrap_or(buffer.len());
                    return Ok(Decoded::Data(buffer.split_to(taken).freeze()));
                }
                State::DataEnd => {
                    if !b"\r\n".starts_with(&buffer[..buffer.len().min(2)]) {
                        return Err(ChunkError::LineEnd);
                    }
                    if buffer.len() < 2 {
                        return Ok(Decoded::Partial);
                    }
                    buffer.advance(2);
                    self.state = State::Size;
                }
                State::Trailers(seen) => {
                    let room = self.bounds.trailers - seen;
                    let Some(line) = take_line(buffer, room, ChunkError::LongTrailers)? else {
                        return Ok(Decoded::Partial);
                    };
                    self.state = match line.len() {
                        0 => State::Done,
                        length => State::Trailers((seen + length + 2).min(self.bounds.trailers)),
                    };
                }
                State::Done => return Ok(Decoded::End),
            }
        }
    }
}

/// A line without its CRLF; `None` while it is incomplete and within `bound`.
fn take_line(
    buffer: &mut BytesMut,
    bound: usize,
    too_long: ChunkError,
) -> Result<Option<BytesMut>, ChunkError> {
    let Some(newline) = buffer.iter().take(bound + 2).position(|byte| *byte == b'\n') else {
        return if buffer.len() >= bound + 2 { Err(too_long) } else { Ok(None) };
    };
    let mut line = buffer.split_to(newline + 1);
    line.truncate(newline);
    if line.last() != Some(&b'\r') || line[..newline - 1].contains(&b'\r') {
        return Err(ChunkError::LineEnd);
    }
    line.truncate(newline - 1);
    Ok(Some(line))
}

fn parse_size(line: &[u8]) -> Result<u64, ChunkError> {
    let end = line.iter().position(|byte| b"; \t".contains(byte)).unwrap_or(line.len());
    let (digits, extension) = line.split_at(end);
    let mut bytes = extension.iter().copied();
    if bytes.find(|byte| !b" \t".contains(byte)).is_some_and(|byte| byte != b';') {
        return Err(ChunkError::Size);
    }
    if extension.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(ChunkError::Extension);
    }
    let mut size: u64 = 0;
    for digit in digits {
        let value = (*digit as char).to_digit(16).ok_or(ChunkError::Size)?;
        size = size
            .checked_mul(16)
            .and_then(|size| size.checked_add(u64::from(value)))
            .ok_or(ChunkError::Overflow)?;
    }
    if digits.is_empty() { Err(ChunkError::Size) } else { Ok(size) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: ChunkBounds = ChunkBounds { line: 4096, trailers: 16 << 10 };

    /// Feeds `pieces` one after the other; the data, and what is left behind the end if there was
    /// one.
    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, Option<Vec<u8>>), ChunkError> {
        let mut decoder = ChunkDecoder::new(BOUNDS);
        let (mut buffer, mut data) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer)? {
                    Decoded::Data(bytes) => data.extend_from_slice(&bytes),
                    Decoded::Partial => break,
                    Decoded::End => return Ok((data, Some(buffer.to_vec()))),
                }
            }
        }
        Ok((data, None))
    }

    #[test]
    fn chunks_extensions_and_trailers_are_read() {
        let wire: &[u8] = b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\nnext";
        assert_eq!(decode(&[wire]), Ok((b"abc0123456789".to_vec(), Some(b"next".to_vec()))));
    }

    #[test]
    fn what_the_grammar_does_not_have_is_refused() {
        for (wire, error) in [
            (&b"+3\r\nabc\r\n"[..], ChunkError::Size),
            (b"0x3\r\nabc\r\n", ChunkError::Size),
            (b"\r\nabc", ChunkError::Size),
            (b"3 x\r\nabc\r\n", ChunkError::Size),
            (b"3 \x0c\r\nabc\r\n", ChunkError::Size),
            (b"3\nabc\r\n", ChunkError::LineEnd),
            (b"3\r\r\nabc\r\n", ChunkError::LineEnd),
            (b"3\r\nabcX\r\n", ChunkError::LineEnd),
            (b"3\r\nabc\n", ChunkError::LineEnd),
            (b"10000000000000000\r\n", ChunkError::Overflow),
            (b"3;\x00\r\n", ChunkError::Extension),
        ] {
            assert_eq!(decode(&[wire]), Err(error), "{:?}", wire.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_size_line_and_the_trailers_are_bounded() {
        let line = [b"1;".to_vec(), vec![b'x'; BOUNDS.line]].concat();
        assert_eq!(decode(&[&line]), Err(ChunkError::LongLine));
        let trailers = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(3000)].concat();
        assert_eq!(decode(&[&trailers]), Err(ChunkError::LongTrailers));
    }

    #[test]
    fn a_cut_body_never_ends() {
        let wire = b"3\r\nabc\r\n0\r\n\r\n";
        for cut in 0..wire.len() {
            assert!(decode(&[&wire[..cut]]).is_ok_and(|(_, end)| end.is_none()), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn any_split_of_the_wire_gives_the_same_body(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in proptest::collection::vec(0usize..400, 0..8),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(wire.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&wire[from..cut]);
                from = cut;
            }
            pieces.push(&wire[from..]);
            prop_assert_eq!(decode(&pieces), Ok((chunks.concat(), Some(Vec::new()))));
        }
    }
}
