//! Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4,
//! <https://research.google/pubs/maglev-a-fast-and-reliable-software-network-load-balancer/>): equal
//! keys get equal endpoints, in every worker and process. Chosen over a ring because a lookup is one
//! read and shares are even; an endpoint more or less moves few keys beyond its own.
//!
//! The table is built once, for all endpoints, eligible or not, and depends on their URLs and
//! weights, not on their order. It takes 128 KiB and a service whose endpoints are few: above 650,
//! one has less than 100 of its entries, and shares differ by percents; it holds the first 65,535.
//!
//! If the endpoint of a key is no candidate, the key goes on to other entries in an order of its own,
//! and after `PROBES` to the candidate that wins its rendezvous
//! (<https://en.wikipedia.org/wiki/Rendezvous_hashing>, weighted by logarithms). Either way all other
//! keys stay. An endpoint on slow start takes part of its keys, ever more, and always the same ones.

use rand::rngs::SmallRng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Ask, Balancer, Candidates, Member, Random, WEIGHT_UNIT, key};

/// A prime, as in the paper.
const ENTRIES: u64 = 65_537;
const FREE: u16 = u16::MAX;
/// With half of a service out, one key in 65,536 gets past so many.
const PROBES: u64 = 16;

pub struct Hash {
    /// Places.
    table: Box<[u16]>,
    /// The members, by place.
    seats: Box<[Seat]>,
}

struct Seat {
    id: u64,
    /// The weight of a candidate that is on no slow start.
    full_weight: u32,
}

impl Hash {
    /// Takes milliseconds.
    pub fn new(members: &[Member<'_>]) -> Self {
        let seat = |member: &Member<'_>| Seat {
            id: key(member.url.as_bytes()),
            full_weight: member.weight * WEIGHT_UNIT,
        };
        Self { table: table(members), seats: members.iter().map(seat).collect() }
    }

    fn probe(&self, candidates: &Candidates<'_>, hash: u64) -> Option<usize> {
        let place = self.table[(hash % ENTRIES) as usize];
        let index = candidates.index_of(place.into())?;
        let full_weight = u64::from(self.seats[usize::from(place)].full_weight);
        // Which entry it was says nothing about the quotient.
        let is_taken = hash / ENTRIES % full_weight < candidates.list()[index].weight.into();
        is_taken.then_some(index)
    }

    /// The highest of the scores that a key and each candidate give together.
    fn rendezvous(&self, candidates: &Candidates<'_>, key: u64) -> usize {
        let scores = candidates.list().iter().map(|candidate| {
            let hash = mix(key, self.seats[candidate.place as usize].id);
            // 53 bits as a number between 0 and 1.
            let number = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            number.ln() / f64::from(candidate.weight)
        });
        let highest = scores.enumerate().max_by(|(_, one), (_, other)| one.total_cmp(other));
        highest.map_or(0, |(index, _)| index)
    }
}

impl Balancer for Hash {
    fn choose(&self, candidates: &Candidates<'_>, ask: &Ask, rng: &mut SmallRng) -> usize {
        let Some(key) = ask.key else {
            return Random.choose(candidates, ask, rng);
        };
        self.probe(candidates, key)
            .or_else(|| (1..PROBES).find_map(|turn| self.probe(candidates, mix(key, turn))))
            .unwrap_or_else(|| self.rendezvous(candidates, key))
    }
}

fn mix(key: u64, seed: u64) -> u64 {
    xxh3_64_with_seed(&key.to_le_bytes(), seed)
}

/// A member's way through the table: every entry once, since their number is prime.
struct Walk<'a> {
    member: Member<'a>,
    place: u16,
    entry: u64,
    step: u64,
    credit: u32,
}

impl<'a> Walk<'a> {
    fn new(member: Member<'a>, place: u16) -> Self {
        let hash = |seed| xxh3_64_with_seed(member.url.as_bytes(), seed);
        let (entry, step) = (hash(1) % ENTRIES, hash(2) % (ENTRIES - 1) + 1);
        Self { member, place, entry, step, credit: 0 }
    }

    /// Takes the next free entry; there must be one.
    fn take_entry(&mut self, table: &mut [u16]) {
        while table[self.entry as usize] != FREE {
            self.entry = (self.entry + self.step) % ENTRIES;
        }
        table[self.entry as usize] = self.place;
    }
}

