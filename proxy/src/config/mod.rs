//! The configuration file, checked: after a `Config` exists no code checks a setting again.
//!
//! One walk over the spanned TOML tree reads every section and collects every mistake. Later
//! rooms take their section of `Config`; none of them sees the file.

mod auth;
mod balance;
mod breaker;
mod call_url;
mod clients;
mod connections;
mod cookie;
mod cors;
mod duration;
mod endpoint;
mod endpoints;
mod error;
mod expand;
mod fingerprint;
mod header_rules;
mod health;
mod limits;
mod listen_address;
mod listeners;
mod log;
mod method;
mod mirror;
mod name_case;
mod name_index;
mod network;
mod number;
mod outlier;
mod paths;
mod pattern;
mod pool;
mod rate_limits;
mod redis;
mod retry;
mod route_action;
mod routes;
pub mod schema;
mod secret;
mod section;
mod security_headers;
mod server;
mod services;
mod size;
mod split;
mod timeouts;
mod tls;
mod tunnel;
mod value;

use std::collections::HashSet;

use toml::de::DeTable;

pub use self::{
    auth::{
        ApiKeyConfig, AuthScheme, BasicConfig, CertificateName, ClaimFields, ClaimValue,
        FailureLimit, ForwardConfig, IntrospectionConfig, JwtConfig, JwtKeys, KeyPlace, KnownKey,
        KnownKeys, MtlsConfig, PasswordHash, Required, SchemeConfig, User,
    },
    balance::{Balance, HashKey, StickyCookie},
    breaker::BreakerConfig,
    call_url::{CallConfig, CallUrl},
    clients::{ClientTimeouts, HeadBounds},
    connections::ConnectionLimits,
    cookie::{CookieAttributes, SameSite},
    cors::{CorsConfig, OriginPattern, Origins},
    endpoint::{EndpointAddress, EndpointUrl},
    endpoints::EndpointConfig,
    error::{ConfigError, ConfigErrors, Position},
    fingerprint::Fingerprint,
    header_rules::HeaderRules,
    health::{HealthCheck, HealthConfig},
    limits::LimitsConfig,
    listen_address::{ListenAddress, SocketMode},
    listeners::{AdminConfig, ListenerConfig},
    log::{LogConfig, LogFormat, LogLevel},
    mirror::MirrorConfig,
    name_case::NameCase,
    network::ClientLists,
    outlier::OutlierConfig,
    paths::{AmbiguousPaths, DotSegments, EncodedSlash, PathPolicy, UnsafeBytes},
    pattern::{PathPattern, Piece, Template},
    pool::PoolConfig,
    rate_limits::{KeyPart, RateConfig, RateLimitConfig, Store},
    redis::{OnFailure, RedisConfig},
    retry::{RetryConfig, RetryMethods, RetryOn, RetryOverrides, RetryRule},
    route_action::{RouteAction, ServiceChoice},
    routes::{HostPattern, NO_ROUTE, RouteConfig},
    secret::Secret,
    server::{ServerConfig, worker_count},
    services::{ServiceConfig, UpstreamHost},
    size::{BodyLimit, ByteSize},
    timeouts::{TimeoutOverrides, Timeouts},
    tls::{
        AcmeChallenge, AcmeConfig, ClientCertificates, KeyPairFiles, ListenerTls, NamedFile,
        TlsName, TlsVersion, UpstreamTls, Verify,
    },
    tunnel::TunnelLimits,
};
use self::{
    error::{Located, Problem},
    fingerprint::Hasher,
    name_index::NameIndex,
    rate_limits::LimitUse,
    routes::{Names, find_scheme},
    section::{Reader, Section},
    security_headers::SecurityHeaders,
    tls::AcmeUse,
};

