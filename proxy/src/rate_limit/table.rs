//! The TATs of many keys in memory that never grows, without a lock: the table of the local limits,
//! and of wrong guesses.
//!
//! A set-associative array, as caches of processors are: a key belongs to one set of eight slots,
//! each of two atomics, the key and its TAT. A key is a 64-bit keyed hash (SipHash, by a secret of
//! the process), so nobody can aim for the set or the key of somebody else, and what was hashed is
//! not kept.
//!
//! A key whose TAT has passed is as good as absent, so its slot goes to another without loss. If all
//! eight are in use, the one with the smallest TAT is given up: the key nearest to fresh, which is one
//! of a flood of keys and not one that is limited. Given up means: its requests so far are forgotten.
//!
//! # Races
//!
//! Each step is one compare-exchange, and after each that failed or changed whose slot it is the set is
//! looked at again; tries are bounded. Two words do not change together, so:
//! - Two threads with one new key take the same first free slot, and the second finds the key there. If
//!   the free slots change in between, the key may get two; all look-ups then find the first, and
//!   the one request that was counted in the second is forgotten.
//! - A thread that found its key in a slot may be overtaken by one that takes the slot for another key,
//!   as its TAT had passed. The charge then fails, or, between the two steps of the other, counts for
//!   the other key: one request too many there, one too few here.
//! - A slot that is given up loses what its owner charges between the two steps, and the next owner has
//!   it: again the one request that was on its way.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    time::Duration,
};

use super::gcra::{Decision, Quota};
use crate::config::RateConfig;

/// Two lines of a cache.
const SLOTS: usize = 8;
/// Each failure of a try is a success of another thread. Some dozens in a row happen to a thread that
/// shares its core.
const TRIES: usize = 1024;
const EMPTY: u64 = 0;

/// Room for this many keys is enough for most.
pub const USUAL_KEYS: u32 = RateConfig::USUAL_KEYS;

/// Of one quota: TATs are compared, so all of them must mean the same.
pub struct Table {
    hasher: RandomState,
    /// A power of two of them.
    sets: Box<[Set]>,
    given_up: AtomicU64,
}

/// What is counted by; of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u64);

#[derive(Default)]
#[repr(align(64))]
struct Set([Slot; SLOTS]);

#[derive(Default)]
struct Slot {
    key: AtomicU64,
    tat: AtomicU64,
}

