//! The limit before simulated servers: where it settles, and that it comes back.

use std::{cmp::Reverse, collections::BinaryHeap, thread};

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::*;

/// A server that works on `capacity` requests at once, first come first served, with the limit
/// before it. Times in microseconds.
struct Simulation {
    limit: AdaptiveLimit,
    rng: SmallRng,
    now: u64,
    capacity: usize,
    service_us: u64,
    /// Exponential service times instead of equal ones.
    varied: bool,
    /// When each place of the server is free.
    places: BinaryHeap<Reverse<u64>>,
    /// When they end, and when they began.
    in_flight: BinaryHeap<Reverse<(u64, u64)>>,
}

/// What a while of load came to.
struct Seen {
    lowest: u32,
    highest: u32,
    refused: f64,
}

impl Simulation {
    fn new(ceiling: u32, capacity: usize, service_us: u64) -> Self {
        Self {
            limit: AdaptiveLimit::new(ceiling),
            rng: SmallRng::seed_from_u64(7),
            now: 0,
            capacity,
            service_us,
            varied: false,
            places: (0..capacity).map(|_| Reverse(0)).collect(),
            in_flight: BinaryHeap::new(),
        }
    }

    /// Offers `load` × the capacity for some seconds, at random times; what was seen in the second
    /// half of them, outside of measurements.
    fn offer(&mut self, load: f64, seconds: u64) -> Seen {
        let (begin, end) = (self.now, self.now + seconds * 1_000_000);
        let mean_gap = self.service_us as f64 / (self.capacity as f64 * load);
        let (mut seen, mut asked) = (Seen { lowest: u32::MAX, highest: 0, refused: 0.0 }, 0.0);
        while self.now < end {
            self.now += (self.exponential() * mean_gap) as u64;
            self.finish();
            let is_refused = self.in_flight.len() >= self.limit.limit() as usize;
            if !is_refused {
                self.admit();
            }
            if self.now > begin.midpoint(end) {
                asked += 1.0;
                seen.refused += f64::from(u8::from(is_refused));
                let limit = self.limit.controller.lock().expect("is not poisoned").limit as u32;
                seen.lowest = seen.lowest.min(limit);
                seen.highest = seen.highest.max(limit);
            }
        }
        seen.refused /= asked;
        seen
    }

    fn admit(&mut self) {
        let Reverse(free) = self.places.pop().expect("has places");
        let length = if self.varied { self.exponential() } else { 1.0 };
        let end = free.max(self.now) + (length * self.service_us as f64) as u64;
        self.places.push(Reverse(end));
        self.in_flight.push(Reverse((end, self.now)));
    }

    /// Reports all that have ended by now.
    fn finish(&mut self) {
        while let Some(Reverse((end, begin))) = self.in_flight.peek().copied() {
            if end > self.now {
                return;
            }
            let count = u32::try_from(self.in_flight.len()).expect("is bounded by the limit");
            self.in_flight.pop();
            self.limit.observe(Millis(end / 1000), end - begin, count);
        }
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.rng.random::<f64>()).ln()
    }
}

#[test]
fn at_three_times_the_load_the_limit_is_one_to_two_capacities_and_then_refuses_nobody() {
    for (capacity, service_us) in [(10, 50_000), (10, 1000), (40, 20_000)] {
        let mut simulation = Simulation::new(1000, capacity, service_us);
        let seen = simulation.offer(3.0, 30);
        let (least, most) = (u32::try_from(capacity).expect("is small"), seen.highest);
        let case = format!("capacity {capacity}: {} to {most}, {}", seen.lowest, seen.refused);
        assert!(seen.lowest >= least && most <= 2 * least, "{case}");
        // A third of the requests is what the server can do at all.
        assert!(seen.refused < 1.0 - 0.95 / 3.0, "{case}");
        let seen = simulation.offer(0.7, 20);
        assert!(seen.refused < f64::EPSILON, "{case}, afterwards {}", seen.refused);
    }
}

#[test]
fn unequal_service_times_are_not_taken_for_waiting() {
    let mut simulation = Simulation { varied: true, ..Simulation::new(1000, 40, 20_000) };
    let seen = simulation.offer(0.7, 40);
    assert!(seen.refused < 0.005, "{} refused", seen.refused);
    let seen = simulation.offer(3.0, 30);
    assert!(seen.lowest >= 30 && seen.highest <= 100, "{} to {}", seen.lowest, seen.highest);
}

#[test]
fn a_limit_that_begins_too_high_comes_down() {
    let mut simulation = Simulation::new(1000, 3, 20_000);
    let seen = simulation.offer(3.0, 120);
    assert!(seen.lowest >= 3 && seen.highest <= 9, "{} to {}", seen.lowest, seen.highest);
}

#[test]
fn a_server_that_is_slower_for_good_is_measured_anew() {
    let mut simulation = Simulation::new(1000, 10, 5000);
    simulation.offer(0.7, 15);
    simulation.service_us = 20_000;
    let seen = simulation.offer(0.7, 40);
    assert!(seen.refused < 0.005, "{} refused", seen.refused);
}

#[test]
fn the_limit_stays_between_its_bounds() {
    for (ceiling, highest) in [(0, LEAST), (12, 12)] {
        let mut simulation = Simulation::new(ceiling, 100, 1000);
        assert_eq!(simulation.offer(3.0, 2).highest, highest);
    }
    let limit = AdaptiveLimit::new(1000);
    (0..1000).for_each(|request| limit.observe(Millis(request * 10), request * request, 1000));
    assert_eq!(limit.limit(), LEAST, "latency only rose");
    let endless = |request: u64| limit.observe(Millis(request * 10), u64::MAX, u32::MAX);
    (1000..5000).for_each(endless);
    assert!((LEAST..=1000).contains(&limit.limit()), "{}", limit.limit());
}

#[test]
fn however_many_threads_there_are_a_window_lasts_its_time() {
    let limit = AdaptiveLimit::new(1000);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5000).for_each(|now| limit.observe(Millis(now), 1000, 1000)));
        }
    });
    // One window measures, each of the other 49 adds half a root to 20; more would show as a higher
    // limit.
    let once = (1..50).fold(f64::from(FIRST), |limit, _| limit + SMOOTHING * limit.sqrt());
    let limit = f64::from(limit.limit());
    assert!(limit > f64::from(FIRST) && limit <= once.ceil(), "{limit}, not {once}");
}
