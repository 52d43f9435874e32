//! Which of the eligible endpoints gets a request. A policy knows neither the clock nor health;
//! every policy passes the contract test below.

mod random;

use rand::rngs::SmallRng;

pub use self::random::Random;
use crate::{config, service::Endpoint};

/// A balancing policy.
pub trait Balancer: Send + Sync {
    /// An index into `eligible`, which is not empty.
    fn choose(&self, eligible: &[Endpoint], rng: &mut SmallRng) -> usize;
}

/// The policy that a service asks for.
pub fn build(policy: config::Balance) -> Box<dyn Balancer> {
    match policy {
        config::Balance::Random => Box::new(Random),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::config::{Balance, Config};

    fn endpoints(count: usize) -> Vec<Endpoint> {
        let urls: Vec<String> =
            (0..count).map(|index| format!("\"http://127.0.0.1:{}\"", 9000 + index)).collect();
        let text = format!("[services.x]\nendpoints = [{}]", urls.join(","));
        let config = Config::load(&text, "test", &|_| None).expect("is valid");
        let urls = config.services[0].endpoints.iter();
        urls.zip(0..).map(|(url, index)| Endpoint::new(index, url)).collect()
    }

    /// The contract: any number of endpoints, always one of them, none left out, and with equal
    /// weights each within 2 % of its share of 100,000 picks.
    #[test]
    fn every_policy_spreads_picks_evenly() {
        for policy in [Balance::Random] {
            let balancer = build(policy);
            let mut rng = SmallRng::seed_from_u64(7);
            for count in [1, 2, 3, 10] {
                let endpoints = endpoints(count);
                let mut picks = vec![0_u32; count];
                for _ in 0..100_000 {
                    picks[balancer.choose(&endpoints, &mut rng)] += 1;
                }
                let share = 100_000.0 / f64::from(u32::try_from(count).expect("is small"));
                for picked in picks {
                    let off = (f64::from(picked) - share).abs();
                    assert!(off <= 2000.0, "{policy:?}: {picked} of {share}");
                }
            }
        }
    }
}
