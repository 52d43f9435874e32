//! One address of a service, and what all workers know of its condition.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use actix_http::header::HeaderValue;
use rustls::pki_types::ServerName;

use super::{
    breaker::{Admission, Breaker, Phase, Transition},
    load::Load,
    outlier::{Cause, Outlier, Verdict},
    slow_start,
};
use crate::{
    balance::WEIGHT_UNIT,
    clock::Millis,
    config::{EndpointAddress, EndpointConfig},
    health::HealthState,
    record::Index,
};

pub struct Endpoint {
    /// Among all endpoints of the gateway.
    pub index: Index,
    /// As written in the configuration.
    pub url: String,
    /// What is dialled.
    pub address: EndpointAddress,
    /// Its host, if it is spoken to over TLS.
    pub tls: Option<ServerName<'static>>,
    /// What `Host` says for `host = "endpoint"`.
    pub authority: HeaderValue,
    /// Put before every path.
    pub base: String,
    /// As configured; not 0.
    pub weight: u32,
    /// Whether it gets requests only while no other is eligible.
    pub is_backup: bool,
    pub load: Load,
    pub(super) condition: Condition,
    pub counts: Counts,
}

/// Why an endpoint may not be eligible.
pub struct Condition {
    /// `None` if it is not checked.
    pub(super) health: Option<HealthState>,
    pub(super) outlier: Outlier,
    /// `None` if it has no breaker.
    pub(super) breaker: Option<Breaker>,
    /// When it last became eligible again; `NEVER` if it always was.
    pub(super) since: AtomicU64,
}

const NEVER: u64 = u64::MAX;

/// What has happened to it. Rare, so all workers share them.
#[derive(Default)]
pub struct Counts {
    pub ejections: [AtomicU64; 2],
    pub opens: AtomicU64,
    pub checks_passed: AtomicU64,
    pub checks_failed: AtomicU64,
}

/// Whether an endpoint may get a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Eligible,
    /// Active checks say that it is down.
    Down,
    Ejected,
    /// Its breaker is open, or half-open with a trial under way.
    Refused,
    /// It has as many requests as it may have.
    Full,
}

impl Endpoint {
    pub(super) fn new(index: Index, config: &EndpointConfig, condition: Condition) -> Self {
        Self {
            index,
            url: config.url.url.clone(),
            address: config.url.address.clone(),
            tls: config.url.tls.clone(),
            authority: config.url.authority.clone(),
            base: config.url.base.clone(),
            weight: config.weight,
            is_backup: config.backup,
            load: Load::default(),
            condition,
            counts: Counts::default(),
        }
    }

    pub(super) fn standing(&self, now: Millis, most: Option<u32>) -> Standing {
        let condition = &self.condition;
        if condition.health.as_ref().is_some_and(|health| !health.is_up()) {
            Standing::Down
        } else if condition.breaker.as_ref().is_some_and(|breaker| breaker.refuses(now)) {
            Standing::Refused
        } else if condition.outlier.is_ejected(now) {
            Standing::Ejected
        } else if self.is_full(most) {
            Standing::Full
        } else {
            Standing::Eligible
        }
    }

    /// Whether it has as many requests as it may have, however it stands.
    pub(super) fn is_full(&self, most: Option<u32>) -> bool {
        most.is_some_and(|most| self.load.in_flight() >= most)
    }

    /// When time alone may make it eligible, if that is to come.
    pub(super) fn eligible_at(&self, now: Millis) -> Option<Millis> {
        let condition = &self.condition;
        let admits = condition.breaker.as_ref().and_then(|breaker| breaker.admits_at(now));
        admits.max(condition.outlier.ejected_until(now))
    }

    /// What its breaker says to the request that was given to it.
    pub(super) fn admits(&self, now: Millis) -> Admission {
        self.condition.breaker.as_ref().map_or(Admission::Yes, |breaker| breaker.admits(now))
    }

    /// A request has shown nothing of it.
    pub(super) fn forget(&self, admission: Admission) {
        if let Some(breaker) = &self.condition.breaker {
            breaker.forget(admission);
        }
    }

    /// Whether active checks let it have requests.
    pub fn is_up(&self) -> bool {
        self.condition.health.as_ref().is_none_or(HealthState::is_up)
    }

    pub fn is_ejected(&self, now: Millis) -> bool {
        self.condition.outlier.is_ejected(now)
    }

    /// `None` if it has no breaker.
    pub fn breaker(&self) -> Option<Phase> {
        self.condition.breaker.as_ref().map(Breaker::phase)
    }
}

impl Condition {
    pub(super) fn new(
        health: Option<HealthState>,
        outlier: Outlier,
        breaker: Option<Breaker>,
    ) -> Self {
        Self { health, outlier, breaker, since: AtomicU64::new(NEVER) }
    }

    pub(super) fn became_eligible(&self, now: Millis) {
        self.since.store(now.0, Relaxed);
    }

    /// In units of 1/256 of the configured weight.
    pub(super) fn weight(
        &self,
        configured: u32,
        now: Millis,
        slow_start: Option<std::time::Duration>,
    ) -> u32 {
        match self.since.load(Relaxed) {
            NEVER => configured * WEIGHT_UNIT,
            since => slow_start::effective(configured, Millis(since), now, slow_start),
        }
    }
}

impl Counts {
    pub(super) fn verdict(&self, verdict: Verdict) {
        if let Verdict::Ejected { cause, .. } = verdict {
            self.ejections[cause as usize].fetch_add(1, Relaxed);
        }
    }

    pub(super) fn transition(&self, transition: Transition) {
        match transition {
            Transition::Opened | Transition::Reopened => {
                self.opens.fetch_add(1, Relaxed);
            }
            Transition::Closed => {}
        }
    }

    pub fn ejected(&self, cause: Cause) -> u64 {
        self.ejections[cause as usize].load(Relaxed)
    }
}
