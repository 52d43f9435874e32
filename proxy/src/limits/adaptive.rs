//! Adaptive concurrency limit, by the gradient of latency as in Netflix's [concurrency-limits] and
//! Envoy's [adaptive concurrency]: what is in flight beyond the capacity of the endpoints only waits
//! there, so latency that rises above that of a light load says that the limit is too high.
//!
//! Each window of samples moves the limit to `limit × gradient + √limit`, where the gradient is
//! the latency of a light load, and a quarter, over that of the window, in 0.5 ..= 1. It settles
//! where 5/4 of the capacity and the root are. The latency of a light load is the mean of a while
//! at half the limit, measured again every 10 s, as BBR does; a lowest sample would take the fastest
//! page for the speed of all. Half the limit must be below the capacity: a limit that began too high
//! comes down over a few measurements.
//!
//! Pure of clocks; samples are atomics, constant memory.
//!
//! [concurrency-limits]: https://github.com/Netflix/concurrency-limits
//! [adaptive concurrency]: https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/adaptive_concurrency_filter

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use crate::clock::Millis;

/// The limit never goes below this, so that there are always samples.
pub const LEAST: u32 = 4;

const FIRST: u32 = 20;
const WINDOW_MS: u64 = 100;
const WINDOW_SAMPLES: u64 = 10;
/// Steady time between two measurements of a light load.
const STEADY_MS: u64 = 10_000;
/// A measurement has this many samples, or takes this long.
const MEASURE_SAMPLES: u64 = 50;
const MEASURE_MS: u64 = 1000;
/// Latency above that of a light load that is no sign of waiting.
const TOLERANCE: f64 = 1.25;
const SMOOTHING: f64 = 0.5;

/// Longest latency that counts, 67 s: the sum of a window must fit beside its count.
const LONGEST_US: u64 = 1 << 26;
const COUNT_BITS: u32 = 24;

/// The limit of one service, shared by all workers.
#[derive(Debug)]
pub struct AdaptiveLimit {
    limit: AtomicU32,
    /// When the window may end.
    due: AtomicU64,
    /// The window's samples: microseconds in all, and below in 24 bits their number.
    samples: AtomicU64,
    /// Most that was in flight in the window.
    peak: AtomicU32,
    /// Guards what a window is judged by: several numbers that change together, so no atomic. Requests
    /// only ever try it, ten times a second; held for a few operations on numbers. Who does not get it
    /// leaves the window to who has it.
    controller: Mutex<Controller>,
}

impl AdaptiveLimit {
    /// `ceiling` is taken for at least [`LEAST`].
    pub fn new(ceiling: u32) -> Self {
        let controller = Controller::new(ceiling.max(LEAST));
        Self {
            limit: AtomicU32::new(controller.allowed()),
            due: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            peak: AtomicU32::new(0),
            controller: Mutex::new(controller),
        }
    }

    /// Takes another ceiling; what was learned stays.
    pub fn bound(&self, ceiling: u32) {
        let mut controller = self.controller.lock().unwrap_or_else(PoisonError::into_inner);
        controller.ceiling = f64::from(ceiling.max(LEAST));
        controller.limit = controller.limit.min(controller.ceiling);
        self.limit.store(controller.allowed(), Relaxed);
    }

    /// How many requests may be in flight.
    pub fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    /// Takes the latency of a request that an endpoint answered, from its admission to the response
    /// head, and how many were in flight. Failures do not belong here: a refused connection is
    /// quick, and says nothing of capacity.
    pub fn observe(&self, now: Millis, latency_us: u64, in_flight: u32) {
        let sample = latency_us.min(LONGEST_US) << COUNT_BITS | 1;
        let samples = self.samples.fetch_add(sample, Relaxed).wrapping_add(sample);
        if in_flight > self.peak.load(Relaxed) {
            self.peak.fetch_max(in_flight, Relaxed);
        }
        if now.0 >= self.due.load(Relaxed) && Window::of(samples, 0).count >= WINDOW_SAMPLES {
            self.end_window(now);
        }
    }

