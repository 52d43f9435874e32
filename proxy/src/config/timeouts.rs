//! `timeouts` of a service, and of a route that overrides some of them.

use std::time::Duration;

use super::{duration::Timeout, section::Section};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Handshake of one connection, and the first lookup of a name.
    pub connect: Duration,
    /// From the request sent to the end of the response head.
    pub response: Duration,
    /// Between two bytes, while the endpoint is waited for.
    pub idle: Duration,
}

/// What a route says instead of its service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeoutOverrides {
    pub connect: Option<Duration>,
    pub response: Option<Duration>,
    pub idle: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self { connect: Duration::from_secs(1), response: minute, idle: minute }
    }
}

impl Timeouts {
    pub fn overridden(self, by: TimeoutOverrides) -> Self {
        Self {
            connect: by.connect.unwrap_or(self.connect),
            response: by.response.unwrap_or(self.response),
            idle: by.idle.unwrap_or(self.idle),
        }
    }
}

impl TimeoutOverrides {
    pub(super) fn read(section: Option<Section<'_>>) -> Self {
        let Some(mut section) = section else {
            return Self::default();
        };
        let mut timeout = |key| section.get::<Timeout>(key).map(|timeout| timeout.value.0);
        let overrides = Self {
            connect: timeout("connect"),
            response: timeout("response"),
            idle: timeout("idle"),
        };
        section.finish();
        overrides
    }
}
