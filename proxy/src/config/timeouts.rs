//! `timeouts` of a service, and of a route that overrides some of them.

use std::time::Duration;

use super::{duration::Timeout, section::Section, value::OrOff};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Handshake of one connection, and the first lookup of a name.
    pub connect: Duration,
    /// From the request sent to the end of the response head.
    pub response: Duration,
    /// Between two bytes, while the endpoint is waited for.
    pub idle: Duration,
    /// From the request's arrival to the end of the response; `None` is no limit.
    pub total: Option<Duration>,
}

/// What a route says instead of its service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeoutOverrides {
    pub connect: Option<Duration>,
    pub response: Option<Duration>,
    pub idle: Option<Duration>,
    /// `Some(None)` switches the service's off.
    pub total: Option<Option<Duration>>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self { connect: Duration::from_secs(1), response: minute, idle: minute, total: None }
    }
}

impl Timeouts {
    pub fn overridden(self, by: TimeoutOverrides) -> Self {
        Self {
            connect: by.connect.unwrap_or(self.connect),
            response: by.response.unwrap_or(self.response),
            idle: by.idle.unwrap_or(self.idle),
            total: by.total.unwrap_or(self.total),
        }
    }
}

impl TimeoutOverrides {
    pub(super) fn read(section: Option<Section<'_>>) -> Self {
        let Some(mut section) = section else {
            return Self::default();
        };
        let mut timeout = |key| section.get::<Timeout>(key).map(|timeout| timeout.value.0);
        let (connect, response, idle) = (timeout("connect"), timeout("response"), timeout("idle"));
        let total = section.get::<OrOff<Timeout>>("total");
        let total = total.map(|given| given.value.0.map(|timeout| timeout.0));
        let overrides = Self { connect, response, idle, total };
        section.finish();
        overrides
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_can_switch_the_total_of_its_service_off() {
        let total = Some(Duration::from_secs(3));
        let service = Timeouts { total, ..Timeouts::default() };
        let overridden =
            |total| service.overridden(TimeoutOverrides { total, ..Default::default() }).total;
        assert_eq!(overridden(None), total);
        assert_eq!(overridden(Some(None)), None);
        assert_eq!(overridden(Some(Some(Duration::ZERO))), Some(Duration::ZERO));
    }
}
