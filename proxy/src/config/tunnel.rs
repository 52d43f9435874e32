//! `tunnel` of a service: how long a connection lasts after it has switched protocols.

use std::time::Duration;

use super::{duration::Timeout, section::Section, value::OrOff};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelLimits {
    /// Without a byte in either direction.
    pub idle: Duration,
    /// In all; `None` is no limit.
    pub lifetime: Option<Duration>,
}

impl Default for TunnelLimits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(300), lifetime: None }
    }
}

impl TunnelLimits {
    pub(super) fn read(section: Option<Section<'_>>) -> Self {
        let default = Self::default();
        let Some(mut section) = section else {
            return default;
        };
        let limits = Self {
            idle: section.or("idle", Timeout(default.idle)).0,
            lifetime: section
                .or::<OrOff<Timeout>>("lifetime", OrOff(None))
                .0
                .map(|timeout| timeout.0),
        };
        section.finish();
        limits
    }
}
