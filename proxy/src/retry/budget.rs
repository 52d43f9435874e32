//! Retry budget, as [Finagle's][finagle]: retries are a share of requests, so that an outage is not
//! multiplied by the attempts of every request.
//!
//! At each retry, those of the last 10 s, this one included, are at most `percent` of the requests
//! of the same 10 s, or at most [`FREE`]; so any 10 s have no more retries than the last of them was
//! allowed. It holds to the millisecond: requests are summed over ten slots of a second, which is
//! less than 10 s, retries over eleven, which is more. Each worker keeps the rule for itself, so the
//! workers together keep the share too, and [`FREE`] is for each of them.
//!
//! [finagle]: https://twitter.github.io/finagle/guide/Clients.html#retries

use std::cell::Cell;

use crate::clock::Millis;

/// Retries in 10 s that need no requests: a service with little traffic gets its retries, and more
/// of them than it takes to eject an endpoint that is gone.
pub const FREE: u64 = 10;

const SLOTS: u64 = 11;

/// One worker's retries of one service. Constant memory.
#[derive(Debug)]
pub struct RetryBudget {
    percent: Cell<u64>,
    /// The second that is counted in now.
    second: Cell<u64>,
    slots: [Slot; SLOTS as usize],
}

#[derive(Debug, Default)]
struct Slot {
    requests: Cell<u32>,
    retries: Cell<u32>,
}

impl RetryBudget {
    pub fn new(percent: u8) -> Self {
        let (percent, second) = (Cell::new(u64::from(percent)), Cell::new(0));
        Self { percent, second, slots: Default::default() }
    }

    /// Takes another share; what was counted stays.
    pub fn allow(&self, percent: u8) {
        self.percent.set(u64::from(percent));
    }

    /// Counts a request, whatever becomes of it.
    pub fn request(&self, now: Millis) {
        let requests = &self.slot(now).requests;
        requests.set(requests.get().saturating_add(1));
    }

    /// Takes a retry, if there is one.
    pub fn take(&self, now: Millis) -> bool {
        let is_left = self.left(now) > 0;
        if is_left {
            let retries = &self.slot(now).retries;
            retries.set(retries.get().saturating_add(1));
        }
        is_left
    }

    /// The retries that could be taken at once.
    pub fn left(&self, now: Millis) -> u64 {
        if self.percent.get() == 0 {
            return 0;
        }
        self.slot(now);
        let eldest = self.index(self.second.get() + 1);
        let sum =
            |count: fn(&Slot) -> u32| self.slots.iter().map(count).map(u64::from).sum::<u64>();
        let retries = sum(|slot| slot.retries.get());
        let requests =
            sum(|slot| slot.requests.get()) - u64::from(self.slots[eldest].requests.get());
        (requests * self.percent.get() / 100).max(FREE).saturating_sub(retries)
    }

    /// The slot of `now`, after all that are too old were emptied.
    fn slot(&self, now: Millis) -> &Slot {
        let second = now.0 / 1000;
        if second > self.second.get() {
            self.turn(second);
        }
        &self.slots[self.index(self.second.get())]
    }

    #[cold]
    fn turn(&self, second: u64) {
        let first = (self.second.get() + 1).max((second + 1).saturating_sub(SLOTS));
        for old in first..=second {
            let slot = &self.slots[self.index(old)];
            slot.requests.set(0);
            slot.retries.set(0);
        }
        self.second.set(second);
    }

    fn index(&self, second: u64) -> usize {
        (second % SLOTS) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(budget: &RetryBudget, tries: usize, now: u64) -> usize {
        (0..tries).filter(|_| budget.take(Millis(now))).count()
    }

    #[test]
    fn retries_are_a_share_of_the_requests_and_a_few_are_free() {
        let budget = RetryBudget::new(20);
        assert_eq!(taken(&budget, 20, 500), 10);
        (0..100).for_each(|_| budget.request(Millis(1000)));
        assert_eq!(budget.left(Millis(1000)), 10);
        assert_eq!(taken(&budget, 100, 9999), 10);
        assert_eq!(taken(&budget, 100, 10_999), 0, "the free ones of 500 still count");
        assert_eq!(taken(&budget, 100, 20_000), 10, "of 9999 none is left");
    }

    #[test]
    fn no_percent_is_no_retry() {
        let budget = RetryBudget::new(0);
        (0..1000).for_each(|_| budget.request(Millis(0)));
        assert_eq!(taken(&budget, 10, 0), 0);
    }

    proptest! {
        #[test]
        fn no_ten_seconds_that_end_with_a_retry_exceed_the_budget(
            percent in 0u8..=100,
            events in proptest::collection::vec((0u64..2500, 0u32..60, 0u32..20), 1..120),
        ) {
            let budget = RetryBudget::new(percent);
            let (mut now, mut requests, mut retries) = (0, Vec::new(), Vec::new());
            for (pause, asked, tried) in events {
                now += pause;
                for _ in 0..asked {
                    budget.request(Millis(now));
                    requests.push(now);
                }
                for _ in 0..tried {
                    let left = budget.left(Millis(now));
                    let taken = budget.take(Millis(now));
                    prop_assert_eq!(taken, left > 0);
                    if !taken {
                        break;
                    }
                    retries.push(now);
                    // The start is in for retries and out for requests: the harder way to count.
                    let retried = retries.iter().filter(|at| **at + 10_000 >= now).count();
                    let asked = requests.iter().filter(|at| **at + 10_000 > now).count();
                    let most = asked * usize::from(percent) / 100;
                    prop_assert!(retried <= most.max(10) && percent > 0, "{retried} of {asked}");
                }
            }
        }
    }
}
