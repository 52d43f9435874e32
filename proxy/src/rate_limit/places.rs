//! How many requests of one key are in flight.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

use crate::limits::per_key::PerKey;

/// Of one limit, for all workers.
pub struct Places {
    /// Keyed by a secret, as strangers choose what is hashed.
    hasher: RandomState,
    taken: PerKey<u64>,
}

/// One request in flight, until it is dropped.
pub struct Place {
    places: Arc<Places>,
    key: u64,
}

impl Places {
    pub fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { hasher: RandomState::new(), taken: PerKey::new(most as usize) })
    }

    /// `None` if the key has as many as it may.
    pub fn take(self: &Arc<Self>, of: impl Hash) -> Option<Place> {
        let key = self.hasher.hash_one(of);
        self.taken.open_one(key).then(|| Place { places: Arc::clone(self), key })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.close_one(self.key);
    }
}
