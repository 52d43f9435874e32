//! Whether a store counts as down: after several failures in a row that were asked one after the other
//! and took a while together. One stall of the store makes everything late that is on its way to it,
//! and is one failure. Pure: time is passed in.

use std::{cell::Cell, time::Duration};

use tokio::time::Instant;

/// Failures in a row.
const MOST_FAILURES: u32 = 3;
/// From the first question of the row to the end of the last.
const LONGEST_ROW: Duration = Duration::from_millis(500);

/// Of the store as one worker sees it.
#[derive(Default)]
pub(super) struct Health {
    row: Cell<Option<Row>>,
    answered: Cell<Option<Instant>>,
    is_down: Cell<bool>,
}

/// Failures without an answer between them.
#[derive(Clone, Copy)]
struct Row {
    failures: u32,
    /// When the first of them was asked.
    began: Instant,
    /// When the last of them was known: what was asked before then is part of it.
    known: Instant,
}

impl Health {
    pub(super) fn is_down(&self) -> bool {
        self.is_down.get()
    }

    /// Whether there was an answer within `time` before now.
    pub(super) fn has_answered_within(&self, time: Duration, now: Instant) -> bool {
        self.answered.get().is_some_and(|answered| now - answered < time)
    }

    pub(super) fn answered(&self, now: Instant) {
        self.row.set(None);
        self.answered.set(Some(now));
    }

    /// Counts the failure of a question; says whether it is one too many.
    pub(super) fn failed(&self, asked: Instant, now: Instant) -> bool {
        let row = match self.row.get() {
            None => Row { failures: 1, began: asked, known: now },
            Some(row) if asked >= row.known => {
                Row { failures: row.failures.saturating_add(1), known: now, ..row }
            }
            Some(row) => row,
        };
        self.row.set(Some(row));
        row.failures >= MOST_FAILURES && now - row.began >= LONGEST_ROW
    }

    /// Says whether it was up.
    pub(super) fn goes_down(&self) -> bool {
        !self.is_down.replace(true)
    }

    pub(super) fn comes_back(&self, now: Instant) {
        self.answered(now);
        self.is_down.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(50);

    /// Questions that are asked at these times, in milliseconds, and fail.
    fn fail(health: &Health, start: Instant, asked: impl IntoIterator<Item = u64>) -> Vec<bool> {
        let asked = asked.into_iter().map(|millis| start + Duration::from_millis(millis));
        asked.map(|asked| health.failed(asked, asked + TIMEOUT)).collect()
    }

    #[test]
    fn what_was_on_its_way_in_one_stall_is_one_failure() {
        let (health, start) = (Health::default(), Instant::now());
        assert!(!fail(&health, start, [0; 1000]).contains(&true));
        assert!(!fail(&health, start, (0..300).step_by(5)).contains(&true), "300 ms are a stall");
    }

    #[test]
    fn a_row_that_goes_on_is_an_outage() {
        let (health, start) = (Health::default(), Instant::now());
        assert!(fail(&health, start, (0..600).step_by(50)).contains(&true));
    }

    #[test]
    fn few_failures_are_none_however_far_apart() {
        let (health, start) = (Health::default(), Instant::now());
        assert_eq!(fail(&health, start, [0, 60_000]), [false, false]);
    }

    #[test]
    fn an_answer_ends_the_row() {
        let (health, start) = (Health::default(), Instant::now());
        for second in 0..100 {
            let begin = start + Duration::from_secs(second);
            assert!(!fail(&health, begin, [0, 450]).contains(&true));
            health.answered(begin + Duration::from_millis(999));
        }
    }
}
