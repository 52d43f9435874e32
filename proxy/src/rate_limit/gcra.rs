//! GCRA, the generic cell rate algorithm of ATM (ATM Forum, Traffic Management 4.0, section 4.4.2),
//! as [Brandur Leach] tells it for requests: of a key one number is kept, the theoretical arrival
//! time (TAT), at which all that was let pass would have been paid for at the steady rate. A request
//! may come early by what the burst allows; each that passes puts the TAT off by one interval.
//!
//! A leaky bucket without a clock that drips: exact in every window, one word a key, and a key whose
//! TAT has passed is as good as one never seen. Pure: time is passed in.
//!
//! [Brandur Leach]: https://brandur.org/rate-limiting

use std::time::Duration;

use crate::{clock::nanos, config::RateConfig};

/// `burst` requests at once, then one each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Between two requests at the steady rate, in nanoseconds; never zero.
    interval: u64,
    /// How far a TAT may be ahead of now: the burst, as time. Far below `u64::MAX`.
    depth: u64,
}

/// What comes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub is_allowed: bool,
    /// As it was, if the request is refused, and no further ahead than the depth.
    pub new_tat: u64,
    /// Requests that may pass at once from here.
    pub remaining: u32,
    /// Until a request passes that is refused now; zero if it is allowed.
    pub retry_after: Duration,
    /// Until there is one more of `remaining`; zero if there are as many as there can be.
    pub reset_after: Duration,
}

impl Quota {
    /// `burst` at once, then `requests` in each `per`, evenly. Numbers that no configuration can have
    /// count as the nearest that it can: with those the arithmetic does not overflow.
    pub fn new(requests: u32, per: Duration, burst: u32) -> Self {
        let requests = requests.clamp(1, RateConfig::MOST_REQUESTS);
        let per = nanos(per.min(RateConfig::LONGEST_PER));
        let burst = burst.clamp(1, RateConfig::MOST_AT_ONCE);
        // Rounded up: never more than was asked for.
        let interval = per.div_ceil(u64::from(requests)).max(1);
        Self { interval, depth: interval * u64::from(burst) }
    }

    /// `tat` is that of the key, 0 for a new one; both are nanoseconds since one epoch. A TAT that is
    /// further ahead than the depth is from a clock that was set back: nobody waits for that to pass.
    pub fn decide(&self, tat: u64, now: u64) -> Decision {
        let tat = tat.min(now + self.depth);
        let paid = tat.max(now);
        let new_tat = paid + self.interval;
        let ahead = new_tat - now;
        if ahead > self.depth {
            return Self::refused(tat, ahead - self.depth);
        }
        self.allowed(new_tat, self.depth - ahead)
    }

    /// The TAT without a request that put it off to `charged`, and did not pass after all. What time has
    /// paid of it by now stays paid: never less than if it had not been counted.
    pub fn given_back(&self, tat: u64, charged: u64, now: u64) -> u64 {
        tat.saturating_sub(self.interval.min(charged.saturating_sub(now)))
    }

    /// What another has decided by the same arithmetic: that the request passes, and how much of the
    /// depth is left, or that it does not, and how long it has to wait; in nanoseconds.
    pub fn decided(&self, is_allowed: bool, left_or_wait: u64) -> Decision {
        if is_allowed { self.allowed(0, left_or_wait) } else { Self::refused(0, left_or_wait) }
    }

    /// Interval and depth in microseconds, for who counts in them.
    pub fn micros(&self) -> (f64, f64) {
        (self.interval as f64 / 1000.0, self.depth as f64 / 1000.0)
    }

    fn refused(tat: u64, wait: u64) -> Decision {
        let wait = Duration::from_nanos(wait);
        Decision {
            is_allowed: false,
            new_tat: tat,
            remaining: 0,
            retry_after: wait,
            reset_after: wait,
        }
    }

