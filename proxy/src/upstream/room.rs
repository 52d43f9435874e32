//! How much of a body is read at once. A large read saves system calls, and pays as long as what was
//! read goes out at once, so that its buffer comes back warm; of a body that comes slowly, or whose
//! client takes it slowly, it would only hold memory: docs/adr/0003.
//!
//! Bounds: 64 KiB for each body, and 256 KiB for as many as the loans of the worker allow.

use crate::{
    framing::Rest,
    scratch::{Loan, Scratch},
};

/// For a body of unknown length, at first; doubled while reads fill it.
const FIRST: usize = 16 << 10;
pub const USUAL: usize = 64 << 10;
/// While reads fill it, and there are loans.
const AMPLE: usize = 256 << 10;
/// A read that fills its room is followed by one that finds nothing; this much more prevents it.
const SLACK: u64 = 64;

/// Of one body.
pub(super) struct Room {
    size: usize,
    /// Chunks are handed on one by one, however many were read at once.
    is_chunked: bool,
    scratch: Scratch,
    loan: Option<Loan>,
}

impl Room {
    pub(super) fn new(rest: &Rest, scratch: Scratch) -> Self {
        let size = if matches!(rest, Rest::Length(_)) { USUAL } else { FIRST };
        let is_chunked = matches!(rest, Rest::Chunked(_));
        Self { size, is_chunked, scratch, loan: None }
    }

    /// Of the next read: all that is left, if that is known.
    pub(super) fn of(&self, rest: &Rest) -> usize {
        match rest {
            Rest::Length(left) => {
                usize::try_from(left.saturating_add(SLACK)).unwrap_or(usize::MAX).min(self.size)
            }
            Rest::Chunked(_) | Rest::UntilClose => self.size,
        }
    }

    /// A read has filled its room: there is more than was asked for.
    pub(super) fn was_filled(&mut self) {
        if self.size < USUAL {
            self.size *= 2;
        } else if self.loan.is_none() && !self.is_chunked {
            self.loan = self.scratch.lend(AMPLE);
            self.size = if self.loan.is_some() { AMPLE } else { USUAL };
        }
    }

    /// A read has found nothing: what was lent goes back, and the buffer with it.
    pub(super) fn was_empty(&mut self) {
        self.size = self.size.min(USUAL);
        self.loan = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_its_room_gets_more_as_long_as_there_are_loans() {
        let scratch = Scratch::default();
        let endless = Rest::Length(u64::MAX);
        let mut rooms: Vec<Room> = (0..40).map(|_| Room::new(&endless, scratch.clone())).collect();
        rooms.iter_mut().for_each(Room::was_filled);
        let ample = |rooms: &[Room]| rooms.iter().filter(|room| room.of(&endless) == AMPLE).count();
        assert_eq!(ample(&rooms), 32, "8 MiB");
        assert!(rooms[32..].iter().all(|room| room.of(&endless) == USUAL));
        rooms[0].was_empty();
        assert_eq!(rooms[0].of(&endless), USUAL);
        rooms[39].was_filled();
        assert_eq!(rooms[39].of(&endless), AMPLE);
        rooms.truncate(8);
        let mut late = Room::new(&endless, scratch);
        late.was_filled();
        assert_eq!(late.of(&endless), AMPLE);
    }

    #[test]
    fn a_known_length_is_read_at_once_and_an_unknown_one_is_felt_for() {
        let scratch = Scratch::default();
        let known = Rest::Length(1000);
        assert_eq!(Room::new(&known, scratch.clone()).of(&known), 1064);
        let mut unknown = Room::new(&Rest::UntilClose, scratch);
        let mut sizes = vec![unknown.of(&Rest::UntilClose)];
        for _ in 0..4 {
            unknown.was_filled();
            sizes.push(unknown.of(&Rest::UntilClose));
        }
        assert_eq!(sizes, [16 << 10, 32 << 10, 64 << 10, 256 << 10, 256 << 10]);
        let chunked = Rest::chunked(super::super::body::CHUNK_BOUNDS);
        let mut room = Room::new(&chunked, Scratch::default());
        (0..4).for_each(|_| room.was_filled());
        assert_eq!(room.of(&chunked), USUAL);
    }
}
