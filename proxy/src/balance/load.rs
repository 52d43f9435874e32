//! What an endpoint is busy with: requests in flight, and how long its answers take of late. Read
//! by balancing policies, written by whoever sends; knows neither.
//!
//! Latency is a peak-sensitive exponentially weighted moving average, as in Finagle
//! (<https://github.com/twitter/finagle/blob/develop/finagle-core/src/main/scala/com/twitter/finagle/loadbalancer/PeakEwma.scala>)
//! and linkerd: it jumps up with the first slow answer, so that an endpoint in trouble is left at
//! once, and comes down over `TAU`, so that one fast answer is not believed.
//!
//! All workers share the numbers without lock. A sample may be lost when two workers report within
//! the same nanoseconds; the next one makes up for it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::clock::Millis;

/// Time over which an old sample loses all but 1/e of its weight, in milliseconds; as in linkerd.
const TAU: u32 = 10_000;
/// An average without a sample for so long, in milliseconds, says nothing any more.
const FORGOTTEN: u32 = 10 * TAU;
/// A failure counts as an answer that took so many times as long as usual: an endpoint that fails
/// fast must not look fast. Ten times takes 23 s to come down again, and grows with each failure.
const FAILURE_FACTOR: f32 = 10.0;
/// What is usual where no answer is known, in microseconds.
const UNKNOWN_US: f32 = 100_000.0;
/// The most that a failure counts, in microseconds: it keeps the numbers finite.
const LONGEST_PENALTY_US: f32 = 1e9;

/// The numbers of one endpoint. Two cache lines wide, the unit in which processors fetch, so that
/// endpoints do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Load {
    in_flight: AtomicU32,
    /// A `Latency`.
    latency: AtomicU64,
}