    fn allowed(&self, new_tat: u64, left: u64) -> Decision {
        Decision {
            is_allowed: true,
            new_tat,
            remaining: u32::try_from(left / self.interval).unwrap_or(u32::MAX),
            retry_after: Duration::ZERO,
            reset_after: Duration::from_nanos(self.interval - left % self.interval),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    /// Ten in a second, three at once.
    fn quota() -> Quota {
        Quota::new(10, Duration::from_secs(1), 3)
    }

    #[test]
    fn the_burst_passes_at_once_and_then_one_each_interval() {
        let (quota, now) = (quota(), 77 * MS);
        let mut tat = 0;
        for remaining in [2, 1, 0] {
            let decision = quota.decide(tat, now);
            assert_eq!((decision.is_allowed, decision.remaining), (true, remaining));
            assert_eq!(decision.reset_after, Duration::from_millis(100));
            tat = decision.new_tat;
        }
        let refused = quota.decide(tat, now + 40 * MS);
        assert_eq!((refused.is_allowed, refused.new_tat, refused.remaining), (false, tat, 0));
        assert_eq!(refused.retry_after, Duration::from_millis(60));
        assert_eq!(refused.reset_after, refused.retry_after);
        assert!(!quota.decide(tat, now + 100 * MS - 1).is_allowed);
        assert!(quota.decide(tat, now + 100 * MS).is_allowed);
    }

    #[test]
    fn a_key_that_has_paid_is_as_good_as_a_new_one() {
        let quota = quota();
        assert_eq!(quota.decide(0, 500), quota.decide(500, 500));
        assert_eq!(quota.decide(499, 500), quota.decide(500, 500));
    }

    #[test]
    fn the_next_request_comes_back_when_the_decision_says() {
        let quota = quota();
        let first = quota.decide(0, 0);
        let second = quota.decide(first.new_tat, 30 * MS);
        assert_eq!((second.remaining, second.reset_after), (1, Duration::from_millis(70)));
        let later = quota.decide(second.new_tat, 100 * MS);
        assert_eq!(later.remaining, 1, "one has come back, one was used");
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let quota = Quota::new(1, RateConfig::LONGEST_PER, u32::MAX);
        let century = 100 * 365 * nanos(RateConfig::LONGEST_PER);
        let decision = quota.decide(0, century);
        assert_eq!(decision.remaining, RateConfig::MOST_AT_ONCE - 1);
        assert!(!quota.decide(century + quota.depth, century).is_allowed);
        assert!(Quota::new(u32::MAX, Duration::ZERO, 0).decide(0, 0).is_allowed);
    }

    #[test]
    fn a_tat_of_a_clock_that_was_set_back_keeps_nobody_waiting() {
        let refused = quota().decide(3_600_000 * MS, 5 * MS);
        assert_eq!((refused.is_allowed, refused.retry_after), (false, Duration::from_millis(100)));
        assert!(quota().decide(refused.new_tat, 105 * MS).is_allowed);
    }

    proptest! {
        #[test]
        fn a_request_that_is_given_back_never_makes_room_for_another_and_soon_none_is_missing(
            steps in proptest::collection::vec((0u64..150 * MS, proptest::bool::ANY), 1..60),
        ) {
            let quota = quota();
            let (mut tat, mut without, mut now) = (0, 0, MS);
            for (pause, stays) in steps {
                now += pause;
                let decision = quota.decide(tat, now);
                if !decision.is_allowed {
                    continue;
                }
                tat = decision.new_tat;
                if stays {
                    without = quota.decide(without, now).new_tat;
                } else {
                    now += pause / 2;
                    tat = quota.given_back(tat, decision.new_tat, now);
                }
                prop_assert!(tat.max(now) >= without.max(now));
                prop_assert!(tat.max(now) == without.max(now));
            }
        }

        #[test]
        fn no_window_has_more_than_the_burst_and_what_has_come_back(
            (requests, per_ms, burst) in (1u32..50, 1u64..5000, 1u32..20),
            pauses in proptest::collection::vec(0u64..400 * MS, 1..120),
        ) {
            let quota = Quota::new(requests, Duration::from_millis(per_ms), burst);
            let (mut tat, mut now, mut passed) = (0, 0, Vec::new());
            for pause in pauses {
                now += pause;
                let decision = quota.decide(tat, now);
                tat = decision.new_tat;
                if decision.is_allowed {
                    passed.push(now);
                } else {
                    let back = now + nanos(decision.retry_after);
                    prop_assert!(quota.decide(tat, back).is_allowed);
                    prop_assert!(!quota.decide(tat, back - 1).is_allowed);
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let most = u64::from(burst) + (to - from) / quota.interval;
                    prop_assert!((last - first + 1) as u64 <= most);
                }
            }
        }
    }
}
