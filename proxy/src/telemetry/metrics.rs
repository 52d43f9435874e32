//! The numbers a worker counts. Each worker has a shard of its own; reading adds them up.
//!
//! Label values are bounded: routes, services and endpoints are those of the configuration,
//! methods outside the usual ones are `other`, codes have three digits.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_http::Method;

use super::{
    clients::ClientConnections,
    counter::{ByReason, Counter, Histogram},
    downstream::DownstreamCells,
    labels::Labels,
    losses::Losses,
    series::{Published, Series},
};
use crate::{
    auth::AuthResult,
    error::Reason,
    forward::mirror::Copied,
    ids::{EndpointId, LimitId, RouteId, SchemeId, ServiceId, Tables},
    record::RequestRecord,
    retry::Trouble,
};

/// All shards, and what is counted for the process as a whole.
#[derive(Default)]
pub struct Metrics {
    /// Not in the shards: the bounds on connections hold for all workers together.
    pub clients: ClientConnections,
    pub lookups: Arc<Lookups>,
    pub acme: Arc<AcmeOrders>,
    /// Lines of the access log.
    pub log_losses: Arc<Losses>,
    /// Guards the list of shards: taken once by each worker, and when metrics are read.
    pub shards: Mutex<Vec<Arc<SharedShard>>>,
}

/// The part of a shard that others read.
#[derive(Default)]
pub struct SharedShard {
    pub requests: Published<RequestLabels, RequestCells>,
    pub upstream: Published<UpstreamLabels, Counter>,
    pub connects: Published<EndpointId, Histogram>,
    pub retries: Published<RetryLabels, Counter>,
    pub queued: Published<ServiceId, Histogram>,
    pub copies: Published<CopyLabels, Counter>,
    pub budgets: Published<ServiceId, Counter>,
    pub checks: Published<CheckLabels, Counter>,
    pub rate_limited: Published<LimitId, Counter>,
    pub rate_limit_store_errors: Counter,
    pub errors: ByReason,
    pub in_flight: Counter,
    pub tunnels: Counter,
    pub open_tunnels: Counter,
    pub connections: Arc<UpstreamConnections>,
    pub downstream: DownstreamCells,
}

/// Connections of one worker to all endpoints.
#[derive(Debug, Default)]
pub struct UpstreamConnections {
    pub open: Counter,
    pub idle: Counter,
}

/// Requests that have begun and not ended. Behind its 101 a request is a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlightNow {
    pub requests: u64,
    pub tunnels: u64,
}

/// Lookups of names. Only the resolver's thread counts them.
#[derive(Debug, Default)]
pub struct Lookups {
    pub ok: Counter,
    pub failed: Counter,
}

/// Orders of certificates. Only the task that orders counts them.
#[derive(Debug, Default)]
pub struct AcmeOrders {
    pub ok: Counter,
    pub failed: Counter,
    /// The folder, or a file in it, could not be used.
    pub state_failures: Counter,
}

/// What one worker counts.
pub struct Shard {
    shared: Arc<SharedShard>,
    requests: Series<RequestLabels, RequestCells>,
    upstream: Series<UpstreamLabels, Counter>,
    connects: Series<EndpointId, Histogram>,
    retries: Series<RetryLabels, Counter>,
    queued: Series<ServiceId, Histogram>,
    copies: Series<CopyLabels, Counter>,
    budgets: Series<ServiceId, Counter>,
    checks: Series<CheckLabels, Counter>,
    rate_limited: Series<LimitId, Counter>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestLabels {
    pub route: Option<RouteId>,
    pub service: Option<ServiceId>,
    pub method: MethodLabel,
    pub code: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UpstreamLabels {
    pub endpoint: EndpointId,
    /// 0 if there was no answer.
    pub code: u16,
}

/// What a retry is for, and whether there was one or the budget was spent.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RetryLabels {
    pub reason: &'static str,
    pub is_made: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CopyLabels {
    pub service: ServiceId,
    pub result: &'static str,
}

/// A scheme, and what came of a check.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CheckLabels {
    pub scheme: SchemeId,
    pub result: AuthResult,
}

#[derive(Default)]
pub struct RequestCells {
    pub duration: Histogram,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum MethodLabel {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Patch,
    Options,
    Connect,
    Trace,
    Other,
}

impl Metrics {
    /// A shard for a new worker.
    pub fn shard(&self) -> Shard {
        let shared = Arc::new(SharedShard::default());
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.push(Arc::clone(&shared));
        Shard {
            requests: Series::new(Arc::clone(&shared.requests)),
            upstream: Series::new(Arc::clone(&shared.upstream)),
            connects: Series::new(Arc::clone(&shared.connects)),
            retries: Series::new(Arc::clone(&shared.retries)),
            queued: Series::new(Arc::clone(&shared.queued)),
            copies: Series::new(Arc::clone(&shared.copies)),
            budgets: Series::new(Arc::clone(&shared.budgets)),
            checks: Series::new(Arc::clone(&shared.checks)),
            rate_limited: Series::new(Arc::clone(&shared.rate_limited)),
            shared,
        }
    }