/// Round after round, every member takes the next free entry of its walk; one that is lighter than
/// the heaviest sits rounds out.
fn table(members: &[Member<'_>]) -> Box<[u16]> {
    let mut walks: Vec<Walk<'_>> =
        members.iter().zip(0..FREE).map(|(member, place)| Walk::new(*member, place)).collect();
    walks.sort_by_key(|walk| walk.member.url);
    let heaviest = walks.iter().map(|walk| walk.member.weight).max().unwrap_or_default();
    let mut table = vec![FREE; ENTRIES as usize];
    // Every round, the heaviest take an entry.
    let mut free = table.len();
    while free > 0 && heaviest > 0 {
        for walk in &mut walks {
            walk.credit += walk.member.weight;
            if walk.credit >= heaviest && free > 0 {
                walk.credit -= heaviest;
                walk.take_entry(&mut table);
                free -= 1;
            }
        }
    }
    table.into()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::{
        super::{
            Candidate,
            contract::{World, candidates},
        },
        *,
    };

    fn urls(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("http://10.0.0.{index}:8000/base")).collect()
    }

    fn members(urls: &[String]) -> Vec<Member<'_>> {
        urls.iter().map(|url| Member { url, weight: 1 }).collect()
    }

    fn even(places: impl IntoIterator<Item = usize>) -> Vec<Candidate> {
        candidates(places.into_iter().map(|place| (place, 1)))
    }

    /// The places that the first 20,000 keys go to.
    fn places(policy: &Hash, list: &[Candidate]) -> Vec<u32> {
        let world = World::new(policy.seats.len());
        let mut rng = SmallRng::seed_from_u64(1);
        let mut place = |number: u64| {
            let ask = Ask { key: Some(key(&number.to_le_bytes())), ..Ask::default() };
            list[policy.choose(&world.of(list), &ask, &mut rng)].place
        };
        (0..20_000).map(&mut place).collect()
    }

    fn moved(before: &[u32], after: &[u32]) -> usize {
        before.iter().zip(after).filter(|(before, after)| before != after).count()
    }

    #[test]
    fn an_endpoint_more_moves_few_keys() {
        let urls = urls(11);
        let ten = places(&Hash::new(&members(&urls[..10])), &even(0..10));
        let eleven = places(&Hash::new(&members(&urls)), &even(0..11));
        let moved = moved(&ten, &eleven);
        assert!((1_600..=3_000).contains(&moved), "{moved} of 20,000");
    }

    #[test]
    fn the_order_of_the_endpoints_moves_no_key() {
        let urls = urls(10);
        let mut members = members(&urls);
        members[3].weight = 4;
        let list = |members: &[Member<'_>]| {
            candidates(members.iter().map(|member| member.weight).enumerate())
        };
        let before = places(&Hash::new(&members), &list(&members));
        members.reverse();
        let after = places(&Hash::new(&members), &list(&members));
        let after: Vec<u32> = after.into_iter().map(|place| 9 - place).collect();
        assert_eq!(before, after);
    }

    /// Also when many are out already, so that keys get past all probes.
    #[test]
    fn an_endpoint_that_goes_out_moves_its_keys_alone_and_gets_them_back() {
        let urls = urls(20);
        let policy = Hash::new(&members(&urls));
        let mut rng = SmallRng::seed_from_u64(9);
        let mut eligible: Vec<usize> = (0..20).collect();
        let mut before = places(&policy, &even(eligible.iter().copied()));
        while eligible.len() > 1 {
            let gone = eligible.remove(rng.random_range(0..eligible.len()));
            let after = places(&policy, &even(eligible.iter().copied()));
            for (before, after) in before.iter().zip(&after) {
                assert!(before == after || *before as usize == gone);
            }
            before = after;
        }
        assert_ne!(before, places(&policy, &even(0..20)));
    }

    #[test]
    fn the_keys_of_an_endpoint_that_is_out_go_to_all_others() {
        let urls = urls(10);
        let policy = Hash::new(&members(&urls));
        let before = places(&policy, &even(0..10));
        let after = places(&policy, &even(1..10));
        let mut gained = [0_u32; 10];
        for (_, after) in before.iter().zip(&after).filter(|(before, _)| **before == 0) {
            gained[*after as usize] += 1;
        }
        let fewest = gained[1..].iter().min().expect("are nine");
        assert!(*fewest > 150, "{gained:?} of 2,000");
    }

    #[test]
    fn slow_start_brings_keys_to_its_endpoint_and_moves_no_others() {
        let urls = urls(5);
        let policy = Hash::new(&members(&urls));
        let mut list = even(0..5);
        list[2].weight = 1;
        let mut before = places(&policy, &list);
        for weight in [26, 100, 200, 256] {
            list[2].weight = weight;
            let after = places(&policy, &list);
            for (before, after) in before.iter().zip(&after) {
                assert!(before == after || *after == 2);
            }
            let share = after.iter().filter(|place| **place == 2).count();
            let due = 20_000 * weight as usize / (1_024 + weight as usize);
            assert!(share.abs_diff(due) < 300, "{share} of {due}");
            before = after;
        }
        assert_eq!(before, places(&policy, &even(0..5)));
    }

    #[test]
    fn entries_are_shared_by_weight() {
        let urls = urls(3);
        let weights = [1, 50, 1000];
        let members: Vec<_> =
            urls.iter().zip(weights).map(|(url, weight)| Member { url, weight }).collect();
        let policy = Hash::new(&members);
        for (place, weight) in (0..).zip(weights) {
            let entries = policy.table.iter().filter(|entry| **entry == place).count();
            let due = 65_537 * weight as usize / 1_051;
            assert!(entries.abs_diff(due) <= 2, "{entries} of {due}");
        }
    }

    #[test]
    fn a_table_of_more_endpoints_than_entries_is_full() {
        let urls: Vec<String> = (0..70_000).map(|index| format!("unix:/{index}")).collect();
        let policy = Hash::new(&members(&urls));
        assert!(!policy.table.contains(&FREE));
    }

    #[test]
    fn without_a_key_it_is_random() {
        let urls = urls(2);
        let policy = Hash::new(&members(&urls));
        let (world, list) = (World::new(2), even(0..2));
        let mut rng = SmallRng::seed_from_u64(1);
        let mut pick = |_| policy.choose(&world.of(&list), &Ask::default(), &mut rng);
        let picks: usize = (0..1_000).map(&mut pick).sum();
        assert!((400..600).contains(&picks), "{picks}");
    }
}