/// Where a key is, or could be.
enum Place<'a> {
    Own(&'a Slot),
    /// With the key that it was last for.
    Free(&'a Slot, u64),
    /// The one to give up, with its TAT.
    InUse(&'a Slot, u64),
}

impl Table {
    /// Room for `keys`, rounded up to a power of two; 16 bytes each, taken once.
    pub fn new(keys: u32) -> Self {
        let keys = keys.clamp(RateConfig::FEWEST_KEYS, RateConfig::MOST_KEYS).next_power_of_two();
        Self {
            hasher: RandomState::new(),
            sets: (0..keys as usize / SLOTS).map(|_| Set::default()).collect(),
            given_up: AtomicU64::new(0),
        }
    }

    /// The key of what requests have in common.
    pub fn key(&self, of: impl Hash) -> Key {
        Key(self.hasher.hash_one(of).max(EMPTY + 1))
    }

    /// Counts one request of `key` at `now`, unless it is refused.
    pub fn take(&self, key: Key, quota: &Quota, now: u64) -> Decision {
        let mut decision = quota.decide(0, now);
        for _ in 0..TRIES {
            match self.place(key, now) {
                Place::Own(slot) => {
                    let tat = slot.tat.load(Relaxed);
                    decision = quota.decide(tat, now);
                    if decision.new_tat == tat || slot.charge(tat, decision.new_tat) {
                        return decision;
                    }
                }
                // A TAT that has passed says nothing: what it was of need not be wiped out.
                Place::Free(slot, was) => slot.turn_over(was, key),
                Place::InUse(slot, tat) => {
                    if slot.charge(tat, 0) {
                        self.given_up.fetch_add(1, Relaxed);
                    }
                }
            }
        }
        // Not counted, while 1024 others were.
        decision
    }

    /// Makes it as if `taken` had not been counted, which did not pass after all.
    pub fn give_back(&self, key: Key, quota: &Quota, taken: &Decision, now: u64) {
        for _ in 0..TRIES {
            let Place::Own(slot) = self.place(key, now) else { return };
            let tat = slot.tat.load(Relaxed);
            if slot.charge(tat, quota.given_back(tat, taken.new_tat, now)) {
                return;
            }
        }
    }

    /// How long `key` has no request left; `None` if it has one. Counts nothing.
    pub fn is_exhausted(&self, key: Key, quota: &Quota, now: u64) -> Option<Duration> {
        let Place::Own(slot) = self.place(key, now) else {
            return None;
        };
        let decision = quota.decide(slot.tat.load(Relaxed), now);
        (!decision.is_allowed).then_some(decision.retry_after)
    }

    /// Keys that were given up while they counted.
    pub fn given_up(&self) -> u64 {
        self.given_up.load(Relaxed)
    }

    /// What the table takes, in bytes.
    pub fn size(&self) -> usize {
        size_of_val(&*self.sets)
    }

    fn place(&self, key: Key, now: u64) -> Place<'_> {
        let (mut free, mut least) = (None::<(&Slot, u64)>, None::<(&Slot, u64)>);
        for slot in &self.set(key).0 {
            // Who sees a key sees the TAT that was there when the slot became its own.
            let found = slot.key.load(Acquire);
            if found == key.0 {
                return Place::Own(slot);
            }
            let tat = slot.tat.load(Relaxed);
            if tat <= now {
                free = free.or(Some((slot, found)));
            } else if least.is_none_or(|(_, smallest)| tat < smallest) {
                least = Some((slot, tat));
            }
        }
        match (free, least) {
            (Some((slot, was)), _) => Place::Free(slot, was),
            (None, Some((slot, tat))) => Place::InUse(slot, tat),
            (None, None) => unreachable!("a slot is free or in use"),
        }
    }

    fn set(&self, key: Key) -> &Set {
        let place = usize::try_from(key.0 & u64::from(u32::MAX)).expect("32 bits fit");
        &self.sets[place & (self.sets.len() - 1)]
    }
}

impl Slot {
    fn charge(&self, tat: u64, new_tat: u64) -> bool {
        self.tat.compare_exchange(tat, new_tat, Relaxed, Relaxed).is_ok()
    }

    /// Makes the slot that of `key`, unless another was faster: the next look shows.
    fn turn_over(&self, was: u64, key: Key) {
        let _ = self.key.compare_exchange(was, key.0, AcqRel, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Barrier, thread};

    use super::*;
    use crate::clock::nanos;

    const FEWEST_KEYS: u32 = RateConfig::FEWEST_KEYS;
    const SECOND: u64 = 1_000_000_000;

    /// 100 in a minute, 20 at once.
    fn quota() -> Quota {
        Quota::new(100, Duration::from_secs(60), 20)
    }

    fn passed(table: &Table, key: Key, tries: usize, now: u64) -> usize {
        (0..tries).filter(|_| table.take(key, &quota(), now).is_allowed).count()
    }

    #[test]
    fn each_key_has_its_own_quota() {
        let table = Table::new(FEWEST_KEYS);
        let (one, other) = (table.key("one"), table.key("other"));
        assert_eq!(passed(&table, one, 30, 5), 20);
        assert_eq!(passed(&table, other, 30, 5), 20);
        assert_eq!(passed(&table, one, 30, 5 + 6 * SECOND), 10);
    }

    #[test]
    fn asking_whether_a_key_is_exhausted_counts_nothing() {
        let (table, quota) = (Table::new(FEWEST_KEYS), quota());
        let key = table.key("one");
        for _ in 0..100 {
            assert_eq!(table.is_exhausted(key, &quota, 0), None);
        }
        assert_eq!(passed(&table, key, 30, 0), 20);
        let wait = table.is_exhausted(key, &quota, 0).expect("is exhausted");
        assert_eq!(wait, Duration::from_millis(600));
        assert_eq!(table.is_exhausted(key, &quota, nanos(wait)), None);
    }

    #[test]
    fn a_request_that_is_given_back_was_not_counted() {
        let (table, quota) = (Table::new(FEWEST_KEYS), quota());
        let key = table.key("one");
        for _ in 0..100 {
            let taken = table.take(key, &quota, 5);
            assert!(taken.is_allowed);
            table.give_back(key, &quota, &taken, 6);
        }
        assert_eq!(passed(&table, key, 30, 7), 20);
    }

    #[test]
    fn threads_that_race_on_one_key_pass_just_the_burst() {
        let quota = Quota::new(1, RateConfig::LONGEST_PER, 1000);
        for round in 0..20 {
            let (table, start) = (Table::new(FEWEST_KEYS), Barrier::new(2));
            let key = table.key(round);
            let racer = || {
                start.wait();
                (0..1000).filter(|_| table.take(key, &quota, 1).is_allowed).count()
            };
            let passed = thread::scope(|scope| {
                let other = scope.spawn(racer);
                racer() + other.join().expect("no panic")
            });
            assert_eq!(passed, 1000);
        }
    }

    #[test]
    fn a_key_that_has_paid_leaves_its_slot_to_others() {
        let table = Table::new(FEWEST_KEYS);
        let minutes = 0..40;
        for minute in minutes.clone() {
            let now = minute * 60 * SECOND;
            for number in 0..256 {
                assert!(table.take(table.key((minute, number)), &quota(), now).is_allowed);
            }
        }
        let all = 256 * minutes.end;
        assert!(table.given_up() < all / 50, "{} of {all} given up", table.given_up());
    }

    #[test]
    fn the_key_nearest_to_fresh_is_given_up() {
        let table = Table::new(FEWEST_KEYS);
        let set_of = |key: Key| std::ptr::from_ref(table.set(key));
        let first = table.key(0);
        let same =
            (0..).map(|number| table.key(number)).filter(|key| set_of(*key) == set_of(first));
        let keys: Vec<Key> = same.take(9).collect();
        for (key, requests) in keys.iter().zip([5, 4, 3, 1, 6, 7, 8, 9]) {
            assert_eq!(passed(&table, *key, requests, 0), requests);
        }
        assert!(table.take(keys[8], &quota(), 0).is_allowed);
        assert_eq!(table.given_up(), 1);
        assert_eq!(passed(&table, keys[0], 30, 0), 15, "it was not given up");
        assert_eq!(passed(&table, keys[3], 30, 0), 20, "it is as good as new");
    }

    #[test]
    fn a_flood_of_keys_takes_no_memory_and_leaves_busy_keys_their_count() {
        let (table, quota) = (Table::new(USUAL_KEYS), quota());
        let size = table.size();
        assert_eq!(size, 1 << 20);
        let mut tats: HashMap<u64, u64> = (0..100).map(|busy| (busy, 0)).collect();
        for flood in 0..1_000_000_u64 {
            let now = flood * 10_000;
            table.take(table.key(("flood", flood)), &quota, now);
            let busy = flood % 100;
            let tat = tats.get_mut(&busy).expect("is one of them");
            let expected = quota.decide(*tat, now);
            assert_eq!(table.take(table.key(("busy", busy)), &quota, now), expected);
            *tat = expected.new_tat;
        }
        assert!(table.given_up() > 0, "the flood was too small to need it");
        assert_eq!(table.size(), size);
    }
}
