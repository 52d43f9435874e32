//! Labelled numbers of one worker. A label set is a small key; its strings are made up when the
//! metrics are read, never on the way of a request.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

/// Written by one worker; `Published` is the view of everybody else.
pub struct Series<K, V> {
    own: RefCell<HashMap<K, Arc<V>, BuildHasherDefault<KeyHasher>>>,
    published: Published<K, V>,
}

/// The label sets that a worker has used so far, with their numbers.
///
/// The lock guards the list alone: it is taken when a label set is first used and when metrics
/// are read, for as long as it takes to push one entry or clone the list of `Arc`s.
pub type Published<K, V> = Arc<Mutex<Vec<(K, Arc<V>)>>>;

impl<K: Copy + Eq + Hash, V: Default> Series<K, V> {
    pub fn new(published: Published<K, V>) -> Self {
        Self { own: RefCell::default(), published }
    }

    /// Lets go of the label sets that are not kept, for good.
    pub fn retain(&self, is_kept: impl Fn(&K) -> bool) {
        self.own.borrow_mut().retain(|key, _| is_kept(key));
        let mut list = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|(key, _)| is_kept(key));
    }

    pub fn with(&self, key: K, update: impl FnOnce(&V)) {
        if let Some(value) = self.own.borrow().get(&key) {
            return update(value);
        }
        let value = Arc::new(V::default());
        update(&value);
        self.own.borrow_mut().insert(key, Arc::clone(&value));
        self.published.lock().unwrap_or_else(PoisonError::into_inner).push((key, value));
    }
}

pub fn read<K: Copy, V>(published: &Published<K, V>) -> Vec<(K, Arc<V>)> {
    let list = published.lock().unwrap_or_else(PoisonError::into_inner);
    list.iter().map(|(key, value)| (*key, Arc::clone(value))).collect()
}

/// Multiplies each part into the state. Keys are our own indexes, so nobody can aim for
/// collisions.
#[derive(Default)]
pub struct KeyHasher(u64);

impl KeyHasher {
    fn mix(&mut self, part: u64) {
        self.0 = (self.0.rotate_left(5) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.mix(u64::from(*byte)));
    }

    fn write_u8(&mut self, part: u8) {
        self.mix(u64::from(part));
    }

    fn write_u16(&mut self, part: u16) {
        self.mix(u64::from(part));
    }

    fn write_u32(&mut self, part: u32) {
        self.mix(u64::from(part));
    }

    fn write_isize(&mut self, part: isize) {
        self.mix(part.cast_unsigned() as u64);
    }
}
