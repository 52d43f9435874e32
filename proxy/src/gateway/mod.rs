//! A snapshot: everything a request needs to know of one configuration, prepared once. Immutable, and
//! shared by all workers; each part stands behind an `Arc`, so that the next snapshot takes over what has
//! not changed.

mod build;
mod present;

use std::{collections::HashMap, hash::BuildHasherDefault, sync::Arc};

use actix_http::header::HeaderName;

pub use self::present::{Present, Snapshots};
use crate::{
    auth::{PasswordDesk, SharedScheme},
    clock::Clock,
    config::{BodyLimit, Fingerprint, HeaderRules, NameCase, PathPolicy, UnsafeBytes},
    headers::{cdn_loop::CdnLoop, forwarded::TrustedProxies},
    ids::Ids,
    left::Left,
    rate_limit::RateLimits,
    record::Index,
    request::has_unsafe_bytes,
    routing::{Found, OtherReadings, Request, RouteTable},
    service::{Endpoint, Service},
    telemetry::series::KeyHasher,
    tls::{acme::HttpChallenges, upstream::UpstreamConnectors},
};

pub struct Gateway {
    /// Of all that `routes` and `readings` come from.
    routing: Fingerprint,
    pub routes: Arc<RouteTable>,
    /// `None` if it does not matter how else a request can be read.
    readings: Option<Arc<OtherReadings>>,
    /// Whether a route has CORS.
    pub has_cors: bool,
    pub trusted_proxies: TrustedProxies,
    /// How requests are known that come back.
    pub cdn_loop: CdnLoop,
    pub health_path: Option<String>,
    /// `None`: no certificates are ordered.
    pub challenges: Option<HttpChallenges>,
    pub max_body: BodyLimit,
    pub paths: PathPolicy,
    /// Of names that no client has spelled, to endpoints.
    pub case: NameCase,
    pub schemes: Vec<Arc<SharedScheme>>,
    pub passwords: Arc<PasswordDesk>,
    /// Fields that say who the client is: only the proxy sends them, whatever the route.
    pub identity_fields: Vec<HeaderName>,
    default_auth: Option<usize>,
    /// For answers to those who are not known, whatever the route.
    pub strangers_headers: HeaderRules,
    pub rate_limits: RateLimits,
    services: Vec<Arc<Service>>,
    /// Services that were there before.
    left: Left<Service>,
    /// The names are ours, so nobody can aim for collisions.
    service_names: HashMap<String, usize, BuildHasherDefault<KeyHasher>>,
    /// How connections by TLS begin.
    pub connectors: Arc<UpstreamConnectors>,
    pub clock: Clock,
    pub ids: Arc<Ids>,
}

impl Gateway {
    /// With what connections by TLS begin with; a snapshot without it opens none.
    #[must_use]
    pub fn with(self, connectors: Arc<UpstreamConnectors>) -> Self {
        Self { connectors, ..self }
    }

    /// What becomes of a request, if it can be read in one way only.
    pub fn find(&self, request: Request<'_>) -> Found {
        let found = self.routes.find(request);
        if let Found::Route(taken) = &found
            && self.refuses_unsafe(taken.route)
            && has_unsafe_bytes(request.path)
        {
            return Found::Ambiguous;
        }
        if let Found::Route(taken) = &found
            && let Some(readings) = &self.readings
            && readings.evade(&self.routes, taken, request)
        {
            return Found::Ambiguous;
        }
        found
    }

    fn refuses_unsafe(&self, route: Index) -> bool {
        let own = self.routes.route(route).config.unsafe_bytes;
        own.unwrap_or(self.paths.unsafe_bytes) == UnsafeBytes::Reject
    }

    /// Whether who is not known must not learn which routes there are.
    pub fn hides_routes(&self) -> bool {
        self.default_auth.is_some()
    }

    /// Who guards `route`; who guards requests without one. `None` lets everybody in.
    pub fn scheme(&self, route: Option<Index>) -> Option<usize> {
        match route {
            Some(route) => self.routes.route(route).config.auth,
            None => self.default_auth,
        }
    }

    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// The place of a service by the name that stands in a path.
    pub fn service_named(&self, name: &str) -> Option<usize> {
        self.service_names.get(name).copied()
    }

    /// All endpoints, each with its service.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Service, &Endpoint)> {
        let services = self.services.iter().map(|service| &**service);
        services.flat_map(|one| one.endpoints().iter().map(move |endpoint| (one, &**endpoint)))
    }
}
