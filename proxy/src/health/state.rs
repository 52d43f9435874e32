//! Up or down by active checks. One failed check proves little and one passed check no more, so a
//! change takes several in a row. The checker alone writes; all workers read.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use crate::config::HealthConfig;

/// What the checks of one endpoint say of it. It starts as up: a proxy that has just started sends
/// requests before its first round of checks is done; under other settings it starts as it was.
#[derive(Debug)]
pub struct HealthState {
    is_up: AtomicBool,
    /// Checks in a row that spoke against `is_up`. Only the checker looks at it.
    against: AtomicU32,
    healthy: u32,
    unhealthy: u32,
}

/// What a check changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Up,
    Down,
}

impl HealthState {
    pub fn new(config: &HealthConfig, is_up: bool) -> Self {
        Self {
            is_up: AtomicBool::new(is_up),
            against: AtomicU32::new(0),
            healthy: config.healthy,
            unhealthy: config.unhealthy,
        }
    }

    /// Whether it takes as many checks as `config` says.
    pub fn is_of(&self, config: &HealthConfig) -> bool {
        (self.healthy, self.unhealthy) == (config.healthy, config.unhealthy)
    }

    pub fn is_up(&self) -> bool {
        self.is_up.load(Relaxed)
    }

    /// Takes the result of a check. For the checker task only: two writers would lose counts.
    pub fn observe(&self, passed: bool) -> Option<Change> {
        let is_up = self.is_up();
        if passed == is_up {
            self.against.store(0, Relaxed);
            return None;
        }
        let against = self.against.load(Relaxed).saturating_add(1);
        if against < if is_up { self.unhealthy } else { self.healthy } {
            self.against.store(against, Relaxed);
            return None;
        }
        self.against.store(0, Relaxed);
        self.is_up.store(passed, Relaxed);
        Some(if passed { Change::Up } else { Change::Down })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(healthy: u32, unhealthy: u32) -> HealthConfig {
        let second = std::time::Duration::from_secs(1);
        HealthConfig {
            check: crate::config::HealthCheck::Tcp,
            interval: second,
            timeout: second,
            healthy,
            unhealthy,
        }
    }

    /// The changes that `checks` make, `+` a passed one, by the number of the check.
    fn changes(healthy: u32, unhealthy: u32, checks: &str) -> Vec<(usize, Change)> {
        let state = HealthState::new(&config(healthy, unhealthy), true);
        assert!(state.is_up());
        let observed = checks.chars().map(|check| state.observe(check == '+'));
        observed.enumerate().filter_map(|(at, change)| change.map(|change| (at, change))).collect()
    }

    #[test]
    fn an_endpoint_goes_down_and_up_at_its_thresholds() {
        let expected = vec![(2, Change::Down), (4, Change::Up), (8, Change::Down)];
        assert_eq!(changes(2, 3, "---+++-----"), expected);
        assert_eq!(changes(1, 1, "-+"), [(0, Change::Down), (1, Change::Up)]);
    }

    #[test]
    fn only_checks_in_a_row_count() {
        assert_eq!(changes(2, 3, "--+--+--+"), []);
        assert_eq!(changes(3, 1, "-++-++-++"), [(0, Change::Down)]);
    }
}
