//! Random, by weight: each candidate as likely as its weight says. No state and no coordination
//! between workers, and in the long run fair; over short times the least even of all policies
//! (<https://en.wikipedia.org/wiki/Balls_into_bins_problem>). With equal weights one random number,
//! else also a walk over the list.

use rand::{RngExt, rngs::SmallRng};

use super::{Ask, Balancer, Candidates};

pub struct Random;

impl Balancer for Random {
    fn choose(&self, candidates: &Candidates<'_>, _: &Ask, rng: &mut SmallRng) -> usize {
        if candidates.is_even() {
            rng.random_range(0..candidates.list().len())
        } else {
            candidates.at(rng.random_range(0..candidates.total()))
        }
    }
}
