//! A fetched key set, shared by all workers: one fetch at a time in the whole process, one each 10 s
//! at most, and the keys that were there stay until others have come.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use super::key_set::KeySet;
use crate::clock::Millis;

/// Between the beginnings of two fetches, in milliseconds: strangers can name key ids as they like.
const LEAST_BETWEEN: u64 = 10_000;
/// Keys that are older are fetched again, in the background: a key that was withdrawn must go.
const FRESH: u64 = 300_000;

pub struct KeySource {
    keys: ArcSwap<KeySet>,
    is_fetching: AtomicBool,
    /// When the next fetch may begin, and when it should.
    may_fetch_at: AtomicU64,
    should_fetch_at: AtomicU64,
    /// Told when a fetch has ended.
    ended: Notify,
    pub fetched: AtomicU64,
    pub failed: AtomicU64,
}

/// The right to fetch; the fetch has ended when it is dropped.
pub struct Fetch(Arc<KeySource>);

impl Default for KeySource {
    fn default() -> Self {
        Self {
            keys: ArcSwap::default(),
            is_fetching: AtomicBool::new(false),
            may_fetch_at: AtomicU64::new(0),
            should_fetch_at: AtomicU64::new(0),
            ended: Notify::new(),
            fetched: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }
}

impl KeySource {
    /// The keys as they are; none before the first fetch.
    pub fn keys(&self) -> Guard<Arc<KeySet>> {
        self.keys.load()
    }

    /// Whether the keys are old enough to be fetched again.
    pub fn is_old(&self, now: Millis) -> bool {
        now.0 >= self.should_fetch_at.load(Relaxed)
    }

    /// The right to fetch, unless somebody has it, or had it a moment ago.
    pub fn begin(self: &Arc<Self>, now: Millis) -> Option<Fetch> {
        if self.is_fetching.compare_exchange(false, true, AcqRel, Acquire).is_err() {
            return None;
        }
        let fetch = Fetch(Arc::clone(self));
        if now.0 < self.may_fetch_at.load(Relaxed) {
            return None;
        }
        self.may_fetch_at.store(now.0 + LEAST_BETWEEN, Relaxed);
        self.should_fetch_at.store(now.0 + LEAST_BETWEEN, Relaxed);
        Some(fetch)
    }

    /// Waits until the fetch that runs has ended, if one does, for `bound` at most.
    pub async fn wait(&self, bound: Duration) {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        // From here on no end is missed.
        ended.as_mut().enable();
        if self.is_fetching.load(Acquire) {
            let _ = tokio::time::timeout(bound, ended).await;
        }
    }
}

impl Fetch {
    /// The set that has come.
    pub fn succeeded(self, keys: KeySet, now: Millis) {
        let source = &self.0;
        source.fetched.fetch_add(1, Relaxed);
        source.should_fetch_at.store(now.0 + FRESH, Relaxed);
        source.keys.store(Arc::new(keys));
    }

    pub fn failed(self) {
        self.0.failed.fetch_add(1, Relaxed);
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.0.is_fetching.store(false, Release);
        self.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Arc<KeySource> {
        Arc::new(KeySource::default())
    }

    #[test]
    fn one_fetches_at_a_time_and_not_again_for_ten_seconds() {
        let source = source();
        let first = source.begin(Millis(5)).expect("nobody fetches");
        assert!(source.begin(Millis(6)).is_none());
        drop(first);
        assert!(source.begin(Millis(10_004)).is_none());
        assert!(source.begin(Millis(10_005)).is_some());
    }

    #[test]
    fn keys_stay_when_a_fetch_fails_and_grow_old() {
        let source = source();
        assert!(source.is_old(Millis(0)));
        let text = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg"}]}"#;
        let keys = KeySet::of_json(text.as_bytes()).expect("has a key");
        source.begin(Millis(0)).expect("nobody fetches").succeeded(keys, Millis(100));
        assert!(!source.is_old(Millis(300_099)) && source.is_old(Millis(300_100)));
        source.begin(Millis(300_100)).expect("time has passed").failed();
        assert!(!source.keys().is_empty());
        assert!(!source.is_old(Millis(310_099)) && source.is_old(Millis(310_100)));
        assert_eq!((source.fetched.load(Relaxed), source.failed.load(Relaxed)), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_of_the_end_and_nobody_waits_for_nothing() {
        let source = source();
        let bound = Duration::from_secs(60);
        source.wait(bound).await;
        let fetch = source.begin(Millis(0)).expect("nobody fetches");
        let (began, waiting) = (tokio::time::Instant::now(), source.wait(bound));
        let ((), ()) = futures_util::future::join(waiting, async { drop(fetch) }).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
