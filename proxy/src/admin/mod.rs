//! The admin listener: whether the process is alive, whether it takes requests, and its numbers.
//! On a thread of its own, so that it answers while every worker is busy.

pub mod metrics;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use actix_http::{Method, StatusCode, header};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use subtle::ConstantTimeEq;

use self::metrics::Numbers;
use crate::{
    bind::Listener,
    config::{AdminConfig, Secret},
    reply::{self, JSON},
    vitals::Vitals,
};

const METRICS: header::HeaderValue =
    header::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Asked by who has no token, such as kubelet, and told nothing but whether the proxy runs.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

/// What the admin listener shows.
#[derive(Clone)]
pub struct State {
    pub numbers: Numbers,
    pub readiness: Arc<Readiness>,
    pub vitals: Vitals,
}

/// Whether requests are taken: not yet, now, or no more.
#[derive(Default)]
pub struct Readiness(AtomicU8);

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

impl Readiness {
    pub fn begin(&self) {
        self.0.store(READY, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.0.store(DRAINING, Ordering::Relaxed);
    }

    fn say(&self) -> HttpResponse {
        match self.0.load(Ordering::Relaxed) {
            STARTING => say(StatusCode::SERVICE_UNAVAILABLE, "starting"),
            READY => say(StatusCode::OK, "ready"),
            _ => say(StatusCode::SERVICE_UNAVAILABLE, "draining"),
        }
    }
}

/// A server over `listener`, not yet polled.
///
/// # Errors
/// The listener cannot be used.
pub fn serve(
    config: &AdminConfig,
    listener: Listener,
    state: State,
) -> io::Result<actix_web::dev::Server> {
    let token = config.token.clone();
    let server = HttpServer::new(move || {
        let (state, token) = (state.clone(), token.clone());
        state.vitals.watch_thread("worker of the admin listener");
        App::new().default_service(web::to(move |request: HttpRequest| {
            let answer = answer(&request, &state, token.as_ref());
            async move { answer }
        }))
    });
    let server = server.workers(1).disable_signals().shutdown_timeout(0);
    let server = match listener {
        Listener::Tcp(listener) => server.listen(listener),
        Listener::Unix(listener) => server.listen_uds(listener),
    };
    Ok(server?.run())
}

fn answer(request: &HttpRequest, state: &State, token: Option<&Secret>) -> HttpResponse {
    if !PROBES.contains(&request.path()) && !is_allowed(request, token) {
        let mut response = say(StatusCode::UNAUTHORIZED, "not authenticated");
        let challenge = header::HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        return response;
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = say(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.path() {
        "/livez" => say(StatusCode::OK, "alive"),
        "/readyz" => state.readiness.say(),
        "/metrics" => reply::with_body(StatusCode::OK, METRICS, state.numbers.render()),
        _ => say(StatusCode::NOT_FOUND, "not found"),
    }
}

fn is_allowed(request: &HttpRequest, token: Option<&Secret>) -> bool {
    let Some(token) = token else { return true };
    let given = request.headers().get(header::AUTHORIZATION);
    given
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .is_some_and(|given| given.ct_eq(token.reveal().as_bytes()).into())
}

fn say(status: StatusCode, what: &str) -> HttpResponse {
    reply::with_body(status, JSON, format!("{{\"status\": \"{what}\"}}"))
}
