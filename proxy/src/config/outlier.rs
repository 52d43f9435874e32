//! `outlier` of a service: when an endpoint that fails requests is ejected for a while.

use std::time::Duration;

use super::{
    duration::{AboveZero, WindowSpan, Within},
    number::{Count, Percent, Whole},
    section::Section,
    value::OrOff,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierConfig {
    /// Failures in a row, transport errors and 5xx, that eject; `None` counts none.
    pub consecutive_failures: Option<u32>,
    /// How long the first ejection lasts.
    pub ejection: Duration,
    /// Most endpoints of the service that may be out at once, in percent.
    pub max_ejected: u8,
    /// The least share of good answers in percent, over `window`; `None` asks for none.
    pub success_rate: Option<u8>,
    pub window: Duration,
    /// Fewer requests than that in `window` say nothing of the success rate.
    pub min_requests: u32,
    /// Whether a run of 5xx ejects that only one client has seen.
    pub one_client: bool,
}

/// Failures in a row: 16 bits of an endpoint's word count them.
type Run = Whole<1, { OutlierConfig::LONGEST_RUN }>;

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: Some(5),
            ejection: Duration::from_secs(10),
            max_ejected: 50,
            success_rate: None,
            window: Duration::from_secs(10),
            min_requests: 20,
            one_client: false,
        }
    }
}

impl OutlierConfig {
    /// Of `consecutive_failures`.
    pub const LONGEST_RUN: u32 = 65_535;

    pub(super) fn read(section: Option<Section<'_>>) -> Self {
        let default = Self::default();
        let Some(mut section) = section else {
            return default;
        };
        let failures = OrOff(default.consecutive_failures.map(Whole));
        let config = Self {
            consecutive_failures: section
                .or::<OrOff<Run>>("consecutive_failures", failures)
                .0
                .map(|count| count.0),
            ejection: section.or::<AboveZero>("ejection", Within(default.ejection)).0,
            max_ejected: section.or::<Percent<0>>("max_ejected", Percent(default.max_ejected)).0,
            success_rate: section
                .or::<OrOff<Percent<1>>>("success_rate", OrOff(None))
                .0
                .map(|rate| rate.0),
            window: section.or::<WindowSpan>("window", Within(default.window)).0,
            min_requests: section.or::<Count>("min_requests", Whole(default.min_requests)).0,
            one_client: section.or("one_client", default.one_client),
        };
        section.finish();
        config
    }
}
