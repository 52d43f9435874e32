//! The admin listener: whether the process is alive, whether it takes requests, and its numbers.
//! On a thread of its own, so that it answers while every worker is busy.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_http::{Method, StatusCode, header};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use subtle::ConstantTimeEq;

use crate::{
    bind::Listener,
    config::AdminConfig,
    reply::{self, JSON},
    telemetry::metrics::Metrics,
};

const METRICS: header::HeaderValue =
    header::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What the admin listener shows.
#[derive(Clone)]
pub struct State {
    pub metrics: Arc<Metrics>,
    pub draining: Arc<AtomicBool>,
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
        App::new().default_service(web::to(move |request: HttpRequest| {
            let answer = answer(&request, &state, token.as_deref());
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

fn answer(request: &HttpRequest, state: &State, token: Option<&str>) -> HttpResponse {
    if !is_allowed(request, token) {
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
        "/readyz" if state.draining.load(Ordering::Relaxed) => {
            say(StatusCode::SERVICE_UNAVAILABLE, "draining")
        }
        "/readyz" => say(StatusCode::OK, "ready"),
        "/metrics" => reply::with_body(StatusCode::OK, METRICS, state.metrics.render()),
        _ => say(StatusCode::NOT_FOUND, "not found"),
    }
}

fn is_allowed(request: &HttpRequest, token: Option<&str>) -> bool {
    let Some(token) = token else { return true };
    let given = request.headers().get(header::AUTHORIZATION);
    given
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .is_some_and(|given| given.ct_eq(token.as_bytes()).into())
}

fn say(status: StatusCode, what: &str) -> HttpResponse {
    reply::with_body(status, JSON, format!("{{\"status\": \"{what}\"}}"))
}
