//! A service: a named group of endpoints, which of them a request goes to, and what requests have
//! shown of them.

pub mod breaker;
mod eligible;
mod endpoint;
mod endpoint_set;
pub mod outlier;
mod pick;
#[cfg(test)]
mod race;
mod slow_start;
mod state;
mod window;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use self::{
    breaker::{Admission, Transition},
    endpoint::Rules,
    endpoint_set::EndpointSet,
    outlier::{Asker, Ejections, Verdict},
};
pub use self::{
    eligible::EligibleList,
    endpoint::{Counts, Endpoint},
    pick::Picked,
    state::ServiceState,
};
use crate::{
    balance,
    clock::Millis,
    config::{
        Fingerprint, HealthConfig, PoolConfig, RetryConfig, ServiceConfig, Timeouts, TunnelLimits,
        UpstreamHost,
    },
    health::Change,
    ids::{EndpointId, ServiceId},
    limits::Limits,
    upstream::HeadBounds,
};

/// The settings of a service, around a state that outlives them.
pub struct Service {
    pub id: ServiceId,
    pub name: String,
    /// Of all its settings.
    fingerprint: Fingerprint,
    /// Of the settings by which connections are made and kept.
    pub connecting: Fingerprint,
    pub host: UpstreamHost,
    /// Longest request body that is read whole before it is sent, in bytes; `None`: bodies stream.
    pub buffer_request: Option<usize>,
    pub timeouts: Timeouts,
    pub pool: PoolConfig,
    pub tunnel: TunnelLimits,
    pub retry: RetryConfig,
    pub health: Option<HealthConfig>,
    pub response_head: HeadBounds,
    /// What policies with a key make it of.
    pub affinity: balance::Affinity,
    /// How long a request waits for a place, if the service limits them.
    pub queue_timeout: Duration,
    /// `None` if requests are not limited.
    limits: Option<Arc<Limits>>,
    /// Requests in flight to one endpoint: over HTTP/1.1 each has a connection of its own.
    per_endpoint: Option<u32>,
    /// Whether somebody wants to know how long answers take.
    pub times_answers: bool,
    slow_start: Option<Duration>,
    ejections: Arc<Ejections>,
    set: EndpointSet,
    state: Arc<ServiceState>,
}

impl Service {
    /// The service under `config`, with what it was in the snapshot `before`: the same, if its settings
    /// are.
    pub fn build(
        config: &ServiceConfig,
        id: ServiceId,
        id_of: impl FnMut(&str) -> EndpointId,
        before: Option<&Arc<Self>>,
        now: Millis,
    ) -> Arc<Self> {
        if let Some(same) = before.filter(|before| before.fingerprint == config.fingerprint) {
            return Arc::clone(same);
        }
        let ejections = before
            .map(|before| &before.ejections)
            .filter(|ejections| *ejections.rules() == config.outlier)
            .map_or_else(|| Ejections::new(config.outlier), Arc::clone);
        let rules = Rules {
            health: config.health.as_ref(),
            ejections: &ejections,
            breaker: config.breaker.as_ref(),
            now,
            is_new: before.is_none(),
        };
        let set = EndpointSet::build(config, &rules, before.map(|before| &before.set), id_of);
        let state = before.map(|before| Arc::clone(&before.state)).unwrap_or_default();
        let limits = limits(config, before.and_then(|before| before.limits.as_ref()));
        let service = Arc::new(Self::with(config, id, limits, ejections, set, state));
        service.wake_waiting();
        service
    }

    fn with(
        config: &ServiceConfig,
        id: ServiceId,
        limits: Option<Arc<Limits>>,
        ejections: Arc<Ejections>,
        set: EndpointSet,
        state: Arc<ServiceState>,
    ) -> Self {
        let own = config.limits.unwrap_or_default();
        Self {
            id,
            name: config.name.clone(),
            fingerprint: config.fingerprint,
            connecting: config.connecting,
            host: config.host.clone(),
            buffer_request: config.buffer_request,
            timeouts: config.timeouts,
            pool: config.pool,
            tunnel: config.tunnel,
            retry: config.retry.clone(),
            health: config.health.clone(),
            response_head: HeadBounds {
                bytes: config.max_response_header_bytes,
                fields: config.max_response_headers,
            },
            affinity: balance::Affinity::of(&config.balance),
            queue_timeout: own.queue_timeout,
            per_endpoint: limits.as_ref().and(own.max_connections_per_endpoint),
            times_answers: balance::times_answers(&config.balance)
                || (limits.is_some() && own.adaptive),
            limits,
            slow_start: config.slow_start,
            ejections,
            set,
            state,
        }
    }

