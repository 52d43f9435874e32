//! Lines that were lost because stdout or stderr did not take them: counted for ever, and told of
//! once when it begins and once when it is over.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Debug, Default)]
pub struct Losses {
    all: AtomicU64,
    untold: AtomicU64,
}

impl Losses {
    pub(super) const fn none() -> Self {
        Self { all: AtomicU64::new(0), untold: AtomicU64::new(0) }
    }

    /// Counts lines. Whether they are the first since all was well.
    pub(super) fn add(&self, lines: u64) -> bool {
        self.all.fetch_add(lines, Relaxed);
        lines > 0 && self.untold.fetch_add(lines, Relaxed) == 0
    }

    /// How many were lost since this was last asked: to be told now that lines get out again.
    pub(super) fn tell(&self) -> Option<u64> {
        if self.untold.load(Relaxed) == 0 {
            return None;
        }
        Some(self.untold.swap(0, Relaxed)).filter(|lost| *lost > 0)
    }

    /// Telling has failed: to be told the next time.
    pub(super) fn keep_untold(&self, lines: u64) {
        self.untold.fetch_add(lines, Relaxed);
    }

    pub fn all(&self) -> u64 {
        self.all.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_begin_and_the_end_are_told_once_each() {
        let losses = Losses::none();
        assert_eq!(losses.tell(), None);
        assert_eq!([losses.add(2), losses.add(3)], [true, false]);
        assert_eq!((losses.tell(), losses.tell()), (Some(5), None));
        assert_eq!((losses.add(1), losses.tell()), (true, Some(1)));
        assert_eq!(losses.all(), 6);
    }

    #[test]
    fn what_could_not_be_told_is_told_later_and_counted_once() {
        let losses = Losses::none();
        losses.add(2);
        let lost = losses.tell().expect("is untold");
        losses.keep_untold(lost);
        assert_eq!((losses.tell(), losses.all()), (Some(2), 2));
    }
}
