//! Power of two choices by peak EWMA: of two candidates drawn at random, the one that is likely to
//! answer sooner, as in Finagle
//! (<https://twitter.github.io/finagle/guide/Clients.html#power-of-two-choices-p2c-least-loaded>)
//! and linkerd. Leaves slow endpoints without a look at all of them, and since each pick sees other
//! two, workers do not all run to the same (Mitzenmacher,
//! <https://www.eecs.harvard.edu/~michaelm/postscripts/mythesis.pdf>).
//!
//! What a candidate costs is its latency × (requests in flight + 1), the requests divided by its
//! weight's ratio to the mean. The weight does not divide the latency as well: heavy endpoints are
//! drawn more often already, and would else get everything while nobody is busy. If both cost the
//! same, the first drawn gets the request, so that equal endpoints get the shares of their weights.

use rand::{RngExt, rngs::SmallRng};

use super::{Ask, Balancer, Candidates};

/// What the first answer of an endpoint is expected to take, in microseconds, while it is waited
/// for: longer than those of any other.
const UNTRIED_US: f32 = 1e9;

pub struct P2cEwma;

impl Balancer for P2cEwma {
    fn choose(&self, candidates: &Candidates<'_>, ask: &Ask, rng: &mut SmallRng) -> usize {
        if candidates.list().len() == 1 {
            return 0;
        }
        let (first, second) = two(candidates, rng);
        let cost = |index| {
            let load = candidates.load(index);
            expected_us(
                load.latency_us(ask.now),
                load.in_flight() as f32 / ratio(candidates, index),
            )
        };
        if cost(second) < cost(first) { second } else { first }
    }
}

/// Two different candidates, each drawn by weight; there are at least two.
fn two(candidates: &Candidates<'_>, rng: &mut SmallRng) -> (usize, usize) {
    let list = candidates.list();
    if candidates.is_even() {
        let first = rng.random_range(0..list.len());
        let second = rng.random_range(0..list.len() - 1);
        return (first, second + usize::from(second >= first));
    }
    let first = candidates.at(rng.random_range(0..candidates.total()));
    let weight = u64::from(list[first].weight);
    // The weights laid end to end, that of the first left out.
    let before: u64 = list[..first].iter().map(|candidate| u64::from(candidate.weight)).sum();
    let point = rng.random_range(0..candidates.total() - weight);
    (first, candidates.at(if point < before { point } else { point + weight }))
}

/// Of a candidate's weight to the mean.
fn ratio(candidates: &Candidates<'_>, index: usize) -> f32 {
    if candidates.is_even() {
        return 1.0;
    }
    let mean = candidates.total() as f32 / candidates.list().len() as f32;
    candidates.list()[index].weight as f32 / mean
}

