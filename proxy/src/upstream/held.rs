//! What was read of a request body, from its first byte on, kept in case it has to be sent again.
//! Keeping never stops the stream: a body that grows beyond the bound is let go of, and then goes out
//! once only.

use bytes::{Bytes, BytesMut};

/// Most that one piece has when it is sent again, in bytes.
const PIECE: usize = 16 << 10;

/// Bound: twice `limit` bytes. They are copied: a piece would hold the buffer that it was read into,
/// however short it is.
#[derive(Debug)]
pub(super) struct Held {
    limit: usize,
    bytes: BytesMut,
    extent: Extent,
}

/// How much of the body is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// All that was read.
    Beginning,
    /// The whole body.
    Whole,
    /// It was more than may be kept: nothing.
    LetGo,
}

impl Held {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, bytes: BytesMut::new(), extent: Extent::Beginning }
    }

    /// Holds `bytes`, which were read; nothing of what may follow is kept.
    pub(super) fn beginning(bytes: BytesMut) -> Self {
        Self { limit: bytes.len(), bytes, extent: Extent::Beginning }
    }

    /// Holds a whole body.
    pub(super) fn whole(bytes: BytesMut) -> Self {
        Self { extent: Extent::Whole, ..Self::beginning(bytes) }
    }

    /// Keeps what was just read.
    pub(super) fn keep(&mut self, piece: &[u8]) {
        if self.extent == Extent::LetGo || self.bytes.len() + piece.len() > self.limit {
            self.extent = Extent::LetGo;
            self.bytes = BytesMut::new();
        } else {
            self.bytes.extend_from_slice(piece);
        }
    }

    /// The body has been read to its end.
    pub(super) fn end(&mut self) {
        if self.extent == Extent::Beginning {
            self.extent = Extent::Whole;
        }
    }

    /// Whether all that was read is here.
    pub(super) fn is_all_that_was_read(&self) -> bool {
        self.extent != Extent::LetGo
    }

    /// Whether the whole body is here.
    pub(super) fn is_whole(&self) -> bool {
        self.extent == Extent::Whole
    }

    /// Bytes that are here.
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// What follows the first `offset` bytes; `None` if there is nothing yet.
    pub(super) fn piece(&self, offset: usize) -> Option<Bytes> {
        let rest = self.bytes.get(offset..).filter(|rest| !rest.is_empty())?;
        Some(Bytes::copy_from_slice(&rest[..rest.len().min(PIECE)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_within_the_bound_is_kept_in_order() {
        let mut held = Held::new(6);
        held.keep(b"abc");
        held.keep(b"def");
        assert!(held.is_all_that_was_read() && !held.is_whole());
        assert_eq!(held.piece(0).as_deref(), Some(&b"abcdef"[..]));
        assert_eq!(held.piece(4).as_deref(), Some(&b"ef"[..]));
        assert_eq!(held.piece(6), None);
        held.end();
        assert!(held.is_whole());
    }

    #[test]
    fn a_body_beyond_the_bound_is_let_go_of_for_good() {
        let mut held = Held::new(5);
        for piece in [&b"abc"[..], b"def", b"g"] {
            held.keep(piece);
        }
        held.end();
        assert!(!held.is_all_that_was_read() && !held.is_whole());
        assert_eq!((held.piece(0), held.length()), (None, 0));
    }

    /// A piece of one byte out of a large buffer must not hold the buffer.
    #[test]
    fn what_is_held_takes_no_more_than_its_bytes() {
        let mut held = Held::new(1000);
        for _ in 0..1000 {
            held.keep(&Bytes::from(vec![b'x'; 32 << 10]).slice(..1));
        }
        assert!(held.bytes.capacity() <= 2048);
        assert_eq!(held.piece(0).map(|piece| piece.len()), Some(1000));
    }
}
