//! `[services.…]`: named groups of endpoints.

use std::time::Duration;

use actix_http::header::HeaderValue;

use super::{
    balance::Balance,
    breaker::BreakerConfig,
    duration::AboveZero,
    endpoints::EndpointConfig,
    error::{Located, Problem},
    fingerprint::Fingerprint,
    health::HealthConfig,
    limits::LimitsConfig,
    number::Whole,
    outlier::OutlierConfig,
    pool::PoolConfig,
    retry::RetryConfig,
    section::Section,
    size::{ByteSize, HeldBody},
    timeouts::{TimeoutOverrides, Timeouts},
    tls::UpstreamTls,
    tunnel::TunnelLimits,
    value::{FromText, OrOff},
};

#[derive(Clone, Debug)]
pub struct ServiceConfig {
    pub name: String,
    /// Never empty, and not all of them backups.
    pub endpoints: Vec<EndpointConfig>,
    pub balance: Balance,
    /// How long an endpoint that has become eligible gets less than its share; `None` for no time.
    pub slow_start: Option<Duration>,
    pub host: UpstreamHost,
    /// Longest request body that is read whole before it is sent, in bytes, up to 16 MiB; `None`: bodies
    /// stream.
    pub buffer_request: Option<usize>,
    pub timeouts: Timeouts,
    /// Connections that wait for their next request.
    pub pool: PoolConfig,
    pub tunnel: TunnelLimits,
    /// Bound on a response head, in bytes.
    pub max_response_header_bytes: usize,
    /// Bound on the number of its fields.
    pub max_response_headers: usize,
    pub retry: RetryConfig,
    pub outlier: OutlierConfig,
    /// `None`: endpoints are not checked.
    pub health: Option<HealthConfig>,
    /// `None`: no circuit opens.
    pub breaker: Option<BreakerConfig>,
    /// `None`: requests are not limited.
    pub limits: Option<LimitsConfig>,
    /// For its `https` endpoints.
    pub tls: UpstreamTls,
    /// Of all of these settings.
    pub fingerprint: Fingerprint,
    /// Of those by which connections are made and kept.
    pub connecting: Fingerprint,
}

/// What the `Host` field says to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamHost {
    /// What the client sent.
    Preserve,
    /// The authority of the endpoint.
    Endpoint,
    Named(HeaderValue),
}

const DEFAULT_HEAD: ByteSize = ByteSize(64 << 10);
const DEFAULT_FIELDS: u32 = 1000;

type MostFields = Whole<16, 65_536>;

const LARGEST_HEAD: u64 = 16 << 20;

impl ServiceConfig {
    pub(super) fn read(name: Located<String>, mut section: Section<'_>) -> Self {
        if let Err(problem) = check_name(&name.value) {
            section.report(&name.span, problem);
        }
        let endpoints = EndpointConfig::read_all(&mut section);
        let config = Self {
            name: name.value,
            fingerprint: section.fingerprint(),
            connecting: section.fingerprint_of(&["tls", "pool"]),
            balance: Balance::read(&mut section),
            slow_start: section.or("slow_start", OrOff::<AboveZero>(None)).0.map(|span| span.0),
            host: section.or("host", UpstreamHost::Preserve),
            buffer_request: buffer_request(&mut section),
            timeouts: Timeouts::default()
                .overridden(TimeoutOverrides::read(section.section("timeouts"))),
            pool: PoolConfig::read(section.section("pool")),
            tunnel: TunnelLimits::read(section.section("tunnel")),
            max_response_header_bytes: head_bound(&mut section),
            max_response_headers: section
                .or::<MostFields>("max_response_headers", Whole(DEFAULT_FIELDS))
                .0 as usize,
            retry: RetryConfig::read(section.section("retry")),
            outlier: OutlierConfig::read(section.section("outlier")),
            health: section.section("health").map(HealthConfig::read),
            breaker: section.section("breaker").map(BreakerConfig::read),
            limits: section.section("limits").map(LimitsConfig::read),
            tls: UpstreamTls::read(&mut section, &endpoints),
            endpoints,
        };
        section.finish();
        config
    }
}

fn buffer_request(section: &mut Section<'_>) -> Option<usize> {
    const KEY: &str = "buffer_request";
    let given = section.get::<OrOff<HeldBody>>(KEY)?;
    let most = given.value.0?.0;
    if most == 0 {
        let problem = Problem::new("buffer_request must be 1B to 16MiB");
        section.report(&given.span, problem.hint("\"off\" lets bodies stream"));
    }
    Some(most)
}

fn head_bound(section: &mut Section<'_>) -> usize {
    const KEY: &str = "max_response_header_bytes";
    let bound = section.or(KEY, DEFAULT_HEAD);
    if bound.0 < 1024 || bound.0 > LARGEST_HEAD {
        let span = section.key_span(KEY);
        section.report(&span, Problem::new(format!("{KEY} must be 1KiB to 16MiB")));
    }
    usize::try_from(bound.0.min(LARGEST_HEAD)).unwrap_or(usize::MAX)
}

/// A name stands in paths, labels and logs: letters, digits, `-`, `_` and `.`, 64 at most.
pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Problem::new(format!(
        "the name \"{name}\" must be 1 to 64 letters, digits, \"-\", \"_\" or \".\""
    )))
}

