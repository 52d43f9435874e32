//! A service: a named group of endpoints, which of them a request goes to, and what requests have
//! shown of them.

pub mod breaker;
mod endpoint;
mod in_flight;
pub mod load;
pub mod outlier;
mod pick;
#[cfg(test)]
mod race;
mod slow_start;
mod window;

use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use self::{
    breaker::{Admission, Breaker, Transition},
    outlier::{Asker, Ejections, Outlier, Verdict},
};
pub use self::{
    endpoint::{Condition, Counts, Endpoint},
    in_flight::{InFlight, Permit},
};
use crate::{
    balance::{self, Balancer, Candidate, Member, WEIGHT_UNIT, Weights},
    clock::Millis,
    config::{
        HealthConfig, PoolConfig, RetryConfig, ServiceConfig, Timeouts, TunnelLimits, UpstreamHost,
    },
    health::{Change, HealthState},
    limits::Limits,
    record::Index,
    upstream::HeadBounds,
};

pub struct Service {
    pub name: String,
    pub index: Index,
    pub host: UpstreamHost,
    /// Longest request body that is read whole before it is sent, in bytes; `None`: bodies stream.
    pub buffer_request: Option<usize>,
    pub timeouts: Timeouts,
    pub pool: PoolConfig,
    pub tunnel: TunnelLimits,
    pub retry: RetryConfig,
    pub health: Option<HealthConfig>,
    pub limits: Option<Limits>,
    pub response_head: HeadBounds,
    /// What policies with a key make it of.
    pub affinity: balance::Affinity,
    /// Whether somebody wants to know how long answers take.
    times_answers: bool,
    slow_start: Option<Duration>,
    /// Never empty.
    endpoints: Vec<Endpoint>,
    /// Those that are no backups, at their full weight.
    primaries: Vec<Candidate>,
    weights: Weights,
    /// One for each endpoint: not zero if it may be anything but eligible at its full weight.
    marks: Vec<AtomicU8>,
    /// Picks among ejected endpoints, because there were no others.
    pub failed_open: AtomicU64,
    /// Whether the last pick was such a one.
    is_open: AtomicBool,
    balancer: Box<dyn Balancer>,
}

impl Service {
    /// `first_endpoint` is the index of its first endpoint among all.
    pub fn new(index: Index, first_endpoint: Index, config: &ServiceConfig) -> Self {
        let ejections = Ejections::new(config.outlier);
        let condition = || {
            let health = config.health.as_ref().map(HealthState::new);
            let breaker = config.breaker.as_ref().map(Breaker::new);
            Condition::new(health, Outlier::new(&ejections), breaker)
        };
        let endpoints = config.endpoints.iter().zip(first_endpoint..);
        let endpoints: Vec<Endpoint> =
            endpoints.map(|(one, index)| Endpoint::new(index, one, condition())).collect();
        let places = endpoints.iter().zip(0..).filter(|(endpoint, _)| !endpoint.is_backup);
        let primaries: Vec<Candidate> = places
            .map(|(endpoint, place)| Candidate { place, weight: endpoint.weight * WEIGHT_UNIT })
            .collect();
        let members: Vec<Member<'_>> =
            endpoints.iter().map(|one| Member { url: &one.url, weight: one.weight }).collect();
        let balancer = balance::build(&config.balance, &members);
        let limits = config.limits.as_ref().map(Limits::new);
        Self {
            name: config.name.clone(),
            index,
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
            times_answers: balance::times_answers(&config.balance)
                || limits.as_ref().is_some_and(Limits::is_adaptive),
            limits,
            slow_start: config.slow_start,
            weights: Weights::of(&primaries),
            primaries,
            marks: endpoints.iter().map(|_| AtomicU8::new(0)).collect(),
            failed_open: AtomicU64::new(0),
            is_open: AtomicBool::new(false),
            endpoints,
            balancer,
        }
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The endpoint at `place`, of which `InFlight` knows.
    pub fn endpoint(&self, place: usize) -> &Endpoint {
        &self.endpoints[place]
    }

    /// Takes the result of an active check. For the checker of the endpoint alone.
    pub fn checked(&self, place: usize, result: Result<(), String>, now: Millis) {
        let endpoint = &self.endpoints[place];
        let Some(health) = &endpoint.condition.health else { return };
        let counts = &endpoint.counts;
        let count = if result.is_ok() { &counts.checks_passed } else { &counts.checks_failed };
        count.fetch_add(1, Relaxed);
        let changed = health.observe(result.is_ok());
        let (service, url) = (&self.name, &endpoint.url);
        match (changed, result) {
            (Some(Change::Down), Err(why)) => {
                self.changed(place);
                tracing::warn!(service, endpoint = url, why, "endpoint is down");
            }
            (Some(_), _) => {
                endpoint.condition.became_eligible(now);
                self.changed(place);
                tracing::info!(service, endpoint = url, "endpoint is up");
            }
            (None, _) => {}
        }
    }

    fn per_endpoint(&self) -> Option<u32> {
        self.limits.as_ref().and_then(|limits| limits.per_endpoint)
    }

    fn observe(&self, place: usize, now: Millis, latency_us: u32, failed: bool) {
        self.endpoints[place].load.observe(now, latency_us, failed);
        if let Some(limits) = &self.limits
            && !failed
        {
            limits.observe(now, latency_us);
        }
    }

    /// Takes how a request ended that was given to the endpoint.
    fn report(
        &self,
        place: usize,
        admission: Admission,
        failed: bool,
        asker: Asker,
        now: impl Fn() -> Millis,
    ) {
        let endpoint = &self.endpoints[place];
        let condition = &endpoint.condition;
        if let Some(breaker) = &condition.breaker {
            let is_trial = matches!(admission, Admission::Trial(_));
            match breaker.report(now(), admission, failed) {
                Some(transition) => self.breaker_moved(place, transition, now()),
                // Another may follow it.
                None if is_trial => self.wake_waiting(),
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

    fn breaker_moved(&self, place: usize, transition: Transition, now: Millis) {
        let endpoint = &self.endpoints[place];
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
        self.changed(place);
    }

    fn judged(&self, place: usize, verdict: Verdict, now: Millis) {
        let endpoint = &self.endpoints[place];
        endpoint.counts.verdict(verdict);
        match verdict {
            Verdict::Ejected { cause, until } => {
                let (service, url) = (&self.name, &endpoint.url);
                let for_ms = until.after(now);
                tracing::warn!(service, endpoint = url, cause = cause.word(), for_ms, "ejected");
            }
            Verdict::Returned => self.returned(endpoint, now),
        }
        self.changed(place);
    }

    fn returned(&self, endpoint: &Endpoint, now: Millis) {
        endpoint.condition.became_eligible(now);
        tracing::info!(service = self.name, endpoint = endpoint.url, "no longer ejected");
    }
}
