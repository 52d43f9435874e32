//! Uniformly random: no state, no coordination between workers, and in the long run even.

use rand::{RngExt, rngs::SmallRng};

use super::Balancer;
use crate::service::Endpoint;

pub struct Random;

impl Balancer for Random {
    fn choose(&self, eligible: &[Endpoint], rng: &mut SmallRng) -> usize {
        rng.random_range(0..eligible.len())
    }
}
