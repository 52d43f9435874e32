//! What was read of a request body, kept in case it has to be sent again. Keeping never stops the
//! stream: a body that grows beyond the bound is let go of, and then goes out once only.

use std::cell::{Cell, RefCell};

use bytes::Bytes;

/// Bound: `limit` bytes; the pieces are shared with those that are being sent.
pub struct HeldBody {
    limit: usize,
    held: Cell<usize>,
    pieces: RefCell<Vec<Bytes>>,
    has_ended: Cell<bool>,
}

impl HeldBody {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            held: Cell::default(),
            pieces: RefCell::default(),
            has_ended: Cell::default(),
        }
    }

    /// Keeps a piece that was just read.
    pub(super) fn keep(&self, piece: &Bytes) {
        let held = self.held.get().saturating_add(piece.len());
        self.held.set(held);
        if held <= self.limit {
            self.pieces.borrow_mut().push(piece.clone());
        } else {
            self.pieces.take();
        }
    }

    /// Whether all that was read is here.
    pub fn is_whole(&self) -> bool {
        self.held.get() <= self.limit
    }

    /// The body has been read to its end.
    pub(super) fn end(&self) {
        self.has_ended.set(true);
    }

    /// Whether the whole body is here.
    pub fn is_complete(&self) -> bool {
        self.has_ended.get() && self.is_whole()
    }

    /// The piece at `place`, in the order they were read in.
    pub(super) fn piece(&self, place: usize) -> Option<Bytes> {
        self.pieces.borrow().get(place).cloned()
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
        assert!(held.is_whole());
        assert_eq!(held.piece(0).as_deref(), Some(&b"abc"[..]));
        assert_eq!(held.piece(1).as_deref(), Some(&b"def"[..]));
        assert_eq!(held.piece(2), None);
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
}
