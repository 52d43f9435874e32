//! Least requests: the candidate with the fewest requests in flight for its weight, as nginx's
//! `least_conn` (<https://nginx.org/en/docs/http/ngx_http_upstream_module.html#least_conn>) and
//! HAProxy's `leastconn`. Follows what requests really cost, so it suits those that take unequal
//! time. Looks at every candidate and needs no state but the loads.
//!
//! Among the equal ones it draws by weight, in one pass: a new one that is as good takes the place
//! of the chosen with its part of the weights seen so far
//! (<https://en.wikipedia.org/wiki/Reservoir_sampling>).

use rand::{RngExt, rngs::SmallRng};

use super::{Ask, Balancer, Candidates};

pub struct LeastRequests;

impl Balancer for LeastRequests {
    fn choose(&self, candidates: &Candidates<'_>, _: &Ask, rng: &mut SmallRng) -> usize {
        let (mut chosen, mut least, mut tied) = (0, (u32::MAX, 1), 0);
        for (index, candidate) in candidates.list().iter().enumerate() {
            let load = (candidates.load(index).in_flight(), candidate.weight);
            let weight = u64::from(candidate.weight);
            if is_less(load, least) {
                (chosen, least, tied) = (index, load, weight);
            } else if !is_less(least, load) {
                tied += weight;
                if rng.random_range(0..tied) < weight {
                    chosen = index;
                }
            }
        }
        chosen
    }
}

/// Compares requests per weight.
fn is_less(one: (u32, u32), other: (u32, u32)) -> bool {
    u64::from(one.0) * u64::from(other.1) < u64::from(other.0) * u64::from(one.1)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::{
        super::contract::{World, candidates},
        *,
    };

    /// How often each of these endpoints, given as (weight, in flight), is picked of 10,000 times.
    fn picks(endpoints: &[(u32, u32)]) -> Vec<u32> {
        let world = World::new(endpoints.len());
        let list = candidates(endpoints.iter().map(|(weight, _)| *weight).enumerate());
        let candidates = world.of(&list);
        for (index, (_, in_flight)) in endpoints.iter().enumerate() {
            (0..*in_flight).for_each(|_| candidates.load(index).start());
        }
        let mut rng = SmallRng::seed_from_u64(5);
        let mut picks = vec![0; endpoints.len()];
        for _ in 0..10_000 {
            picks[LeastRequests.choose(&candidates, &Ask::default(), &mut rng)] += 1;
        }
        picks
    }

    #[test]
    fn the_one_with_the_fewest_requests_is_picked() {
        assert_eq!(picks(&[(1, 3), (1, 2), (1, 4)]), [0, 10_000, 0]);
    }

    #[test]
    fn requests_count_for_their_endpoint_s_weight() {
        assert_eq!(picks(&[(1, 1), (3, 2)]), [0, 10_000]);
        assert_eq!(picks(&[(1, 1), (3, 4)]), [10_000, 0]);
        assert_eq!(picks(&[(1000, 4_000), (1, 3)]), [0, 10_000]);
    }

    #[test]
    fn equals_are_picked_equally_wherever_they_stand() {
        for picked in picks(&[(1, 1), (1, 1), (1, 2), (1, 1), (1, 1)]).into_iter().zip(0..) {
            match picked {
                (picks, 2) => assert_eq!(picks, 0),
                (picks, place) => assert!((2_300..2_700).contains(&picks), "{place}: {picks}"),
            }
        }
    }
}
