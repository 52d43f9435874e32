//! Everything a request needs to know of the configuration, prepared once: routes, schemes and
//! services. Immutable and shared by all workers.

use std::{collections::HashMap, hash::BuildHasherDefault, sync::Arc};

use actix_http::header::HeaderName;
use tokio::time::Instant;

use crate::{
    auth::{Guesses, KeySource, PasswordDesk},
    clock::Millis,
    config::{
        AcmeChallenge, AmbiguousPaths, AuthScheme, BodyLimit, Config, HeaderRules, JwtConfig,
        JwtKeys, NameCase, PathPolicy, SchemeConfig, UnsafeBytes,
    },
    headers::{cdn_loop::CdnLoop, forwarded::TrustedProxies},
    rate_limit::{RateLimits, gcra::nanos},
    record::Index,
    request::has_unsafe_bytes,
    routing::{Found, OtherReadings, Request, RouteTable},
    service::{Endpoint, Service},
    telemetry::series::KeyHasher,
    tls::acme::HttpChallenges,
};

pub struct Gateway {
    pub routes: RouteTable,
    /// `None` if it does not matter how else a request can be read.
    readings: Option<OtherReadings>,
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
    /// Each worker has an authenticator for each.
    pub schemes: Vec<SchemeConfig>,
    /// Fields that say who the client is: only the proxy sends them, whatever the route.
    pub identity_fields: Vec<HeaderName>,
    /// Keys that are fetched, by scheme.
    pub key_sources: Vec<Option<Arc<KeySource>>>,
    pub passwords: Arc<PasswordDesk>,
    /// Wrong guesses, by scheme.
    pub guesses: Vec<Option<Arc<Guesses>>>,
    default_auth: Option<usize>,
    /// For answers to those who are not known, whatever the route.
    pub strangers_headers: HeaderRules,
    pub rate_limits: RateLimits,
    services: Vec<Service>,
    /// The names are ours, so nobody can aim for collisions.
    service_names: HashMap<String, Index, BuildHasherDefault<KeyHasher>>,
    /// When time began, for the clock that all workers share.
    epoch: Instant,
    /// Service and place in it, by the index of the endpoint.
    endpoints: Vec<(Index, usize)>,
}

impl Gateway {
    pub fn build(config: &Config) -> Self {
        let mut services = Vec::with_capacity(config.services.len());
        let mut endpoints = Vec::new();
        for (service, index) in config.services.iter().zip(0..) {
            let first = Index::try_from(endpoints.len()).expect("a file has fewer endpoints");
            let service = Service::new(index, first, service);
            endpoints.extend((0..service.endpoints().len()).map(|place| (index, place)));
            services.push(service);
        }
        Self {
            routes: RouteTable::new(&config.routes),
            readings: (config.server.paths.ambiguous == AmbiguousPaths::Reject)
                .then(|| OtherReadings::new(config))
                .flatten(),
            has_cors: config.routes.iter().any(|route| route.cors.is_some()),
            trusted_proxies: TrustedProxies::new(
                &config.server.trusted_proxies,
                config.server.trusts_unix_peers,
            )
            .reading(config.server.forwarded),
            cdn_loop: CdnLoop::new(rand::random()),
            health_path: config.server.health_path.clone(),
            challenges: config
                .acme
                .as_ref()
                .filter(|acme| acme.challenge == AcmeChallenge::Http01)
                .map(|acme| HttpChallenges::new(&acme.state.path)),
            max_body: config.server.max_body,
            paths: config.server.paths,
            case: config.server.case,
            schemes: config.auth_schemes.clone(),
            key_sources: config.auth_schemes.iter().map(key_source).collect(),
            passwords: Arc::default(),
            guesses: config.auth_schemes.iter().map(guesses).collect(),
            identity_fields: config.auth_schemes.iter().flat_map(SchemeConfig::fields).collect(),
            default_auth: config.default_auth,
            strangers_headers: config.security_headers.clone(),
            rate_limits: RateLimits::new(config),
            service_names: services.iter().map(|one| (one.name.clone(), one.index)).collect(),
            services,
            epoch: Instant::now(),
            endpoints,
        }
    }

    pub fn now(&self) -> Millis {
        self.at(Instant::now())
    }

    /// `instant` on the clock that all workers share.
    pub fn at(&self, instant: Instant) -> Millis {
        Millis::since(self.epoch, instant)
    }

    /// `instant` in nanoseconds on the same clock.
    pub fn nanos_at(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.epoch))
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

    pub fn service(&self, index: Index) -> &Service {
        &self.services[index as usize]
    }

    /// A service by the name that stands in a path.
    pub fn service_named(&self, name: &str) -> Option<&Service> {
        self.service_names.get(name).map(|index| self.service(*index))
    }

    pub fn services(&self) -> &[Service] {
        &self.services
    }

    pub fn endpoint(&self, index: Index) -> &Endpoint {
        self.endpoint_and_service(index).1
    }

    pub fn endpoint_and_service(&self, index: Index) -> (&Service, &Endpoint) {
        let (service, place) = self.endpoints[index as usize];
        let service = self.service(service);
        (service, service.endpoint(place))
    }

    /// All endpoints in the order of their indexes, each with its service.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Service, &Endpoint)> {
        let services = self.services.iter();
        services.flat_map(|one| one.endpoints().iter().map(move |endpoint| (one, endpoint)))
    }
}

fn key_source(scheme: &SchemeConfig) -> Option<Arc<KeySource>> {
    match &scheme.kind {
        AuthScheme::Jwt(JwtConfig { keys: JwtKeys::Set(_), .. }) => Some(Arc::default()),
        _ => None,
    }
}

fn guesses(scheme: &SchemeConfig) -> Option<Arc<Guesses>> {
    scheme.failures.map(|limit| Arc::new(Guesses::new(limit)))
}
