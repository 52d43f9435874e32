//! Smooth weighted round robin, nginx's
//! (<https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1>): a pick gives
//! every candidate credit by its weight, and takes the sum of it from the one that has most, which
//! is chosen. Heavy endpoints so get their turns spread out and not in a row.
//!
//! All workers share the credit in atomics. Each pick gives as much as it takes, so shares are exact
//! in the long run however picks interleave; a pick that runs beside another may choose the same.
//!
//! Credit is counted in picks, not in weights as nginx does. In weights, an endpoint of weight 1
//! beside one of 1000 comes to hold hundreds; if the heavy one then leaves, it would spend them
//! among its equals in a row. In picks, whatever joins or leaves, it holds about one. Nobody's credit
//! needs to change when the candidates do.
//!
//! Equal weights need no credit, only a counter. There is one for each number of candidates: with a
//! single one, retries that leave out the endpoint which failed would fall on the same turns again
//! and again, and so on the same endpoint.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};

use rand::rngs::SmallRng;

use super::{Ask, Balancer, Candidates};

/// One pick of credit; well above any sum of weights, and thousands fit into the numbers.
const PICK: u64 = 1 << 48;

pub struct RoundRobin {
    /// Turns taken, by number of candidates less one.
    turns: Box<[AtomicUsize]>,
    /// By place.
    credit: Box<[AtomicI64]>,
}

impl RoundRobin {
    /// For a service of so many endpoints. Bound: 16 bytes for each.
    pub fn new(endpoints: usize) -> Self {
        Self {
            turns: (0..endpoints).map(|_| AtomicUsize::new(0)).collect(),
            credit: (0..endpoints).map(|_| AtomicI64::new(0)).collect(),
        }
    }

    fn by_turn(&self, count: usize) -> usize {
        self.turns[count - 1].fetch_add(1, Relaxed) % count
    }

    fn by_credit(&self, candidates: &Candidates<'_>) -> usize {
        // In these units weights add up to their total without rounding.
        let unit = (PICK / candidates.total()).cast_signed();
        let (mut most, mut chosen) = (i64::MIN, 0);
        for (index, candidate) in candidates.list().iter().enumerate() {
            let due = i64::from(candidate.weight) * unit;
            let credit = self.credit[candidate.place as usize].fetch_add(due, Relaxed) + due;
            if credit > most {
                (most, chosen) = (credit, index);
            }
        }
        let given = candidates.total().cast_signed() * unit;
        self.credit[candidates.list()[chosen].place as usize].fetch_sub(given, Relaxed);
        chosen
    }
}

