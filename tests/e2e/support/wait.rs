//! The one way to wait.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take that should happen soon.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until `look` finds something; fails after `PATIENCE`, saying what was waited for.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}
