//! Which of the eligible endpoints gets a request. A policy knows neither health nor configuration;
//! the time and the key of the request are given to it. Every policy passes the contract test in
//! `contract.rs`.

mod affinity;
mod candidates;
#[cfg(test)]
mod contract;
mod cookie;
mod hash;
mod least_requests;
mod load;
mod p2c_ewma;
mod random;
mod round_robin;
mod sticky;

use rand::rngs::SmallRng;
use xxhash_rust::xxh3::xxh3_64;

pub use self::{
    affinity::Affinity,
    candidates::{Candidate, Candidates, WEIGHT_UNIT, Weights},
    cookie::StickyCookie,
    hash::Hash,
    least_requests::LeastRequests,
    load::Load,
    p2c_ewma::P2cEwma,
    random::Random,
    round_robin::RoundRobin,
    sticky::Sticky,
};
use crate::{clock::Millis, config};

/// A balancing policy, shared by all workers.
pub trait Balancer: Send + Sync {
    /// An index into the list of `candidates`.
    fn choose(&self, candidates: &Candidates<'_>, ask: &Ask, rng: &mut SmallRng) -> usize;
}

/// What a policy may know of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask {
    /// For `Hash` the `key` of what is hashed, for `Sticky` the `key` of an endpoint's URL; `None`
    /// if the request has no such thing.
    pub key: Option<u64>,
    pub now: Millis,
}

/// An endpoint as policies are built for it. Its place in the list given is its place in the service.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// As written in the configuration, and different from all others of the service.
    pub url: &'a str,
    /// As configured, 1 to 1000.
    pub weight: u32,
}

/// The policy that a service asks for, for its endpoints in their order.
pub fn build(policy: &config::Balance, members: &[Member<'_>]) -> Box<dyn Balancer> {
    match policy {
        config::Balance::Random => Box::new(Random),
        config::Balance::RoundRobin => Box::new(RoundRobin::new(members.len())),
        config::Balance::LeastRequests => Box::new(LeastRequests),
        config::Balance::P2cEwma => Box::new(P2cEwma),
        config::Balance::Hash(_) => Box::new(Hash::new(members)),
        config::Balance::Sticky(_) => Box::new(Sticky::new(members)),
    }
}

/// Whether a policy looks at how long answers take.
pub fn times_answers(policy: &config::Balance) -> bool {
    matches!(policy, config::Balance::P2cEwma)
}

/// The number that stands for a name, the same in every process and version: cookies hold it.
pub fn key(name: &[u8]) -> u64 {
    xxh3_64(name)
}