/// An endpoint of which nothing is known is tried before all others, but by one request at a time.
fn expected_us(latency_us: Option<f32>, in_flight: f32) -> f32 {
    match latency_us {
        Some(latency_us) => latency_us * (in_flight + 1.0),
        None if in_flight == 0.0 => 0.0,
        None => UNTRIED_US * (in_flight + 1.0),
    }
}

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, collections::BinaryHeap};

    use rand::SeedableRng;

    use super::{
        super::{
            Candidate,
            contract::{World, candidates},
        },
        *,
    };
    use crate::clock::Millis;

    /// A service whose endpoints answer after a fixed time each, or fail after it.
    struct Simulation {
        world: World,
        list: Vec<Candidate>,
        answers: Vec<Answer>,
        now_us: u64,
        /// End, place and start of each.
        running: BinaryHeap<Reverse<(u64, usize, u64)>>,
        rng: SmallRng,
    }

    #[derive(Clone, Copy)]
    struct Answer {
        latency_us: u64,
        failed: bool,
    }

    struct Seen {
        picks: Vec<u32>,
        most_in_flight: Vec<u32>,
    }

    fn answer(latency_us: u64) -> Answer {
        Answer { latency_us, failed: false }
    }

    impl Simulation {
        fn new(answers: &[Answer]) -> Self {
            Self {
                world: World::new(answers.len()),
                list: candidates((0..answers.len()).map(|place| (place, 1))),
                answers: answers.to_vec(),
                now_us: 0,
                running: BinaryHeap::new(),
                rng: SmallRng::seed_from_u64(11),
            }
        }

        /// 5,000 requests a second.
        fn run(&mut self, seconds: u64) -> Seen {
            let count = self.answers.len();
            let mut seen = Seen { picks: vec![0; count], most_in_flight: vec![0; count] };
            for _ in 0..seconds * 5_000 {
                self.now_us += 200;
                self.finish();
                let place = self.start();
                let in_flight = self.world.of(&self.list).load(place).in_flight();
                seen.picks[place] += 1;
                seen.most_in_flight[place] = seen.most_in_flight[place].max(in_flight);
            }
            seen
        }

        fn start(&mut self) -> usize {
            let candidates = self.world.of(&self.list);
            let ask = Ask { key: None, now: Millis(self.now_us / 1_000) };
            let place = P2cEwma.choose(&candidates, &ask, &mut self.rng);
            candidates.load(place).start();
            let end = self.now_us + self.answers[place].latency_us;
            self.running.push(Reverse((end, place, self.now_us)));
            place
        }

        fn finish(&mut self) {
            while let Some(Reverse((end, place, start))) = self.running.peek().copied() {
                if end > self.now_us {
                    return;
                }
                self.running.pop();
                let load = self.world.of(&self.list).load(place);
                let latency = u32::try_from(end - start).expect("is short");
                load.finish();
                load.observe(Millis(end / 1_000), latency, self.answers[place].failed);
            }
        }
    }

    #[test]
    fn a_slow_endpoint_is_avoided_and_tried_again_once_it_is_fast() {
        let mut answers = vec![answer(1_000); 5];
        answers[2] = answer(40_000);
        let mut simulation = Simulation::new(&answers);
        let seen = simulation.run(10);
        assert!((1..250).contains(&seen.picks[2]), "{:?} of 50,000", seen.picks);
        simulation.answers[2] = answer(1_000);
        simulation.run(60);
        let seen = simulation.run(10);
        assert!(seen.picks[2] > 7_500, "{:?} of 50,000", seen.picks);
    }

    #[test]
    fn an_endpoint_that_fails_fast_is_not_preferred() {
        let mut answers = vec![answer(1_000); 5];
        answers[2] = Answer { latency_us: 50, failed: true };
        let mut simulation = Simulation::new(&answers);
        let seen = simulation.run(60);
        assert!((2..300).contains(&seen.picks[2]), "{:?} of 300,000", seen.picks);
    }

    #[test]
    fn an_unknown_endpoint_is_tried_by_one_request_at_a_time() {
        let mut simulation = Simulation::new(&[answer(1_000); 4]);
        simulation.list.truncate(3);
        simulation.run(1);
        simulation.list = candidates((0..4).map(|place| (place, 1)));
        simulation.answers[3] = answer(400_000);
        let seen = simulation.run(1);
        assert_eq!((seen.picks[3], seen.most_in_flight[3]), (1, 1), "{:?}", seen.picks);
    }

    #[test]
    fn requests_in_flight_count_for_their_endpoint_s_weight() {
        let world = World::new(2);
        let list = candidates([(0, 1), (1, 3)]);
        let candidates = world.of(&list);
        let mut rng = SmallRng::seed_from_u64(2);
        let mut picks = [0_u32; 2];
        (0..2).for_each(|index| candidates.load(index).observe(Millis(0), 1_000, false));
        for _ in 0..1_000 {
            let index = P2cEwma.choose(&candidates, &Ask::default(), &mut rng);
            candidates.load(index).start();
            picks[index] += 1;
        }
        assert!((245..=255).contains(&picks[0]), "{picks:?}");
    }

    #[test]
    fn the_two_are_different_and_drawn_by_weight() {
        let world = World::new(3);
        let mut rng = SmallRng::seed_from_u64(2);
        for weights in [[1, 1, 1], [1, 2, 5]] {
            let list = candidates(weights.into_iter().enumerate());
            let mut drawn = [[0_i32; 3]; 3];
            for _ in 0..100_000 {
                let (first, second) = two(&world.of(&list), &mut rng);
                drawn[first][second] += 1;
            }
            let total: u32 = weights.iter().sum();
            let of = |index: usize| f64::from(weights[index]);
            for (first, second) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)]
            {
                let share =
                    of(first) / f64::from(total) * of(second) / (f64::from(total) - of(first));
                let expected = if first == second { 0.0 } else { share * 100_000.0 };
                let off = (f64::from(drawn[first][second]) - expected).abs();
                assert!(off <= 4.0 * expected.sqrt(), "{first} {second}: {off}");
            }
        }
    }
}
