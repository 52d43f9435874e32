//! `tunnel` of a service: how long a connection lasts after it has switched protocols.

use std::time::Duration;

use super::{duration::Timeout, error::Problem, section::Section, value::FromText};

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
            lifetime: section.or("lifetime", OptionalTimeout(default.lifetime)).0,
        };
        section.finish();
        limits
    }
}

/// A duration above zero, or "off".
struct OptionalTimeout(Option<Duration>);

impl FromText for OptionalTimeout {
    const EXPECTED: &'static str = "a duration such as \"1h\", or \"off\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        if text == "off" {
            return Ok(Self(None));
        }
        Timeout::from_text(text).map(|timeout| Self(Some(timeout.0)))
    }
}
