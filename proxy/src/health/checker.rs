//! Active checks: asks every endpoint of the services that want it, again and again, over
//! connections of its own, and tells the service what came of it. One task an endpoint, all on the
//! thread that started them, so that no worker is held up; workers read the result.

use std::{sync::Arc, time::Duration};

use actix_http::header::HeaderValue;
use rand::{RngExt, rngs::SmallRng};
use tokio::time::timeout;

use crate::{
    config::{HealthCheck, HealthConfig, UpstreamHost},
    error::{ProxyError, Reason, chain},
    gateway::Gateway,
    scratch::Scratch,
    service::{Endpoint, Service},
    tls::upstream::UpstreamConnectors,
    upstream::{
        Dialer, Resolver,
        probe::{self, Question},
    },
    vitals::Vitals,
};

/// The first checks come within this time, or one interval if that is shorter.
const FIRST: Duration = Duration::from_secs(1);
/// Where an endpoint that is down has passed a check, the next comes this soon.
const AGAIN: Duration = Duration::from_millis(500);
/// An interval varies by this share, so that many proxies do not ask at once.
const JITTER: f64 = 0.1;

/// What an endpoint did wrong.
#[derive(Debug, thiserror::Error)]
enum CheckFailure {
    #[error("{}", chain(.0))]
    Unreachable(ProxyError),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("status {0}")]
    Status(u16),
    #[error("the body does not contain the text expected")]
    Body,
}

impl CheckFailure {
    /// Whether the endpoint was not asked, for want of something of our own.
    fn is_ours(&self) -> bool {
        matches!(self, Self::Unreachable(error) if error.reason() == Reason::OutOfResources)
    }
}

/// Starts the checks of all endpoints, which run as long as the thread's runtime.
pub fn start(
    gateway: &Arc<Gateway>,
    connectors: &UpstreamConnectors,
    resolver: &Resolver,
    vitals: &Vitals,
) {
    for service in gateway.services().iter().filter(|service| service.health.is_some()) {
        for (place, endpoint) in service.endpoints().iter().enumerate() {
            let (scratch, counted) = (Scratch::default(), Arc::default());
            let host = endpoint.tls.as_ref();
            let handshake = host.map(|host| connectors.handshake(service.index, host));
            let dialer = Dialer::new(&endpoint.address, handshake, resolver, scratch, counted);
            let gateway = Arc::clone(gateway);
            let index = service.index;
            let checks = async move {
                let service = gateway.service(index);
                if let Some(config) = &service.health {
                    watch(&gateway, service, place, config, &dialer).await;
                }
            };
            drop(vitals.spawn("health check", checks));
        }
    }
}

async fn watch(
    gateway: &Gateway,
    service: &Service,
    place: usize,
    config: &HealthConfig,
    dialer: &Dialer,
) {
    let mut rng: SmallRng = rand::make_rng();
    let endpoint = service.endpoint(place);
    actix_rt::time::sleep(config.interval.min(FIRST).mul_f64(rng.random_range(0.0..1.0))).await;
    loop {
        let checked = check(config, service, endpoint, dialer).await;
        let passed = checked.is_ok();
        match checked {
            Err(failure) if failure.is_ours() => {
                tracing::debug!(endpoint = endpoint.url, %failure, "endpoint could not be checked");
            }
            checked => {
                let checked = checked.map_err(|failure| failure.to_string());
                service.checked(place, checked, gateway.now());
            }
        }
        let is_coming_back = passed && !endpoint.is_up();
        let pause = if is_coming_back { config.interval.min(AGAIN) } else { config.interval };
        let jitter = rng.random_range(1.0 - JITTER..=1.0 + JITTER);
        actix_rt::time::sleep(pause.mul_f64(jitter)).await;
    }
}

async fn check(
    config: &HealthConfig,
    service: &Service,
    endpoint: &Endpoint,
    dialer: &Dialer,
) -> Result<(), CheckFailure> {
    let asking = async {
        match &config.check {
            HealthCheck::Tcp => {
                dialer.connect(config.timeout).await.map_err(CheckFailure::Unreachable)?;
                Ok(())
            }
            HealthCheck::Http { path, status, body, host, headers } => {
                let target = format!("{}{path}", endpoint.base);
                let host = host.as_ref().unwrap_or_else(|| service_host(&service.host, endpoint));
                let question = Question { target: &target, host, fields: headers };
                let asked = probe::ask(dialer, &question, config.timeout, body.is_some());
                let answer = asked.await.map_err(CheckFailure::Unreachable)?;
                let code = answer.status.as_u16();
                if !status.iter().any(|range| range.contains(&code)) {
                    return Err(CheckFailure::Status(code));
                }
                let contains = |text: &String| holds(&answer.body, text.as_bytes());
                if body.as_ref().is_none_or(contains) { Ok(()) } else { Err(CheckFailure::Body) }
            }
        }
    };
    timeout(config.timeout, asking).await.unwrap_or(Err(CheckFailure::Timeout(config.timeout)))
}

/// What the requests of a service say, as far as no client is needed to say it.
fn service_host<'a>(host: &'a UpstreamHost, endpoint: &'a Endpoint) -> &'a HeaderValue {
    match host {
        UpstreamHost::Named(name) => name,
        UpstreamHost::Preserve | UpstreamHost::Endpoint => &endpoint.authority,
    }
}

fn holds(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}
