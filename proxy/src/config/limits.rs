//! `limits` of a service: how many requests it gets at once, and what becomes of the others.

use std::time::Duration;

use super::{
    duration::Timeout,
    number::{Count, Whole},
    section::Section,
    value::OrOff,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Most requests in flight; the ceiling of the adaptive limit if that is on.
    pub max_in_flight: Option<u32>,
    /// Most requests that wait for a place.
    pub queue: u32,
    /// How long one waits.
    pub queue_timeout: Duration,
    pub max_connections_per_endpoint: Option<u32>,
    /// Whether the limit follows the latency.
    pub adaptive: bool,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_in_flight: None,
            queue: 128,
            queue_timeout: Duration::from_secs(1),
            max_connections_per_endpoint: None,
            adaptive: false,
        }
    }
}

impl LimitsConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let count = |section: &mut Section<'_>, key| {
            section.or(key, OrOff::<Count>(None)).0.map(|count| count.0)
        };
        let config = Self {
            max_in_flight: count(&mut section, "max_in_flight"),
            queue: section.or::<Whole<0, 65_536>>("queue", Whole(default.queue)).0,
            queue_timeout: section.or("queue_timeout", Timeout(default.queue_timeout)).0,
            max_connections_per_endpoint: count(&mut section, "max_connections_per_endpoint"),
            adaptive: section.or("adaptive", default.adaptive),
        };
        section.finish();
        config
    }
}