    /// Requests that have begun and not ended, tunnels among them.
    pub fn in_flight(&self) -> InFlightNow {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |count: fn(&SharedShard) -> &Counter| {
            shards.iter().map(|shard| count(shard).get()).sum::<u64>()
        };
        let tunnels = sum(|shard| &shard.open_tunnels);
        InFlightNow { requests: sum(|shard| &shard.in_flight).saturating_sub(tunnels), tunnels }
    }
}

impl Shard {
    /// What is counted of clients' connections.
    pub fn downstream(&self) -> &DownstreamCells {
        &self.shared.downstream
    }

    pub fn request_started(&self) {
        self.shared.in_flight.add(1);
    }

    pub fn request_ended(&self, record: &RequestRecord, duration: Duration) {
        if let Some(reason) = record.reason.get() {
            self.shared.errors.of(reason).add(1);
        }
        let labels = RequestLabels {
            route: record.matched().map(|route| route.id),
            service: record.service().map(|service| service.id),
            method: MethodLabel::of(&record.method),
            code: record.final_status().as_u16(),
        };
        self.requests.with(labels, |cells| {
            cells.duration.observe(duration);
            cells.bytes_in.add(record.bytes_in.get());
            cells.bytes_out.add(record.bytes_out.get());
        });
        // Last: who sees that nothing runs finds all of it counted.
        self.shared.in_flight.subtract(1);
    }

    /// Lets go of the series of all that is not known any more.
    pub fn forget(&self, tables: &Tables) {
        self.requests.retain(|labels| labels.is_known(tables));
        self.upstream.retain(|labels| labels.is_known(tables));
        self.connects.retain(|labels| labels.is_known(tables));
        self.queued.retain(|labels| labels.is_known(tables));
        self.copies.retain(|labels| labels.is_known(tables));
        self.budgets.retain(|labels| labels.is_known(tables));
        self.checks.retain(|labels| labels.is_known(tables));
        self.rate_limited.retain(|labels| labels.is_known(tables));
    }

    /// A failure that was answered before there was a request.
    pub fn connection_refused(&self, reason: Reason) {
        self.shared.errors.of(reason).add(1);
    }

    /// An attempt ended with this status, or without an answer.
    pub fn upstream_answered(&self, endpoint: EndpointId, code: Option<u16>) {
        let labels = UpstreamLabels { endpoint, code: code.unwrap_or(0) };
        self.upstream.with(labels, |count| count.add(1));
    }

    pub fn upstream_connected(&self, endpoint: EndpointId, duration: Duration) {
        self.connects.with(endpoint, |histogram| histogram.observe(duration));
    }

    /// Another try, or one that the budget did not allow.
    pub fn retry(&self, trouble: Trouble, is_made: bool) {
        self.retries.with(RetryLabels { reason: trouble.word(), is_made }, |count| count.add(1));
    }

    /// Retries that this worker may still make now.
    pub fn budget_left(&self, service: ServiceId, left: u64) {
        self.budgets.with(service, |count| count.set(left));
    }

    /// A request has waited for a place.
    pub fn queue_waited(&self, service: ServiceId, duration: Duration) {
        self.queued.with(service, |histogram| histogram.observe(duration));
    }

    /// A scheme has checked a request.
    pub fn authenticated(&self, scheme: SchemeId, result: AuthResult) {
        self.checks.with(CheckLabels { scheme, result }, |count| count.add(1));
    }

    /// A rate limit has refused a request.
    pub fn rate_limited(&self, limit: LimitId) {
        self.rate_limited.with(limit, |count| count.add(1));
    }

    /// A request that the store of rate limits has not decided on.
    pub fn rate_limit_store_failed(&self) {
        self.shared.rate_limit_store_errors.add(1);
    }

    /// A copy for `service` has ended.
    pub fn mirrored(&self, service: ServiceId, copied: Copied) {
        let labels = CopyLabels { service, result: copied.word() };
        self.copies.with(labels, |count| count.add(1));
    }

    /// Counts a tunnel for as long as the value lives.
    pub fn open_tunnel(&self) -> OpenTunnel {
        self.shared.tunnels.add(1);
        self.shared.open_tunnels.add(1);
        OpenTunnel(Arc::clone(&self.shared))
    }

    pub fn connections(&self) -> Arc<UpstreamConnections> {
        Arc::clone(&self.shared.connections)
    }
}

/// One tunnel of the worker.
pub struct OpenTunnel(Arc<SharedShard>);

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.open_tunnels.subtract(1);
    }
}

impl MethodLabel {
    fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::DELETE => Self::Delete,
            Method::PATCH => Self::Patch,
            Method::OPTIONS => Self::Options,
            Method::CONNECT => Self::Connect,
            Method::TRACE => Self::Trace,
            _ => Self::Other,
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Options => "OPTIONS",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
            Self::Other => "other",
        }
    }
}