impl FromText for UpstreamHost {
    const EXPECTED: &'static str = "\"preserve\", \"endpoint\" or a host name";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "preserve" => Ok(Self::Preserve),
            "endpoint" => Ok(Self::Endpoint),
            name => HostName::from_text(name)
                .map(|name| Self::Named(name.0))
                .map_err(|problem| problem.hint(format!("expected {}", Self::EXPECTED))),
        }
    }
}

/// What can stand in a `Host` field.
pub(super) struct HostName(pub(super) HeaderValue);

impl FromText for HostName {
    const EXPECTED: &'static str = "a host name";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let problem = || Problem::new(format!("\"{text}\" is not a host name"));
        let is_name = text.parse::<actix_http::uri::Authority>().is_ok() && !text.contains('@');
        let value = HeaderValue::from_str(text).ok().filter(|_| is_name);
        value.map(Self).ok_or_else(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, HealthCheck};

    fn service(tables: &str) -> ServiceConfig {
        let text = format!("[services.a]\nendpoints = [\"http://a\"]\n{tables}");
        let mut config = Config::load(&text, "test", &|_| None).expect("is valid");
        config.services.remove(0)
    }

    #[test]
    fn what_is_off_by_default_is_on_with_its_table() {
        let service = service("health = {}\nbreaker = {}\nlimits = {}");
        let health = service.health.expect("is on");
        let check = HealthCheck::Http {
            path: "/health".into(),
            status: vec![200..=399],
            body: None,
            host: None,
            headers: Vec::new(),
        };
        assert_eq!((health.check, health.interval), (check, Duration::from_secs(5)));
        assert_eq!(health.timeout, Duration::from_secs(1));
        assert_eq!((health.healthy, health.unhealthy), (2, 3));
        assert_eq!(service.breaker, Some(BreakerConfig::default()));
        assert_eq!(service.limits, Some(LimitsConfig::default()));
    }

    #[test]
    fn what_is_on_by_default_is_so_without_its_table() {
        let service = service("");
        assert_eq!(service.balance, Balance::Random);
        assert_eq!((service.endpoints[0].weight, service.endpoints[0].backup), (1, false));
        assert_eq!((service.slow_start, service.timeouts.total), (None, None));
        assert_eq!((service.buffer_request, service.pool), (None, PoolConfig::default()));
        assert_eq!(service.retry, RetryConfig::default());
        assert_eq!(service.outlier, OutlierConfig::default());
        assert_eq!((service.health, service.breaker, service.limits), (None, None, None));
    }

    #[test]
    fn each_key_sets_its_own_field() {
        let seconds = Duration::from_secs;
        let service = service(
            "slow_start = \"30s\"\n\
             timeouts = { connect = \"2s\", response = \"3s\", total = \"4s\" }\n\
             pool = { max_age = \"off\", idle = \"6s\", max_idle = 7 }\n\
             [services.a.outlier]\nconsecutive_failures = 2\nejection = \"3s\"\nmax_ejected = 4\n\
             success_rate = 5\nwindow = \"6s\"\nmin_requests = 7\none_client = true\n\
             [services.a.health]\ntype = \"tcp\"\ninterval = \"3s\"\ntimeout = \"2s\"\n\
             healthy = 4\nunhealthy = 5\n\
             [services.a.breaker]\nfailure_ratio = 0.25\nwindow = \"2s\"\nmin_requests = 3\n\
             open = \"4s\"\n\
             [services.a.limits]\nmax_in_flight = 1\nqueue = 2\nqueue_timeout = \"3s\"\n\
             max_connections_per_endpoint = 4\nadaptive = true\n",
        );
        assert_eq!(service.slow_start, Some(seconds(30)));
        assert_eq!(service.timeouts.total, Some(seconds(4)));
        let pool = PoolConfig { max_age: None, idle: seconds(6), max_idle: 7 };
        assert_eq!(service.pool, pool);
        let outlier = OutlierConfig {
            consecutive_failures: Some(2),
            ejection: seconds(3),
            max_ejected: 4,
            success_rate: Some(5),
            window: seconds(6),
            min_requests: 7,
            one_client: true,
        };
        assert_eq!(service.outlier, outlier);
        let health = HealthConfig {
            check: HealthCheck::Tcp,
            interval: seconds(3),
            timeout: seconds(2),
            healthy: 4,
            unhealthy: 5,
        };
        assert_eq!(service.health, Some(health));
        let breaker = BreakerConfig {
            failure_ratio: 0.25,
            window: seconds(2),
            min_requests: 3,
            open: seconds(4),
        };
        assert_eq!(service.breaker, Some(breaker));
        let limits = LimitsConfig {
            max_in_flight: Some(1),
            queue: 2,
            queue_timeout: seconds(3),
            max_connections_per_endpoint: Some(4),
            adaptive: true,
        };
        assert_eq!(service.limits, Some(limits));
    }

    #[test]
    fn a_check_never_takes_longer_than_the_interval() {
        let health = service("health = { interval = \"500ms\" }").health.expect("is on");
        assert_eq!(health.timeout, Duration::from_millis(500));
    }

    #[test]
    fn host_is_a_word_or_a_name() {
        assert_eq!(UpstreamHost::from_text("preserve"), Ok(UpstreamHost::Preserve));
        assert_eq!(UpstreamHost::from_text("endpoint"), Ok(UpstreamHost::Endpoint));
        assert!(matches!(UpstreamHost::from_text("a.test:81"), Ok(UpstreamHost::Named(_))));
        for wrong in ["", "a b", "u@a", "a/b"] {
            assert!(UpstreamHost::from_text(wrong).is_err(), "{wrong}");
        }
    }
}
