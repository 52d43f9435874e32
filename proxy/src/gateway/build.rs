//! Builds a snapshot. What has not changed since the one before is taken over, with all that it has
//! counted: the snapshot before is the only registry of what there is.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::Gateway;
use crate::{
    auth::SharedScheme,
    clock::{Clock, Millis},
    config::{AcmeChallenge, AmbiguousPaths, Config, SchemeConfig, ServiceConfig},
    headers::{cdn_loop::CdnLoop, forwarded::TrustedProxies},
    ids::{EndpointName, Ids, SchemeId, ServiceId, Tables},
    left::Left,
    rate_limit::RateLimits,
    routing::{OtherReadings, RouteTable},
    service::Service,
    tls::acme::HttpChallenges,
};

/// Services that have left and are kept: one that hashes has a table of 128 KiB.
const MOST_LEFT: usize = 100;

impl Gateway {
    /// The snapshot of `config` that follows `before`, to be set at once: limits that go on take their
    /// new bounds now.
    pub fn build(config: &Config, before: Option<&Self>) -> Self {
        let ids = before.map(|before| Arc::clone(&before.ids)).unwrap_or_default();
        let clock = before.map_or_else(Clock::start, |before| before.clock);
        let gateway = Self::numbered(config, before, &ids, clock);
        gateway.keep_ids();
        gateway
    }

    fn numbered(config: &Config, before: Option<&Self>, ids: &Arc<Ids>, clock: Clock) -> Self {
        let tables = &mut *ids.tables();
        let services = services(config, before, tables, clock.now());
        let routing = before.filter(|before| before.routing == config.routing);
        let routes = match routing {
            Some(same) => Arc::clone(&same.routes),
            None => Arc::new(RouteTable::new(&config.routes, |name| tables.routes.of(name))),
        };
        let readings = match routing {
            Some(same) => same.readings.clone(),
            None => (config.server.paths.ambiguous == AmbiguousPaths::Reject)
                .then(|| OtherReadings::new(config).map(Arc::new))
                .flatten(),
        };
        Self {
            routing: config.routing,
            routes,
            readings,
            has_cors: config.routes.iter().any(|route| route.cors.is_some()),
            trusted_proxies: TrustedProxies::new(
                &config.server.trusted_proxies,
                config.server.trusts_unix_peers,
            )
            .reading(config.server.forwarded),
            cdn_loop: match before {
                Some(before) => before.cdn_loop.clone(),
                None => CdnLoop::new(rand::random()),
            },
            health_path: config.server.health_path.clone(),
            challenges: config
                .acme
                .as_ref()
                .filter(|acme| acme.challenge == AcmeChallenge::Http01)
                .map(|acme| HttpChallenges::new(&acme.state.path)),
            max_body: config.server.max_body,
            paths: config.server.paths,
            case: config.server.case,
            schemes: schemes(config, before, tables),
            passwords: before.map(|before| Arc::clone(&before.passwords)).unwrap_or_default(),
            identity_fields: config.auth_schemes.iter().flat_map(SchemeConfig::fields).collect(),
            default_auth: config.default_auth,
            strangers_headers: config.security_headers.clone(),
            rate_limits: RateLimits::new(config, before.map(|before| &before.rate_limits), tables),
            service_names: services.iter().map(|one| one.name.clone()).zip(0..).collect(),
            left: left(before, &services, clock.now()),
            services,
            connectors: Arc::default(),
            clock,
            ids: Arc::clone(ids),
        }
    }

    /// Those that have left come first.
    fn known_services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.left.iter().chain(&self.services)
    }

    /// What is in no snapshot any more begins to be forgotten.
    fn keep_ids(&self) {
        let (tables, now) = (&mut *self.ids.tables(), self.clock.now());
        let endpoints = self.services.iter().flat_map(|service| service.endpoints());
        tables.routes.keep(self.routes.routes().iter().map(|route| route.id), now);
        tables.services.keep(self.services.iter().map(|service| service.id), now);
        tables.endpoints.keep(endpoints.map(|endpoint| endpoint.id), now);
        tables.schemes.keep(self.schemes.iter().map(|scheme| scheme.id), now);
        tables.limits.keep(self.rate_limits.all().iter().map(|limit| limit.id), now);
    }
}

fn services(
    config: &Config,
    before: Option<&Gateway>,
    tables: &mut Tables,
    now: Millis,
) -> Vec<Arc<Service>> {
    let known: HashMap<ServiceId, &Arc<Service>> =
        before.iter().flat_map(|before| before.known_services()).map(|one| (one.id, one)).collect();
    let service = |config: &ServiceConfig| {
        let name = &config.name;
        let id = tables.services.of(name);
        let id_of = |url: &str| {
            let name = EndpointName { service: name.clone(), url: url.to_owned() };
            tables.endpoints.of(&name)
        };
        Service::build(config, id, id_of, known.get(&id).copied(), now)
    };
    config.services.iter().map(service).collect()
}

fn left(before: Option<&Gateway>, services: &[Arc<Service>], now: Millis) -> Left<Service> {
    let present: HashSet<ServiceId> = services.iter().map(|one| one.id).collect();
    let gone = before.iter().flat_map(|before| &before.services);
    let gone = gone.filter(|one| !present.contains(&one.id)).map(Arc::clone);
    Left::build(before.map(|before| &before.left), gone, &present, |one| one.id, now, MOST_LEFT)
}

fn schemes(
    config: &Config,
    before: Option<&Gateway>,
    tables: &mut Tables,
) -> Vec<Arc<SharedScheme>> {
    let known: HashMap<SchemeId, &Arc<SharedScheme>> =
        before.iter().flat_map(|before| &before.schemes).map(|one| (one.id, one)).collect();
    let scheme = |config: &SchemeConfig| {
        let id = tables.schemes.of(&config.name);
        SharedScheme::build(config, id, known.get(&id).copied())
    };
    config.auth_schemes.iter().map(scheme).collect()
}
