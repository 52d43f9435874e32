//! Sticky sessions by cookie, as in HAProxy
//! (<https://docs.haproxy.org/2.6/configuration.html#4.2-cookie>): a client goes on to the endpoint
//! that its cookie names, for applications that keep state of their own. Nothing is remembered here:
//! the cookie holds the whole choice (`cookie.rs`), so that workers and restarts agree.
//!
//! Without a cookie, or if its endpoint is no candidate, the choice is random.

use rand::rngs::SmallRng;

use super::{Ask, Balancer, Candidates, Member, Random, key};

pub struct Sticky {
    /// Key of the URL, and place; sorted.
    places: Box<[(u64, u32)]>,
}

impl Sticky {
    pub fn new(members: &[Member<'_>]) -> Self {
        let members = members.iter().zip(0..);
        let mut places: Vec<(u64, u32)> =
            members.map(|(member, place)| (key(member.url.as_bytes()), place)).collect();
        places.sort_unstable();
        Self { places: places.into() }
    }

    fn place(&self, key: u64) -> Option<u32> {
        let found = self.places.binary_search_by_key(&key, |(known, _)| *known);
        found.ok().map(|index| self.places[index].1)
    }
}

impl Balancer for Sticky {
    fn choose(&self, candidates: &Candidates<'_>, ask: &Ask, rng: &mut SmallRng) -> usize {
        let place = ask.key.and_then(|key| self.place(key));
        place
            .and_then(|place| candidates.index_of(place))
            .unwrap_or_else(|| Random.choose(candidates, ask, rng))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::{
        super::contract::{World, candidates},
        *,
    };

    /// Which of the places are picked in 100 times by a client whose cookie names this endpoint.
    fn picked(named: &str, places: &[usize]) -> Vec<u32> {
        let urls: Vec<String> = (0..6).map(|index| format!("http://10.0.0.{index}")).collect();
        let members: Vec<_> = urls.iter().map(|url| Member { url, weight: 1 }).collect();
        let policy = Sticky::new(&members);
        let (world, list) = (World::new(6), candidates(places.iter().map(|place| (*place, 1))));
        let ask = Ask { key: Some(key(named.as_bytes())), ..Ask::default() };
        let mut rng = SmallRng::seed_from_u64(1);
        let mut pick = |_| list[policy.choose(&world.of(&list), &ask, &mut rng)].place;
        let mut picked: Vec<u32> = (0..100).map(&mut pick).collect();
        picked.sort_unstable();
        picked.dedup();
        picked
    }

    #[test]
    fn the_named_endpoint_is_picked_while_it_is_a_candidate() {
        assert_eq!(picked("http://10.0.0.4", &[0, 1, 2, 3, 4, 5]), [4]);
        assert_eq!(picked("http://10.0.0.4", &[1, 4, 5]), [4]);
    }

    #[test]
    fn any_candidate_is_picked_if_the_named_one_is_none() {
        assert_eq!(picked("http://10.0.0.4", &[1, 3, 5]), [1, 3, 5]);
        assert_eq!(picked("http://10.0.0.99", &[1, 3, 5]), [1, 3, 5]);
    }
}