impl Balancer for RoundRobin {
    fn choose(&self, candidates: &Candidates<'_>, _: &Ask, _: &mut SmallRng) -> usize {
        if candidates.is_even() {
            self.by_turn(candidates.list().len())
        } else {
            self.by_credit(candidates)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rand::{RngExt, SeedableRng};

    use super::{
        super::contract::{World, candidates},
        *,
    };

    /// The places that a service of these weights picks, each time from those places.
    struct Turns {
        world: World,
        policy: RoundRobin,
        weights: Vec<u32>,
        picks: Vec<u32>,
    }

    impl Turns {
        fn new(weights: &[u32]) -> Self {
            Self {
                world: World::new(weights.len()),
                policy: RoundRobin::new(weights.len()),
                weights: weights.to_vec(),
                picks: vec![0; weights.len()],
            }
        }

        fn next(&mut self, places: &[usize]) -> usize {
            let of = |place: &usize| (*place, self.weights[*place]);
            let list = candidates(places.iter().map(of));
            let mut rng = SmallRng::seed_from_u64(1);
            let index = self.policy.choose(&self.world.of(&list), &Ask::default(), &mut rng);
            self.picks[places[index]] += 1;
            places[index]
        }
    }

    #[test]
    fn turns_of_a_heavy_endpoint_are_spread_out() {
        let mut turns = Turns::new(&[5, 1, 1]);
        let order: Vec<usize> = (0..14).map(|_| turns.next(&[0, 1, 2])).collect();
        assert_eq!(order, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn equal_endpoints_take_turns() {
        let mut turns = Turns::new(&[3, 3, 3]);
        let order: Vec<usize> = (0..6).map(|_| turns.next(&[0, 1, 2])).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn shares_are_exact_whatever_four_threads_interleave() {
        let weights = [5, 1, 1, 3];
        let world = World::new(weights.len());
        let policy = RoundRobin::new(weights.len());
        let list = candidates(weights.into_iter().enumerate());
        let pick = || {
            let mut picks = [0_i64; 4];
            let mut rng = SmallRng::seed_from_u64(1);
            for _ in 0..50_000 {
                picks[policy.choose(&world.of(&list), &Ask::default(), &mut rng)] += 1;
            }
            picks
        };
        let threads: Vec<[i64; 4]> = thread::scope(|scope| {
            let running: Vec<_> = (0..4).map(|_| scope.spawn(pick)).collect();
            running.into_iter().map(|one| one.join().expect("does not panic")).collect()
        });
        for (place, weight) in weights.into_iter().enumerate() {
            let picked: i64 = threads.iter().map(|picks| picks[place]).sum();
            let due = 200_000 * i64::from(weight) / 10;
            // One that each thread was about to take.
            assert!((picked - due).abs() <= 4, "{picked} of {due}");
        }
        let credit: i64 = policy.credit.iter().map(|one| one.load(Relaxed)).sum();
        assert_eq!(credit, 0, "what is given is taken");
    }

    #[test]
    fn who_waited_beside_a_heavy_endpoint_gets_no_burst_when_it_leaves() {
        let mut turns = Turns::new(&[1000, 1, 2]);
        for _ in 0..400 {
            turns.next(&[0, 1]);
        }
        let order: Vec<usize> = (0..9).map(|_| turns.next(&[1, 2])).collect();
        let light = order.iter().filter(|place| **place == 1).count();
        assert!((2..=4).contains(&light), "{order:?}");
    }

    #[test]
    fn who_comes_back_gets_neither_a_burst_nor_a_wait() {
        for away in [1, 2, 3, 50, 1_000] {
            let mut turns = Turns::new(&[2, 1, 1]);
            for _ in 0..away {
                turns.next(&[0, 1, 2]);
            }
            for _ in 0..away {
                turns.next(&[0, 1]);
            }
            let order: Vec<usize> = (0..8).map(|_| turns.next(&[0, 1, 2])).collect();
            let back = order.iter().filter(|place| **place == 2).count();
            assert!((1..=3).contains(&back), "after {away}: {order:?}");
        }
    }

    /// However the set changes, nobody is ever far from what its weight made due to it.
    #[test]
    fn what_is_due_is_given_while_endpoints_come_and_go() {
        let mut rng = SmallRng::seed_from_u64(3);
        for pause in [1, 7, 100] {
            let weights = [1000, 1, 7, 7, 60, 2];
            let mut turns = Turns::new(&weights);
            let mut due = [0.0; 6];
            let mut places = vec![0, 1, 2, 3, 4, 5];
            for step in 0..100_000 {
                if step % pause == 0 {
                    places = (0..6).filter(|_| rng.random_bool(0.5)).collect();
                }
                // Equal weights take turns by their counters.
                if places.len() < 2 || places == [2, 3] {
                    continue;
                }
                let total: u32 = places.iter().map(|place| weights[*place]).sum();
                for place in &places {
                    due[*place] += f64::from(weights[*place]) / f64::from(total);
                }
                turns.next(&places);
                for (due, picks) in due.iter().zip(&turns.picks) {
                    assert!((due - f64::from(*picks)).abs() < 2.0, "{due:?} {:?}", turns.picks);
                }
            }
        }
    }

    #[test]
    fn retries_past_a_dead_endpoint_do_not_always_hit_the_same_one() {
        let mut turns = Turns::new(&[1, 1, 1]);
        for _ in 0..3_000 {
            if turns.next(&[0, 1, 2]) == 2 {
                turns.next(&[0, 1]);
            }
        }
        assert_eq!(turns.picks, [1_500, 1_500, 1_000]);
    }
}