impl Load {
    /// Counts a request until `finish`.
    pub fn start(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Counts a request until `finish`, unless `most` are in flight already.
    pub fn start_below(&self, most: u32) -> bool {
        let started = |in_flight| (in_flight < most).then_some(in_flight + 1);
        self.in_flight.fetch_update(Relaxed, Relaxed, started).is_ok()
    }

    /// Ends what `start` or `start_below` began; once for each.
    pub fn finish(&self) {
        let before = self.in_flight.fetch_sub(1, Relaxed);
        debug_assert_ne!(before, 0, "finished without a start");
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Takes an answer, or the failure to get one, into the average.
    pub fn observe(&self, now: Millis, latency_us: u32, failed: bool) {
        let known = Latency::unpack(self.latency.load(Relaxed));
        self.latency.store(known.with(now, latency_us, failed).pack(), Relaxed);
    }

    /// The average in microseconds, above zero; `None` without a sample of the last 100 s.
    pub fn latency_us(&self, now: Millis) -> Option<f32> {
        Latency::unpack(self.latency.load(Relaxed)).decayed(now)
    }
}

/// An average and when it was true.
#[derive(Clone, Copy)]
struct Latency {
    /// Zero without a sample, else at least 1.
    average_us: f32,
    /// Low half of the `Millis`. An endpoint left alone for 24 days may look as if its sample was
    /// fresh: wrong for one request.
    at: u32,
}

impl Latency {
    fn unpack(packed: u64) -> Self {
        Self { average_us: f32::from_bits((packed >> 32) as u32), at: packed as u32 }
    }

    fn pack(self) -> u64 {
        u64::from(self.average_us.to_bits()) << 32 | u64::from(self.at)
    }

    /// Milliseconds since the sample; none if another worker's clock reading is ahead of `now`.
    fn age(self, now: Millis) -> u32 {
        let age = (now.0 as u32).wrapping_sub(self.at);
        if age < 1 << 31 { age } else { 0 }
    }

    fn is_known(self, now: Millis) -> bool {
        self.average_us > 0.0 && self.age(now) <= FORGOTTEN
    }

    /// Comes down while nothing is heard, so that an endpoint that was slow is tried again.
    fn decayed(self, now: Millis) -> Option<f32> {
        self.is_known(now).then(|| (self.average_us * kept(self.age(now))).max(1.0))
    }

    fn with(self, now: Millis, latency_us: u32, failed: bool) -> Self {
        let usual = if self.is_known(now) { self.average_us } else { 0.0 };
        let answer = (latency_us as f32).max(1.0);
        let sample = if failed { penalty(usual, answer) } else { answer };
        let age = self.age(now);
        // Of readings that race, the later one stays.
        let at = if age == 0 && usual > 0.0 { self.at } else { now.0 as u32 };
        let average_us =
            if sample >= usual { sample } else { sample + (usual - sample) * kept(age) };
        Self { average_us, at }
    }
}

/// The part of an average that is left after `age` milliseconds.
fn kept(age: u32) -> f32 {
    (-(age as f32) / TAU as f32).exp()
}

fn penalty(usual: f32, answer: f32) -> f32 {
    let usual = if usual > 0.0 { usual } else { UNKNOWN_US };
    (usual.max(answer) * FAILURE_FACTOR).min(LONGEST_PENALTY_US).max(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Millis = Millis(50_000);

    fn after(millis: u64) -> Millis {
        Millis(START.0 + millis)
    }

    fn with_sample(latency_us: u32) -> Load {
        let load = Load::default();
        load.observe(START, latency_us, false);
        load
    }

    fn latency(load: &Load, now: Millis) -> f32 {
        load.latency_us(now).expect("has a sample")
    }

    fn assert_near(value: f32, expected: f32) {
        assert!((value / expected - 1.0).abs() < 0.01, "{value} instead of {expected}");
    }

    #[test]
    fn latency_is_unknown_before_the_first_sample_and_long_after_the_last() {
        assert_eq!(Load::default().latency_us(Millis(0)), None);
        assert_eq!(Load::default().latency_us(START), None);
        let load = with_sample(1_000);
        assert!(load.latency_us(after(100_000)).is_some());
        assert_eq!(load.latency_us(after(100_001)), None);
        load.observe(after(200_000), 7, false);
        assert_near(latency(&load, after(200_000)), 7.0);
    }

    #[test]
    fn latency_jumps_up_at_once() {
        let load = with_sample(1_000);
        load.observe(START, 40_000, false);
        assert_near(latency(&load, START), 40_000.0);
    }

    #[test]
    fn latency_comes_down_over_tau() {
        let load = with_sample(40_000);
        load.observe(START, 1_000, false);
        assert_near(latency(&load, START), 40_000.0);
        load.observe(after(10_000), 1_000, false);
        assert_near(latency(&load, after(10_000)), 1_000.0 + 39_000.0 / std::f32::consts::E);
    }

    #[test]
    fn latency_comes_down_over_tau_through_small_steps_too() {
        let load = with_sample(40_000);
        for step in 1..=10_000 {
            load.observe(after(step), 1_000, false);
        }
        assert_near(latency(&load, after(10_000)), 1_000.0 + 39_000.0 / std::f32::consts::E);
    }

    #[test]
    fn latency_fades_while_nothing_is_heard_but_never_to_zero() {
        let load = with_sample(40_000);
        assert_near(latency(&load, after(10_000)), 40_000.0 / std::f32::consts::E);
        assert_near(latency(&with_sample(0), after(90_000)), 1.0);
    }

    #[test]
    fn a_failure_counts_as_a_slow_answer() {
        let load = with_sample(1_000);
        load.observe(START, 50, true);
        assert_near(latency(&load, START), 10_000.0);
        load.observe(START, 50, true);
        assert_near(latency(&load, START), 100_000.0);
        let never_well = Load::default();
        never_well.observe(START, 50, true);
        assert_near(latency(&never_well, START), 1_000_000.0);
    }

    #[test]
    fn failures_never_count_as_faster_than_they_were_and_stay_finite() {
        let load = Load::default();
        for _ in 0..100 {
            load.observe(START, 50, true);
        }
        assert_near(latency(&load, START), LONGEST_PENALTY_US);
        load.observe(START, 4_000_000_000, true);
        assert_near(latency(&load, START), 4e9);
    }

    #[test]
    fn a_clock_reading_from_behind_changes_nothing_but_a_peak() {
        let load = with_sample(1_000);
        assert_near(latency(&load, Millis(START.0 - 5)), 1_000.0);
        load.observe(Millis(START.0 - 5), 3_000, false);
        assert_near(latency(&load, START), 3_000.0);
        load.observe(after(10_000), 3_000, false);
        load.observe(Millis(START.0 - 5), 1_000, false);
        assert_near(latency(&load, after(10_000)), 3_000.0);
    }

    #[test]
    fn the_stamp_survives_the_turn_of_its_32_bits() {
        let load = Load::default();
        let before = Millis((1 << 32) - 5_000);
        load.observe(before, 40_000, false);
        let later = Millis(before.0 + 10_000);
        assert_near(latency(&load, later), 40_000.0 / std::f32::consts::E);
    }

    #[test]
    fn requests_in_flight_are_counted() {
        let load = Load::default();
        load.start();
        load.start();
        load.finish();
        assert_eq!(load.in_flight(), 1);
    }
}
