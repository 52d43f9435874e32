//! Where a body of HTTP/1 ends (RFC 9112 section 6), for requests and responses alike: what of a
//! buffer belongs to it, and whether more must come. It reads nothing itself.

mod chunked;

use bytes::{Bytes, BytesMut};

pub use self::chunked::{ChunkBounds, ChunkDecoder, ChunkError, Decoded};

/// What is still to come of a body.
#[derive(Debug)]
pub enum Rest {
    /// So many bytes; 0 is the end.
    Length(u64),
    Chunked(ChunkDecoder),
    UntilClose,
}

/// What a buffer had of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Never empty.
    Data(Bytes),
    NeedsMore,
    End,
}

impl Rest {
    pub fn chunked(bounds: ChunkBounds) -> Self {
        Self::Chunked(ChunkDecoder::new(bounds))
    }

    /// Whether the end has been taken.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(decoder) => decoder.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Takes the next bytes of the body from the front of `buffer`.
    ///
    /// # Errors
    /// The bytes are not a chunked body.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Result<Taken, ChunkError> {
        match self {
            Self::Length(0) => Ok(Taken::End),
            Self::Length(_) | Self::UntilClose if buffer.is_empty() => Ok(Taken::NeedsMore),
            Self::Length(left) => {
                let available = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= available as u64;
                Ok(Taken::Data(buffer.split_to(available).freeze()))
            }
            Self::UntilClose => Ok(Taken::Data(buffer.split().freeze())),
            Self::Chunked(decoder) => Ok(match decoder.decode(buffer)? {
                Decoded::Data(bytes) => Taken::Data(bytes),
                Decoded::Partial => Taken::NeedsMore,
                Decoded::End => Taken::End,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_no_byte_of_what_follows() {
        let mut rest = Rest::Length(3);
        let mut buffer = BytesMut::from("ab");
        assert_eq!(rest.take(&mut buffer), Ok(Taken::Data("ab".into())));
        assert_eq!(rest.take(&mut buffer), Ok(Taken::NeedsMore));
        buffer.extend_from_slice(b"cGET");
        assert_eq!(rest.take(&mut buffer), Ok(Taken::Data("c".into())));
        assert!(rest.is_over());
        assert_eq!(rest.take(&mut buffer), Ok(Taken::End));
        assert_eq!(&buffer[..], b"GET");
    }
}
