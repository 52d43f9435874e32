//! What every policy must keep, and the endpoints that tests of policies pick from.

use std::sync::Arc;

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::index};

use super::{
    Ask, Balancer, Candidate, Candidates, Hash, LeastRequests, Load, Member, P2cEwma, Random,
    RoundRobin, Sticky, WEIGHT_UNIT, Weights,
};
use crate::clock::Millis;

/// The endpoints of a service.
pub(super) struct World {
    loads: Vec<Arc<Load>>,
}

impl World {
    pub(super) fn new(count: usize) -> Self {
        Self { loads: (0..count).map(|_| Arc::default()).collect() }
    }

    pub(super) fn of<'a>(&'a self, list: &'a [Candidate]) -> Candidates<'a> {
        Candidates::new(list, &self.loads, Weights::of(list))
    }
}

/// Candidates from places with their configured weights.
pub(super) fn candidates(places: impl IntoIterator<Item = (usize, u32)>) -> Vec<Candidate> {
    let candidate = |(place, weight)| Candidate {
        place: u32::try_from(place).expect("is small"),
        weight: weight * WEIGHT_UNIT,
    };
    places.into_iter().map(candidate).collect()
}

const PICKS: u32 = 100_000;

/// The contract: for any number of candidates, any part of the endpoints, any weights, slow start
/// or none, the index of a candidate comes back, and each gets its weight's share of the picks, give
/// or take 2 % of it and what chance explains. Requests end at once and take the same time; each has
/// another key.
fn keeps_the_contract(build: impl Fn(&[Member<'_>]) -> Box<dyn Balancer>) {
    let mut rng = SmallRng::seed_from_u64(7);
    for count in 1..=10 {
        for is_even in [true, false] {
            let all = rng.random_range(count..=count + 3);
            let weights: Vec<u32> =
                (0..all).map(|_| if is_even { 2 } else { rng.random_range(1..=9) }).collect();
            let world = World::new(all);
            let urls: Vec<String> =
                (0..all).map(|index| format!("http://10.0.0.{index}")).collect();
            let members: Vec<Member<'_>> = urls
                .iter()
                .zip(&weights)
                .map(|(url, weight)| Member { url, weight: *weight })
                .collect();
            let mut places = index::sample(&mut rng, all, count).into_vec();
            places.sort_unstable();
            let mut list = candidates(places.iter().map(|place| (*place, weights[*place])));
            if !is_even {
                list[0].weight = rng.random_range(WEIGHT_UNIT / 10..=list[0].weight);
            }
            let candidates = world.of(&list);
            let picks = picks(&*build(&members), &candidates, &mut rng);
            check_shares(&candidates, &picks);
        }
    }
}

fn picks(policy: &dyn Balancer, candidates: &Candidates<'_>, rng: &mut SmallRng) -> Vec<u32> {
    let mut picks = vec![0; candidates.list().len()];
    for _ in 0..PICKS {
        let ask = Ask { key: Some(rng.random()), now: Millis(1_000) };
        let index = policy.choose(candidates, &ask, rng);
        picks[index] += 1;
        let load = candidates.load(index);
        load.start();
        load.finish();
        load.observe(ask.now, 1_000, false);
    }
    picks
}

fn check_shares(candidates: &Candidates<'_>, picks: &[u32]) {
    for (candidate, picked) in candidates.list().iter().zip(picks) {
        let weight = f64::from(candidate.weight) / candidates.total() as f64;
        let share = f64::from(PICKS) * weight;
        let off = (f64::from(*picked) - share).abs();
        let chance = 5.0 * (share * (1.0 - weight)).sqrt();
        assert!(off <= 0.02 * share + chance, "{picked} of {share}: {:?}", candidates.list());
        assert_ne!(*picked, 0);
    }
}

#[test]
fn random_keeps_the_contract() {
    keeps_the_contract(|_| Box::new(Random));
}

#[test]
fn round_robin_keeps_the_contract() {
    keeps_the_contract(|members| Box::new(RoundRobin::new(members.len())));
}

#[test]
fn least_requests_keeps_the_contract() {
    keeps_the_contract(|_| Box::new(LeastRequests));
}

#[test]
fn p2c_ewma_keeps_the_contract() {
    keeps_the_contract(|_| Box::new(P2cEwma));
}

#[test]
fn hash_keeps_the_contract() {
    keeps_the_contract(|members| Box::new(Hash::new(members)));
}

#[test]
fn sticky_keeps_the_contract() {
    keeps_the_contract(|members| Box::new(Sticky::new(members)));
}