/// The demo: what runs when no file is named.
pub const EMBEDDED: &str = include_str!("../../examples/demo.toml");

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name in messages.
    pub file: String,
    pub server: ServerConfig,
    pub log: LogConfig,
    /// Never empty.
    pub listeners: Vec<ListenerConfig>,
    pub admin: AdminConfig,
    /// Where the certificates of `tls.acme` come from; there if a listener names some.
    pub acme: Option<AcmeConfig>,
    pub auth_schemes: Vec<SchemeConfig>,
    /// For requests that match no route: an index into the auth schemes.
    pub default_auth: Option<usize>,
    /// What `security_headers` of the top level comes to.
    pub security_headers: HeaderRules,
    pub rate_limits: Vec<RateLimitConfig>,
    /// There if a rate limit is counted in it.
    pub redis: Option<RedisConfig>,
    pub routes: Vec<RouteConfig>,
    pub services: Vec<ServiceConfig>,
    /// Of all that says which route takes a request and what it names: the routes, and the order of
    /// services, schemes and rate limits, which they name by place.
    pub routing: Fingerprint,
}

impl Config {
    /// Reads `text`; `file` is its name in messages, `variables` resolves `${VAR}`.
    ///
    /// # Errors
    /// Every mistake in the file, in its order.
    pub fn load(
        text: &str,
        file: &str,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigErrors> {
        let reader = Reader::new(text, variables);
        let (document, syntax_errors) = DeTable::parse_recoverable(text);
        for error in &syntax_errors {
            let span = error.span().unwrap_or(0..0);
            reader.report(&span, Problem::new(lower_first(error.message())));
        }
        // What stands behind a syntax error may be lost: only a whole tree is worth judging.
        let config = syntax_errors.is_empty().then(|| {
            let top = Section::new(&reader, String::new(), document.get_ref(), 0..0);
            Self::read(file, top)
        });
        let errors = ConfigErrors::new(file, reader.into_errors());
        match (config.flatten(), errors) {
            (Some(config), None) => Ok(config),
            (_, Some(errors)) => Err(errors),
            (None, None) => unreachable!("a configuration without value has reported why"),
        }
    }

    /// What is wrong with it that only a look at the files it names could tell; at least one
    /// mistake.
    pub fn refuse(&self, errors: Vec<ConfigError>) -> ConfigErrors {
        ConfigErrors::new(&self.file, errors).expect("who refuses a configuration says why")
    }

    /// The configuration that ships inside the program.
    pub fn embedded() -> Self {
        Self::load(EMBEDDED, "embedded default", &|_| None)
            .expect("examples/demo.toml is valid: a test loads it")
    }

    /// `None` if something is missing that was reported.
    fn read(file: &str, mut top: Section<'_>) -> Option<Self> {
        let server = ServerConfig::read(top.section("server"));
        let log = LogConfig::read(top.section("log"));
        let sections = top.sections("listeners");
        let acme_use = AcmeUse::of(sections.as_deref());
        let listeners = ListenerConfig::read_all(sections, top.has("acme"));
        let acme = top.section("acme").map(|section| AcmeConfig::read(section, acme_use));
        let admin = AdminConfig::read(top.section("admin"));
        listeners::report_duplicates(&top, &listeners, &admin);
        let schemes = SchemeConfig::read_all(top.named_sections("auth_schemes"));
        let scheme_names = SchemeConfig::names(&schemes);
        let default_auth =
            top.get::<String>("auth").and_then(|name| find_scheme(&top, &name, &scheme_names));
        let security = SecurityHeaders::read(&mut top, &SecurityHeaders::default());
        let services = top.named_sections("services");
        let services: Vec<ServiceConfig> = services
            .into_iter()
            .map(|(name, section)| ServiceConfig::read(name, section))
            .collect();
        let service_names =
            NameIndex::new(services.iter().map(|service| (service.name.clone(), ())));
        let limits = top.named_sections("rate_limits");
        let (limit_names, limits): (Vec<(String, LimitUse)>, Vec<Option<RateLimitConfig>>) =
            RateLimitConfig::read_all(limits, top.has("redis")).into_iter().unzip();
        let redis = top.section("redis").map(RedisConfig::read);
        let names = Names {
            services: &service_names,
            schemes: &scheme_names,
            default_auth,
            rate_limits: &NameIndex::new(limit_names),
            security: &security,
        };
        let routes = read_routes(&mut top, &names);
        if top.is_empty_array("listeners") {
            top.report(&top.key_span("listeners"), Problem::new("\"listeners\" names no listener"));
        }
        let routing = routing(&top, &services, &schemes, &limits);
        top.finish();
        Some(Self {
            routing,
            file: file.to_owned(),
            server,
            log,
            listeners: listeners.into_iter().map(|listener| listener.value).collect(),
            admin: admin.value,
            acme: match acme {
                Some(acme) => Some(acme?),
                None => None,
            },
            auth_schemes: schemes.into_iter().map(|(_, scheme)| scheme).collect::<Option<_>>()?,
            default_auth,
            security_headers: security.rules(),
            rate_limits: limits.into_iter().collect::<Option<_>>()?,
            redis: match redis {
                Some(redis) => Some(redis?),
                None => None,
            },
            routes,
            services,
        })
    }
}

/// Of the keys that say which route takes a request, and of what routes name by place, in its order.
fn routing(
    top: &Section<'_>,
    services: &[ServiceConfig],
    schemes: &[(String, Option<SchemeConfig>)],
    limits: &[Option<RateLimitConfig>],
) -> Fingerprint {
    let keys = ["server", "auth", "security_headers", "rate_limits", "routes"];
    let services: Vec<&String> = services.iter().map(|one| &one.name).collect();
    let schemes: Vec<&String> = schemes.iter().map(|(name, _)| name).collect();
    let limits: Vec<&String> = limits.iter().flatten().map(|one| &one.name).collect();
    let mut hasher = Hasher::new(top.reader.variables);
    hasher.fingerprint(top.fingerprint_of(&keys));
    hasher.bytes(format!("{:?}", (services, schemes, limits)).as_bytes());
    hasher.finish()
}

/// The parser starts its messages with a capital; ours do not.
fn lower_first(message: &str) -> String {
    let mut characters = message.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

fn read_routes(top: &mut Section<'_>, names: &Names<'_>) -> Vec<RouteConfig> {
    let sections = top.sections("routes").unwrap_or_default();
    let numbered = sections.into_iter().zip(1..);
    let read: Vec<(Located<String>, Option<RouteConfig>)> =
        numbered.map(|(section, number)| RouteConfig::read(section, number, names)).collect();
    let mut seen = HashSet::new();
    for (name, _) in &read {
        if !seen.insert(&name.value) {
            let message = format!("a route named \"{}\" stands above", name.value);
            top.report(&name.span, Problem::new(message));
        }
    }
    read.into_iter().filter_map(|(_, route)| route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_configuration_is_the_demo() {
        let config = Config::embedded();
        assert_eq!(config.routes.len(), 1);
        assert_eq!(config.services.len(), 2);
        assert_eq!(config.default_auth, Some(0));
        assert_eq!(config.server.health_path.as_deref(), Some("/health"));
    }

    #[test]
    fn the_keys_of_the_top_level_are_those_that_are_asked_for() {
        let errors = Config::load("zzzzzzzz = 1", "FILE", &|_| None).expect_err("is unknown");
        let hint = errors.iter().find_map(|error| error.hint.clone()).expect("names them");
        let mut known: Vec<&str> = hint.trim_start_matches("known: ").split(", ").collect();
        let mut listed = section::TOP_LEVEL;
        known.sort_unstable();
        listed.sort_unstable();
        assert_eq!(known, listed);
    }

    #[test]
    fn an_empty_file_is_one_open_listener_without_routes() {
        let config = Config::load("", "empty.toml", &|_| None).expect("is valid");
        assert_eq!(config.listeners[0].bind.to_string(), "0.0.0.0:8080");
        assert!(!config.admin.bind.is_reachable_from_outside());
        assert!(config.routes.is_empty() && config.default_auth.is_none());
    }
}
