//! `pool` of a service: how long connections to its endpoints are kept for further requests.

use std::time::Duration;

use super::{
    duration::{AboveZero, Within},
    number::Whole,
    section::Section,
    value::OrOff,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// After this time since it was opened a connection takes no further request; `None` for no end.
    pub max_age: Option<Duration>,
    /// Without a request.
    pub idle: Duration,
    /// Idle connections that a worker keeps to an endpoint.
    pub max_idle: usize,
}

type MostIdle = Whole<0, 65_536>;

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max_age: Some(Duration::from_secs(3600)),
            idle: Duration::from_secs(60),
            max_idle: 1024,
        }
    }
}

impl PoolConfig {
    pub(super) fn read(section: Option<Section<'_>>) -> Self {
        let default = Self::default();
        let Some(mut section) = section else {
            return default;
        };
        let age = OrOff(default.max_age.map(Within));
        let most = u32::try_from(default.max_idle).unwrap_or(u32::MAX);
        let most = section.or::<MostIdle>("max_idle", Whole(most)).0;
        let config = Self {
            max_age: section.or::<OrOff<AboveZero>>("max_age", age).0.map(|age| age.0),
            idle: section.or::<AboveZero>("idle", Within(default.idle)).0,
            max_idle: usize::try_from(most).unwrap_or(usize::MAX),
        };
        section.finish();
        config
    }
}