    #[cold]
    fn end_window(&self, now: Millis) {
        let Ok(mut controller) = self.controller.try_lock() else {
            return;
        };
        // Another worker may have ended it since this one looked.
        if now.0 < self.due.load(Relaxed) {
            return;
        }
        self.due.store(now.plus(WINDOW_MS).0, Relaxed);
        let window = Window::of(self.samples.swap(0, Relaxed), self.peak.swap(0, Relaxed));
        controller.take(now, window);
        self.limit.store(controller.allowed(), Relaxed);
    }
}

/// What was seen in one window.
#[derive(Clone, Copy, Debug)]
struct Window {
    sum_us: u64,
    count: u64,
    peak: u32,
}

impl Window {
    fn of(samples: u64, peak: u32) -> Self {
        Self { sum_us: samples >> COUNT_BITS, count: samples & ((1 << COUNT_BITS) - 1), peak }
    }

    fn mean_us(self) -> f64 {
        self.sum_us as f64 / self.count.max(1) as f64
    }
}

#[derive(Debug)]
struct Controller {
    ceiling: f64,
    /// Outside of measurements.
    limit: f64,
    /// Latency of a light load.
    base_us: f64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Steady {
        until: Millis,
    },
    /// The limit was halved; what was admitted before is still to end.
    Settling {
        until: Millis,
    },
    /// From the end of the first window on.
    Measuring {
        since: Option<Millis>,
        sum_us: u64,
        count: u64,
    },
}

const MEASURE: Phase = Phase::Measuring { since: None, sum_us: 0, count: 0 };

impl Controller {
    fn new(ceiling: u32) -> Self {
        Self {
            ceiling: f64::from(ceiling),
            limit: f64::from(ceiling.min(FIRST)),
            base_us: 0.0,
            phase: MEASURE,
        }
    }

    fn allowed(&self) -> u32 {
        let limit = match self.phase {
            Phase::Steady { .. } => self.limit,
            Phase::Settling { .. } | Phase::Measuring { .. } => self.limit / 2.0,
        };
        // In LEAST ..= u32::MAX.
        limit.round().max(f64::from(LEAST)) as u32
    }

    fn take(&mut self, now: Millis, window: Window) {
        self.phase = match self.phase {
            Phase::Steady { until } => {
                self.limit = self.next_limit(window);
                if now < until { self.phase } else { settle(now, window) }
            }
            Phase::Settling { until } if now < until => self.phase,
            Phase::Settling { .. } => MEASURE,
            Phase::Measuring { since, sum_us, count } => self.measure(
                now,
                since.unwrap_or(now),
                sum_us + window.sum_us,
                count + window.count,
            ),
        };
    }

    fn measure(&mut self, now: Millis, since: Millis, sum_us: u64, count: u64) -> Phase {
        if count < MEASURE_SAMPLES && now.after(since) < MEASURE_MS {
            return Phase::Measuring { since: Some(since), sum_us, count };
        }
        self.base_us = sum_us as f64 / count.max(1) as f64;
        Phase::Steady { until: now.plus(STEADY_MS) }
    }

    fn next_limit(&self, window: Window) -> f64 {
        // Below half the limit nothing shows what it would do.
        if f64::from(window.peak) < self.limit / 2.0 {
            return self.limit;
        }
        let gradient = (TOLERANCE * self.base_us / window.mean_us().max(1.0)).clamp(0.5, 1.0);
        let next = self.limit * gradient + self.limit.sqrt();
        let smooth = self.limit + SMOOTHING * (next - self.limit);
        smooth.clamp(f64::from(LEAST), self.ceiling)
    }
}

/// Twice the latency of now is enough for all that wait to be answered.
fn settle(now: Millis, window: Window) -> Phase {
    Phase::Settling { until: now.plus((window.mean_us() / 500.0) as u64) }
}

#[cfg(test)]
mod tests;
