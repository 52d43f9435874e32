//! How many of something each key has: connections of a client address, requests in flight of what a
//! rate limit counts by.
//!
//! Sharded mutexes, taken when one is opened and when it is closed; the longest hold is one look-up.
//! Atomics would not do: an entry must go when it reaches zero, or keys would pile up. So the table is
//! bounded by what is open.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

const SHARDS: usize = 16;

pub struct PerKey<K> {
    most: usize,
    /// Keyed by a secret, as strangers choose what is hashed.
    hasher: RandomState,
    shards: [Mutex<HashMap<K, usize>>; SHARDS],
}

impl<K: Copy + Eq + Hash> PerKey<K> {
    pub fn new(most: usize) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { most, hasher: RandomState::new(), shards }
    }

    /// Counts one more of `key`, unless it has as many as it may.
    pub fn open_one(&self, key: K) -> bool {
        let mut counts = self.shard(key);
        let count = counts.entry(key).or_default();
        let is_allowed = *count < self.most;
        *count += usize::from(is_allowed);
        is_allowed
    }

    pub fn close_one(&self, key: K) {
        let mut counts = self.shard(key);
        if let Entry::Occupied(mut entry) = counts.entry(key) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    fn shard(&self, key: K) -> MutexGuard<'_, HashMap<K, usize>> {
        let shard = usize::from(self.hasher.hash_one(key).to_le_bytes()[0]) % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_as_many_as_it_may_and_others_do_not_count() {
        let table = PerKey::new(2);
        assert!(table.open_one("one") && table.open_one("one"));
        assert!(!table.open_one("one"));
        assert!(table.open_one("other"));
        table.close_one("one");
        assert!(table.open_one("one"));
    }

    #[test]
    fn keys_that_have_none_are_forgotten() {
        let table = PerKey::new(1);
        for key in 0..100 {
            assert!(table.open_one(key));
        }
        (0..100).for_each(|key| table.close_one(key));
        let left = |shard: &Mutex<HashMap<i32, usize>>| shard.lock().expect("no panic").len();
        assert_eq!(table.shards.iter().map(left).sum::<usize>(), 0);
    }
}
