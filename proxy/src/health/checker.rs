//! Active checks: asks every endpoint of the services that want it, again and again, over
//! connections of its own, and tells the service what came of it. One task an endpoint, all on the
//! thread that started them, so that no worker is held up; workers read the result.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix_http::header::HeaderValue;
use rand::{RngExt, rngs::SmallRng};
use tokio::{
    task::{AbortHandle, JoinError, JoinSet},
    time::timeout,
};

use crate::{
    clock::Clock,
    config::{HealthCheck, HealthConfig, UpstreamHost},
    error::{ProxyError, Reason, chain},
    gateway::{Gateway, Present},
    ids::EndpointId,
    scratch::Scratch,
    service::{Endpoint, Service},
    tls::upstream::Handshake,
    upstream::{
        Dialer, Resolver, host_name,
        probe::{self, Question},
    },
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

/// The checks of all endpoints that want them; they end with it.
pub struct Checks {
    resolver: Arc<Resolver>,
    running: HashMap<EndpointId, Running>,
    tasks: JoinSet<()>,
}

/// The checks of one endpoint.
struct Running {
    service: Arc<Service>,
    task: AbortHandle,
}

impl Checks {
    pub fn new(resolver: Arc<Resolver>) -> Self {
        Self { resolver, running: HashMap::new(), tasks: JoinSet::new() }
    }

    /// Checks the endpoints of the present snapshot, for as long as the thread's runtime lives.
    pub async fn follow(mut self, mut present: Present) {
        self.move_to(&present.take());
        loop {
            tokio::select! {
                next = present.next() => match next {
                    Some(gateway) => self.move_to(&gateway),
                    None => break,
                },
                Some(ended) = self.tasks.join_next() => hand_on_panic(ended),
            }
        }
        // The process ends: what is checked is checked to the last.
        while let Some(ended) = self.tasks.join_next().await {
            hand_on_panic(ended);
        }
    }

    /// Endpoints of services that have not changed are checked as before; all others begin anew.
    fn move_to(&mut self, gateway: &Arc<Gateway>) {
        let mut before = std::mem::take(&mut self.running);
        for (index, service) in gateway.services().iter().enumerate() {
            if service.health.is_none() {
                continue;
            }
            for (place, endpoint) in service.endpoints().iter().enumerate() {
                let same = before.remove(&endpoint.id);
                let running = match same {
                    Some(same) if Arc::ptr_eq(&same.service, service) => same,
                    replaced => {
                        replaced.iter().for_each(|one| one.task.abort());
                        self.start(gateway, index, service, place)
                    }
                };
                self.running.insert(endpoint.id, running);
            }
        }
        before.values().for_each(|gone| gone.task.abort());
    }

    fn start(
        &mut self,
        gateway: &Gateway,
        index: usize,
        service: &Arc<Service>,
        place: usize,
    ) -> Running {
        let endpoint = service.endpoint(place);
        let (scratch, counted) = (Scratch::default(), Arc::default());
        let host = endpoint.tls.as_ref();
        let handshake = host.map(|host| gateway.connectors.handshake(index, host));
        let handshake = handshake.and_then(|handshake| as_checked(handshake, service, endpoint));
        let dialer = Dialer::new(&endpoint.address, handshake, &self.resolver, scratch, counted);
        let (checked, clock) = (Arc::clone(service), gateway.clock);
        let task = self.tasks.spawn_local(async move {
            if let Some(config) = &checked.health {
                watch(&checked, place, config, &dialer, clock).await;
            }
        });
        Running { service: Arc::clone(service), task }
    }
}

/// A check that has ended was told to, or has panicked: then its endpoint would never be checked again,
/// and the part of the process that all checks are ends with it.
fn hand_on_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

async fn watch(
    service: &Service,
    place: usize,
    config: &HealthConfig,
    dialer: &Dialer,
    clock: Clock,
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
                service.checked(place, checked, clock.now());
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

/// How TLS begins in a check: where requests say the name, with that of the check's own `Host`. Whether
/// somebody listens needs no name then, and no TLS.
fn as_checked(handshake: Handshake, service: &Service, endpoint: &Endpoint) -> Option<Handshake> {
    if !handshake.is_of_request {
        return Some(handshake);
    }
    let host = match &service.health.as_ref()?.check {
        HealthCheck::Http { host: Some(host), .. } => host,
        HealthCheck::Http { host: None, .. } => service_host(&service.host, endpoint),
        HealthCheck::Tcp => return None,
    };
    let name = host_name(host.as_bytes());
    Some(name.map_or_else(|| handshake.clone(), |name| handshake.with(name)))
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
