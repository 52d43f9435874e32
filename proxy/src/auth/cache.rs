//! What was found out about credentials, by a digest of them, until it no longer holds.
//!
//! Two generations: entries are added to the young one; when it holds half of what may be kept, it
//! becomes the old one, and the old one goes. An entry that is used while old becomes young again.
//! So the least recently used go first, in constant time, and there are never more than asked for.

use std::{collections::HashMap, hash::Hash};

use crate::clock::Millis;

/// Keyed by a secret: strangers can look for digests that begin alike.
type Generation<K, V> = HashMap<K, Entry<V>>;

pub struct Cache<K, V> {
    most: usize,
    young: Generation<K, V>,
    old: Generation<K, V>,
}

struct Entry<V> {
    value: V,
    until: Millis,
}

impl<K: Copy + Eq + Hash, V: Clone> Cache<K, V> {
    /// Holds `most` entries, 2 or more.
    pub fn new(most: usize) -> Self {
        Self { most, young: HashMap::new(), old: HashMap::new() }
    }

    /// What is known at `now`.
    pub fn get(&mut self, digest: &K, now: Millis) -> Option<V> {
        if let Some(entry) = self.young.get(digest) {
            return (now < entry.until).then(|| entry.value.clone());
        }
        let entry = self.old.remove(digest).filter(|entry| now < entry.until)?;
        self.insert(*digest, entry.value.clone(), entry.until);
        Some(entry.value)
    }

    /// Remembers `value` until then; what was known before is forgotten.
    pub fn insert(&mut self, digest: K, value: V, until: Millis) {
        if self.young.len() >= self.most / 2 && !self.young.contains_key(&digest) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&digest);
        self.young.insert(digest, Entry { value, until });
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u32) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        digest
    }

    #[test]
    fn an_entry_is_known_until_its_time() {
        let mut cache = Cache::new(4);
        cache.insert(digest(1), "a", Millis(10));
        assert_eq!(cache.get(&digest(1), Millis(9)), Some("a"));
        assert_eq!(cache.get(&digest(1), Millis(10)), None);
        assert_eq!(cache.get(&digest(2), Millis(0)), None);
        cache.insert(digest(1), "b", Millis(20));
        assert_eq!(cache.get(&digest(1), Millis(15)), Some("b"));
    }

    #[test]
    fn there_are_never_more_than_asked_for_and_those_in_use_stay() {
        let mut cache = Cache::new(100);
        cache.insert(digest(0), 0, Millis(1000));
        for number in 1..10_000 {
            cache.insert(digest(number), number, Millis(1000));
            assert_eq!(cache.get(&digest(0), Millis(1)), Some(0), "{number}");
            assert!(cache.len() <= 100);
        }
        assert_eq!(cache.get(&digest(9_999), Millis(1)), Some(9_999));
        assert_eq!(cache.get(&digest(1), Millis(1)), None);
    }
}
