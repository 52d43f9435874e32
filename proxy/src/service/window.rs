//! Requests and failures of the last seconds, counted by all workers without a lock.
//!
//! Ten slots in a ring, each word tagged with the tenth of the window that it counts, so that no
//! task has to turn them. Who first counts in a slot turns it by the same compare-exchange. A count
//! may be lost: to a thread so late that its slot has turned, at [`MOST`], or to a `clear` at the
//! same moment. None is ever invented, nor moved to another tenth. Memory is constant.

use std::{
    cmp::Ordering,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::clock::Millis;

const SLOTS: u64 = 10;

/// Below the tag of a word stands its count; 40 bits of tag last longer than any machine.
const COUNT_BITS: u32 = 24;

/// Requests that one slot counts; those beyond are lost with their failures, so that the ratio
/// stays that of the first.
pub const MOST: u64 = (1 << COUNT_BITS) - 1;

/// A sliding count over nine to ten tenths of its span, which is at least 10 ms: the current tenth
/// has only begun.
#[derive(Debug)]
pub struct Window {
    slot_ms: u64,
    slots: [Slot; SLOTS as usize],
}

#[derive(Debug, Default)]
struct Slot {
    requests: AtomicU64,
    failures: AtomicU64,
}

impl Window {
    pub fn new(span: Duration) -> Self {
        Self { slot_ms: (Millis::count(span) / SLOTS).max(1), slots: Default::default() }
    }

    /// Counts one request that ended at `now`.
    pub fn record(&self, now: Millis, failed: bool) {
        let tenth = self.tenth(now);
        let slot = &self.slots[(tenth % SLOTS) as usize];
        if count_one(&slot.requests, tenth) && failed {
            count_one(&slot.failures, tenth);
        }
    }

    /// Requests and failures; never more failures than requests.
    pub fn totals(&self, now: Millis) -> (u64, u64) {
        let tenth = self.tenth(now);
        let mut totals = (0, 0);
        for slot in &self.slots {
            totals.0 += counted(&slot.requests, tenth);
            totals.1 += counted(&slot.failures, tenth);
        }
        // The two are read one after the other, so a failure may be seen before its request.
        (totals.0, totals.1.min(totals.0))
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for slot in &self.slots {
            slot.requests.store(0, Relaxed);
            slot.failures.store(0, Relaxed);
        }
    }

    fn tenth(&self, now: Millis) -> u64 {
        now.0 / self.slot_ms
    }
}

fn count_one(word: &AtomicU64, tenth: u64) -> bool {
    let counted =
        word.fetch_update(Relaxed, Relaxed, |word| match (word >> COUNT_BITS).cmp(&tenth) {
            Ordering::Less => Some(tenth << COUNT_BITS | 1),
            Ordering::Equal if word & MOST < MOST => Some(word + 1),
            Ordering::Equal | Ordering::Greater => None,
        });
    counted.is_ok()
}

/// The count of a word, if it is of the window that ends in `tenth`. What a faster clock counted
/// after that is part of it.
fn counted(word: &AtomicU64, tenth: u64) -> u64 {
    let word = word.load(Relaxed);
    if tenth.saturating_sub(word >> COUNT_BITS) < SLOTS { word & MOST } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_counted_leaves_with_its_tenth() {
        let window = Window::new(SECOND);
        window.record(Millis(0), true);
        window.record(Millis(950), false);
        assert_eq!(window.totals(Millis(999)), (2, 1));
        assert_eq!(window.totals(Millis(1000)), (1, 0));
        assert_eq!(window.totals(Millis(1900)), (0, 0));
        window.record(Millis(1900), true);
        window.clear();
        assert_eq!(window.totals(Millis(1900)), (0, 0));
    }

    #[test]
    fn a_late_thread_does_not_turn_a_slot_back() {
        let window = Window::new(SECOND);
        window.record(Millis(1000), false);
        window.record(Millis(0), true);
        assert_eq!(window.totals(Millis(1000)), (1, 0));
    }

    #[test]
    fn a_full_slot_loses_requests_with_their_failures() {
        let window = Window::new(SECOND);
        window.slots[0].requests.store(MOST, Relaxed);
        window.record(Millis(0), true);
        assert_eq!(window.totals(Millis(0)), (MOST, 0));
    }

    #[test]
    fn racing_threads_invent_nothing() {
        let window = Window::new(Duration::from_millis(40));
        let (threads, each) = (4_u64, 20_000_u64);
        // All that is ever recorded in 40 ms.
        let most = threads * 100 * 40;
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for event in 0..each {
                        window.record(Millis(event / 100), event % 2 == 0);
                        let (requests, failures) = window.totals(Millis(event / 100));
                        assert!(failures <= requests && requests <= most, "{requests}");
                    }
                });
            }
        });
        let (requests, failures) = window.totals(Millis(each / 100 - 1));
        assert!(requests > 0 && failures <= requests && requests <= most, "{requests}");
    }

    proptest! {
        #[test]
        fn one_thread_counts_exactly_the_tenths_of_the_span(
            span in 10u64..5000,
            events in proptest::collection::vec((0u64..2000, any::<bool>()), 1..200),
        ) {
            let window = Window::new(Duration::from_millis(span));
            let (mut now, mut recorded) = (0, Vec::new());
            for (pause, failed) in events {
                now += pause;
                window.record(Millis(now), failed);
                recorded.push((now, failed));
                let slot = (span / SLOTS).max(1);
                let first = (now / slot + 1).saturating_sub(SLOTS) * slot;
                let live = recorded.iter().filter(|(at, _)| *at >= first);
                let failures = live.clone().filter(|(_, failed)| *failed).count() as u64;
                prop_assert_eq!(window.totals(Millis(now)), (live.count() as u64, failures));
                prop_assert!(now - first < span);
            }
        }
    }
}
