//! What all workers know of a service as a whole; it outlives the settings.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A service has one for as long as it has its name.
#[derive(Debug)]
pub struct ServiceState {
    /// Counts the changes of its endpoints' conditions, from 1 on.
    version: AtomicU64,
    /// Picks among ejected endpoints, because there were no others.
    failed_open: AtomicU64,
    /// Whether the last look at the endpoints found no others.
    is_open: AtomicBool,
}

impl Default for ServiceState {
    fn default() -> Self {
        Self {
            version: AtomicU64::new(1),
            failed_open: AtomicU64::default(),
            is_open: AtomicBool::default(),
        }
    }
}

impl ServiceState {
    /// What was changed before this version is seen by who reads it.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Says that a condition has changed, after it has.
    pub(super) fn changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn count_open(&self) {
        self.failed_open.fetch_add(1, Ordering::Relaxed);
    }

    /// Picks among ejected endpoints so far.
    pub fn failed_open(&self) -> u64 {
        self.failed_open.load(Ordering::Relaxed)
    }

    /// Says in the log when picks among ejected endpoints begin and end.
    pub(super) fn tell_open(&self, service: &str, opens: bool) {
        if self.is_open.load(Ordering::Relaxed) == opens
            || self.is_open.swap(opens, Ordering::AcqRel) == opens
        {
            return;
        }
        if opens {
            tracing::warn!(service, "all endpoints are ejected: they get requests all the same");
        } else {
            tracing::info!(service, "not all endpoints are ejected any more");
        }
    }
}
