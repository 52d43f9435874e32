//! Numbers that one thread writes and others read: a plain load and store, no locked instruction.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::error::Reason;

/// A number with one writing thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    pub fn subtract(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(amount), Relaxed);
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One number for each failure.
pub struct ByReason([Counter; Reason::ALL.len()]);

impl Default for ByReason {
    fn default() -> Self {
        Self(array::from_fn(|_| Counter::default()))
    }
}

impl ByReason {
    pub fn of(&self, reason: Reason) -> &Counter {
        &self.0[reason as usize]
    }
}

/// Upper bounds of the latency buckets, in seconds; what is slower counts as +Inf.
pub const BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// A distribution of durations with one writing thread.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS.len() + 1],
    sum_us: Counter,
}

impl Histogram {
    pub fn observe(&self, duration: std::time::Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BUCKETS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].add(1);
        self.sum_us.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds this distribution to `total`.
    pub fn add_to(&self, total: &mut Distribution) {
        for (count, bucket) in total.buckets.iter_mut().zip(&self.buckets) {
            *count += bucket.get();
        }
        total.sum_us += self.sum_us.get();
    }
}

/// The sum of several histograms, as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Not cumulative; the last one is +Inf.
    pub buckets: [u64; BUCKETS.len() + 1],
    pub sum_us: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for (duration, bucket) in [
            (Duration::ZERO, 0),
            (Duration::from_micros(500), 0),
            (Duration::from_micros(501), 1),
            (Duration::from_secs(60), 15),
            (Duration::from_secs(61), 16),
        ] {
            let mut before = Distribution::default();
            histogram.add_to(&mut before);
            histogram.observe(duration);
            let mut after = Distribution::default();
            histogram.add_to(&mut after);
            assert_eq!(after.buckets[bucket], before.buckets[bucket] + 1, "{duration:?}");
        }
    }
}