    /// Never empty.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.set.endpoints
    }

    /// The endpoint at `place`, of which `Picked` knows.
    pub fn endpoint(&self, place: usize) -> &Endpoint {
        &self.set.endpoints[place]
    }

    /// `None` if requests are not limited.
    pub fn limits(&self) -> Option<&Limits> {
        self.limits.as_deref()
    }

    pub fn state(&self) -> &ServiceState {
        &self.state
    }

    /// Takes the result of an active check. For the checker of the endpoint alone.
    pub fn checked(&self, place: usize, result: Result<(), String>, now: Millis) {
        let endpoint = self.endpoint(place);
        let Some(health) = &endpoint.condition.health else { return };
        let counts = &endpoint.counts;
        let count = if result.is_ok() { &counts.checks_passed } else { &counts.checks_failed };
        count.fetch_add(1, Relaxed);
        let changed = health.observe(result.is_ok());
        let (service, url) = (&self.name, &endpoint.url);
        match (changed, result) {
            (Some(Change::Down), Err(why)) => {
                self.changed();
                tracing::warn!(service, endpoint = url, why, "endpoint is down");
            }
            (Some(_), _) => {
                endpoint.condition.became_eligible(now);
                self.changed();
                tracing::info!(service, endpoint = url, "endpoint is up");
            }
            (None, _) => {}
        }
    }

    /// Takes how long an answer took, or that there was none.
    pub fn observe(&self, place: usize, now: Millis, latency_us: u32, failed: bool) {
        self.endpoint(place).load.observe(now, latency_us, failed);
        if let Some(limits) = &self.limits
            && !failed
        {
            limits.observe(now, latency_us);
        }
    }

    /// Takes how a request ended that was given to the endpoint.
    pub fn report(
        &self,
        place: usize,
        admission: Admission,
        failed: bool,
        asker: Asker,
        now: impl Fn() -> Millis,
    ) {
        let endpoint = self.endpoint(place);
        let condition = &endpoint.condition;
        if let Some(breaker) = &condition.breaker {
            let is_trial = matches!(admission, Admission::Trial(_));
            match breaker.report(now(), admission, failed) {
                Some(transition) => self.breaker_moved(place, transition, now()),
                // Another may follow it.
                None if is_trial => self.changed(),
                None => {}
            }
        }
        // The usual success is one load, and asks for no time.
        if (failed || condition.outlier.wants_success())
            && let Some(verdict) = condition.outlier.observe(now(), failed, asker)
        {
            self.judged(place, verdict, now());
        }
    }

    /// A request has ended and has shown nothing of the endpoint.
    pub fn forget(&self, place: usize, admission: Admission) {
        if let Some(breaker) = &self.endpoint(place).condition.breaker {
            let was_trial = matches!(admission, Admission::Trial(_));
            breaker.forget(admission);
            if was_trial {
                self.changed();
            }
        }
    }

    /// A request has ended that was picked for the endpoint.
    pub fn finish(&self, place: usize) {
        self.endpoint(place).load.finish();
        self.wake_waiting();
    }

    fn breaker_moved(&self, place: usize, transition: Transition, now: Millis) {
        let endpoint = self.endpoint(place);
        endpoint.counts.transition(transition);
        let (service, url) = (&self.name, &endpoint.url);
        match transition {
            Transition::Opened => tracing::warn!(service, endpoint = url, "breaker opened"),
            Transition::Reopened => tracing::warn!(service, endpoint = url, "breaker stays open"),
            Transition::Closed => {
                endpoint.condition.became_eligible(now);
                tracing::info!(service, endpoint = url, "breaker closed");
            }
        }
        self.changed();
    }

    fn judged(&self, place: usize, verdict: Verdict, now: Millis) {
        let endpoint = self.endpoint(place);
        endpoint.counts.verdict(verdict);
        match verdict {
            Verdict::Ejected { cause, until } => {
                let (service, url) = (&self.name, &endpoint.url);
                let for_ms = until.after(now);
                tracing::warn!(service, endpoint = url, cause = cause.word(), for_ms, "ejected");
            }
            Verdict::Returned => self.returned(endpoint, now),
        }
        self.changed();
    }

    fn returned(&self, endpoint: &Endpoint, now: Millis) {
        endpoint.condition.became_eligible(now);
        tracing::info!(service = self.name, endpoint = endpoint.url, "no longer ejected");
    }
}

fn limits(config: &ServiceConfig, before: Option<&Arc<Limits>>) -> Option<Arc<Limits>> {
    let config = config.limits.as_ref()?;
    Some(match before {
        Some(before) => {
            before.adapt(config);
            Arc::clone(before)
        }
        None => Arc::new(Limits::new(config)),
    })
}

#[cfg(test)]
impl Service {
    /// The first service of a configuration.
    pub fn of_test(text: &str) -> Arc<Self> {
        use crate::ids::Id;
        let config = crate::config::Config::load(text, "test", &|_| None).expect("is valid");
        let mut next = 0..;
        let id_of = |_: &str| EndpointId::numbered(next.next().unwrap_or_default());
        Self::build(&config.services[0], ServiceId::numbered(0), id_of, None, Millis(0))
    }
}
