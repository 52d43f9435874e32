//! What was found out about tokens, by the SHA-256 of each: nobody who reads the memory learns a
//! token from it.
//!
//! Two generations: the young one takes what is new and what is used again; when it is full it
//! becomes the old one, and what nobody has used since the last time is forgotten with that. Both
//! together never hold more than `most`; each step takes the same time however many there are, but
//! for forgetting. The hash is seeded: clients choose tokens, and so can aim for digests.

use std::collections::HashMap;

use crate::clock::Millis;

/// Answers that are kept where nothing else is said.
const MOST: usize = 4096;

type Digest = [u8; 32];

pub struct Cache<V> {
    young: HashMap<Digest, Kept<V>>,
    old: HashMap<Digest, Kept<V>>,
    most: usize,
}

struct Kept<V> {
    value: V,
    until: Millis,
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Self::new(MOST)
    }
}

impl<V> Cache<V> {
    /// For `most` values, two or more.
    pub fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most }
    }

    /// Keeps `value` until `until` at the longest.
    pub fn insert(&mut self, key: Digest, value: V, until: Millis) {
        self.old.remove(&key);
        self.keep(key, Kept { value, until });
    }

    fn keep(&mut self, key: Digest, kept: Kept<V>) {
        if self.young.len() >= self.most / 2 && !self.young.contains_key(&key) {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(key, kept);
    }
}

impl<V: Clone> Cache<V> {
    /// What is kept and still holds at `now`.
    pub fn get(&mut self, key: &Digest, now: Millis) -> Option<V> {
        if let Some(kept) = self.young.get(key) {
            return (now < kept.until).then(|| kept.value.clone());
        }
        let kept = self.old.remove(key).filter(|kept| now < kept.until)?;
        let value = kept.value.clone();
        self.keep(*key, kept);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u16) -> Digest {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&number.to_be_bytes());
        key
    }

    const LATER: Millis = Millis(1000);
    const NOW: Millis = Millis(0);

    #[test]
    fn a_value_holds_until_its_time_in_both_generations() {
        let mut cache = Cache::new(4);
        cache.insert(key(1), "a", Millis(10));
        assert_eq!(cache.get(&key(1), Millis(9)), Some("a"));
        assert_eq!(cache.get(&key(1), Millis(10)), None);
        cache.insert(key(2), "b", LATER);
        cache.insert(key(3), "c", LATER);
        assert_eq!(cache.get(&key(1), Millis(10)), None);
    }

    #[test]
    fn the_newest_value_of_a_key_counts() {
        let mut cache = Cache::new(4);
        for number in [1, 2, 3] {
            cache.insert(key(number), "old", LATER);
        }
        cache.insert(key(1), "new", Millis(5));
        assert_eq!(cache.get(&key(1), NOW), Some("new"));
        assert_eq!(cache.get(&key(1), Millis(5)), None);
    }

    #[test]
    fn strangers_do_not_drive_out_what_is_used() {
        let mut cache = Cache::new(8);
        cache.insert(key(0), "used", LATER);
        for number in 1..1000 {
            cache.insert(key(number), "stranger", LATER);
            assert_eq!(cache.get(&key(0), NOW), Some("used"), "after {number}");
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
    }
}
