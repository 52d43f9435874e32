//! `breaker` of a service: when the circuit to an endpoint opens.

use std::time::Duration;

use super::{
    duration::{AboveZero, WindowSpan, Within},
    number::{Count, Ratio, Whole},
    section::Section,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerConfig {
    /// Failures by requests, over `window`, that open it: above 0, at most 1.
    pub failure_ratio: f64,
    pub window: Duration,
    /// Fewer requests than that in `window` open nothing.
    pub min_requests: u32,
    /// How long it stays open before a request is tried.
    pub open: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failure_ratio: 0.5,
            window: Duration::from_secs(10),
            min_requests: 20,
            open: Duration::from_secs(5),
        }
    }
}

impl BreakerConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let config = Self {
            failure_ratio: section.or("failure_ratio", Ratio(default.failure_ratio)).0,
            window: section.or::<WindowSpan>("window", Within(default.window)).0,
            min_requests: section.or::<Count>("min_requests", Whole(default.min_requests)).0,
            open: section.or::<AboveZero>("open", Within(default.open)).0,
        };
        section.finish();
        config
    }
}
