//! What was read of a request body, kept in case it has to be sent again. Keeping never stops the
//! stream: a body that grows beyond the bound is let go of, and then goes out once only.

use std::cell::{Cell, RefCell};

use bytes::{Bytes, BytesMut};

/// Most that one piece has when it is sent again, in bytes.
const PIECE: usize = 16 << 10;

/// Bound: twice `limit` bytes. They are copied: a piece would hold the buffer that it was read into,
/// however short it is.
pub struct HeldBody {
    limit: usize,
    read: Cell<usize>,
    bytes: RefCell<BytesMut>,
    has_ended: Cell<bool>,
}

impl HeldBody {
    pub fn new(limit: usize) -> Self {
        let bytes = RefCell::default();
        Self { limit, read: Cell::default(), bytes, has_ended: Cell::default() }
    }

    /// Holds `bytes`, which were read, and nothing that may follow.
    pub fn of(bytes: &Bytes) -> Self {
        let held = Self::new(bytes.len());
        held.keep(bytes);
        held
    }

    /// Keeps what was just read.
    pub(super) fn keep(&self, piece: &Bytes) {
        let read = self.read.get().saturating_add(piece.len());
        self.read.set(read);
        if read <= self.limit {
            self.bytes.borrow_mut().extend_from_slice(piece);
        } else {
            self.bytes.take();
        }
    }

    /// Bytes that were read.
    pub fn length(&self) -> usize {
        self.read.get()
    }

    /// Whether all that was read is here.
    pub fn is_whole(&self) -> bool {
        self.read.get() <= self.limit
    }

    /// The body has been read to its end.
    pub(super) fn end(&self) {
        self.has_ended.set(true);
    }

    /// Whether the whole body is here.
    pub fn is_complete(&self) -> bool {
        self.has_ended.get() && self.is_whole()
    }

    /// What follows the first `offset` bytes; `None` if there is nothing yet.
    pub(super) fn piece(&self, offset: usize) -> Option<Bytes> {
        let bytes = self.bytes.borrow();
        let rest = bytes.get(offset..).filter(|rest| !rest.is_empty())?;
        Some(Bytes::copy_from_slice(&rest[..rest.len().min(PIECE)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_within_the_bound_is_kept_in_order() {
        let held = HeldBody::new(6);
        held.keep(&Bytes::from_static(b"abc"));
        held.keep(&Bytes::from_static(b"def"));
        assert!(held.is_whole() && !held.is_complete());
        assert_eq!(held.piece(0).as_deref(), Some(&b"abcdef"[..]));
        assert_eq!(held.piece(4).as_deref(), Some(&b"ef"[..]));
        assert_eq!(held.piece(6), None);
        held.end();
        assert!(held.is_complete());
    }

    #[test]
    fn a_body_beyond_the_bound_is_let_go_of_for_good() {
        let held = HeldBody::new(5);
        for piece in [&b"abc"[..], b"def", b"g"] {
            held.keep(&Bytes::from_static(piece));
        }
        assert!(!held.is_whole());
        assert_eq!(held.piece(0), None);
    }

    /// A piece of one byte out of a large buffer must not hold the buffer.
    #[test]
    fn what_is_held_takes_no_more_than_its_bytes() {
        let held = HeldBody::new(1000);
        for _ in 0..1000 {
            held.keep(&Bytes::from(vec![b'x'; 32 << 10]).slice(..1));
        }
        assert!(held.bytes.borrow().capacity() <= 2048);
        assert_eq!(held.piece(0).map(|piece| piece.len()), Some(1000));
    }
}
