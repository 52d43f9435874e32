//! One address of a service, and what all workers know of its condition. The condition outlives the
//! settings: an endpoint that stays when the configuration changes keeps its load, its health, its
//! ejection and its counts; its breaker and its ejections begin anew if their own settings changed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use actix_http::header::HeaderValue;
use rustls::pki_types::ServerName;

use super::{
    breaker::{Admission, Breaker, Phase, Transition},
    outlier::{Cause, Ejections, Outlier, Verdict},
    slow_start,
};
use crate::{
    balance::{Load, WEIGHT_UNIT},
    clock::Millis,
    config::{BreakerConfig, EndpointAddress, EndpointConfig, HealthConfig, OutlierConfig},
    health::HealthState,
    ids::EndpointId,
};

pub struct Endpoint {
    pub id: EndpointId,
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
    pub load: Arc<Load>,
    pub(super) condition: Condition,
    pub counts: Arc<Counts>,
}

/// Why an endpoint may not be eligible.
pub(super) struct Condition {
    /// `None` if it is not checked.
    pub(super) health: Option<Arc<HealthState>>,
    pub(super) outlier: Arc<Outlier>,
    /// `None` if it has no breaker.
    pub(super) breaker: Option<Arc<Breaker>>,
    /// When it last became eligible again; `NEVER` if it always was.
    since: Arc<AtomicU64>,
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

/// What a service has its endpoints judged by.
pub(super) struct Rules<'a> {
    pub(super) health: Option<&'a HealthConfig>,
    pub(super) ejections: &'a Arc<Ejections>,
    pub(super) breaker: Option<&'a BreakerConfig>,
    pub(super) now: Millis,
    /// Whether the service itself is new: then its endpoints do not start slowly.
    pub(super) is_new: bool,
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
}

impl Endpoint {
    /// `before` is the same endpoint under the settings before.
    pub(super) fn build(
        id: EndpointId,
        config: &EndpointConfig,
        rules: &Rules<'_>,
        before: Option<&Self>,
    ) -> Self {
        Self {
            id,
            url: config.url.url.clone(),
            address: config.url.address.clone(),
            tls: config.url.tls.clone(),
            authority: config.url.authority.clone(),
            base: config.url.base.clone(),
            weight: config.weight,
            is_backup: config.backup,
            load: before.map(|before| Arc::clone(&before.load)).unwrap_or_default(),
            condition: Condition::build(rules, before.map(|before| &before.condition)),
            counts: before.map(|before| Arc::clone(&before.counts)).unwrap_or_default(),
        }
    }

    /// The same without its ejection, whose place among those of the service is given back.
    pub(super) fn departed(&self, rules: OutlierConfig) -> Self {
        Self {
            id: self.id,
            url: self.url.clone(),
            address: self.address.clone(),
            tls: self.tls.clone(),
            authority: self.authority.clone(),
            base: self.base.clone(),
            weight: self.weight,
            is_backup: self.is_backup,
            load: Arc::clone(&self.load),
            condition: Condition {
                health: self.condition.health.clone(),
                outlier: Arc::new(Outlier::new(&Ejections::new(rules))),
                breaker: self.condition.breaker.clone(),
                since: Arc::clone(&self.condition.since),
            },
            counts: Arc::clone(&self.counts),
        }
    }

    pub(super) fn standing(&self, now: Millis) -> Standing {
        let condition = &self.condition;
        if condition.health.as_ref().is_some_and(|health| !health.is_up()) {
            Standing::Down
        } else if condition.breaker.as_ref().is_some_and(|breaker| breaker.refuses(now)) {
            Standing::Refused
        } else if condition.outlier.is_ejected(now) {
            Standing::Ejected
        } else {
            Standing::Eligible
        }
    }

    /// When time alone may make it eligible, if that is to come.
    pub(super) fn eligible_at(&self, now: Millis) -> Option<Millis> {
        let condition = &self.condition;
        let admits = condition.breaker.as_ref().and_then(|breaker| breaker.admits_at(now));
        admits.max(condition.outlier.ejected_until(now))
    }

    /// When time alone next changes its standing.
    pub(super) fn changes_at(&self, now: Millis) -> Option<Millis> {
        let condition = &self.condition;
        let admits = condition.breaker.as_ref().and_then(|breaker| breaker.admits_at(now));
        admits.into_iter().chain(condition.outlier.ejected_until(now)).min()
    }

    /// What its breaker says to the request that was given to it.
    pub(super) fn admits(&self, now: Millis) -> Admission {
        self.condition.breaker.as_ref().map_or(Admission::Yes, |breaker| breaker.admits(now))
    }

    /// Whether active checks let it have requests.
    pub fn is_up(&self) -> bool {
        self.condition.health.as_ref().is_none_or(|health| health.is_up())
    }

    pub fn is_ejected(&self, now: Millis) -> bool {
        self.condition.outlier.is_ejected(now)
    }

    /// `None` if it has no breaker.
    pub fn breaker(&self) -> Option<Phase> {
        self.condition.breaker.as_ref().map(|breaker| breaker.phase())
    }
}

impl Condition {
    fn build(rules: &Rules<'_>, before: Option<&Self>) -> Self {
        let was_up = before.and_then(|before| before.health.as_ref());
        let same_health =
            |config: &HealthConfig| was_up.filter(|health| health.is_of(config)).map(Arc::clone);
        let health = rules.health.map(|config| {
            let is_up = was_up.is_none_or(|health| health.is_up());
            same_health(config).unwrap_or_else(|| Arc::new(HealthState::new(config, is_up)))
        });
        let outlier = before.map(|before| &before.outlier);
        let outlier = outlier.filter(|outlier| outlier.is_of(rules.ejections)).map(Arc::clone);
        let breaker = rules.breaker.map(|config| {
            let breaker = before.and_then(|before| before.breaker.as_ref());
            let same = breaker.filter(|breaker| breaker.is_of(config)).map(Arc::clone);
            same.unwrap_or_else(|| Arc::new(Breaker::new(config)))
        });
        let since = if rules.is_new { NEVER } else { rules.now.0 };
        Self {
            health,
            outlier: outlier.unwrap_or_else(|| Arc::new(Outlier::new(rules.ejections))),
            breaker,
            since: match before {
                Some(before) => Arc::clone(&before.since),
                None => Arc::new(AtomicU64::new(since)),
            },
        }
    }

    pub(super) fn became_eligible(&self, now: Millis) {
        self.since.store(now.0, Relaxed);
    }

    /// When it last became eligible again; `None` if it always was.
    pub(super) fn since(&self) -> Option<Millis> {
        Some(self.since.load(Relaxed)).filter(|since| *since != NEVER).map(Millis)
    }

    /// In units of 1/256 of the configured weight.
    pub(super) fn weight(
        &self,
        configured: u32,
        now: Millis,
        slow_start: Option<std::time::Duration>,
    ) -> u32 {
        match self.since() {
            None => configured * WEIGHT_UNIT,
            Some(since) => slow_start::effective(configured, since, now, slow_start),
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
