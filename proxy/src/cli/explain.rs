//! `proxy explain`: which route takes a request, and what keeps each of the others from it.

use std::process::ExitCode;

use actix_http::{
    Method, Uri,
    header::{HOST, HeaderMap, HeaderName, HeaderValue},
};
use clap::Args;

use super::{ConfigArg, FAILED, USAGE, answer, refuse, source};
use crate::{
    config::{Config, RouteAction, ServiceChoice},
    error::Reason,
    forward::redirect::location,
    gateway::Gateway,
    request::{check_method, normal_path},
    routing::{Found, Request, Route, RouteMatch, Verdict, rewrite::joined},
    telemetry::output,
};

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Method of the request
    method: String,
    /// URL, or path alone
    url: String,
    /// Field of the request, as 'name: value'
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
}

pub(super) fn explain(args: &ExplainArgs) -> ExitCode {
    let config = match source::load(&args.config) {
        Ok(config) => config,
        Err(why) => return refuse(&why),
    };
    let (method, uri, headers) = match parse(args) {
        Ok(parsed) => parsed,
        Err(message) => {
            output::complain(&message);
            return ExitCode::from(USAGE);
        }
    };
    let field = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(|authority| authority.as_str()).or(field).unwrap_or_default();
    let normal = match checked(&method, &uri, &config) {
        Ok(normal) => normal,
        Err(refused) => return answer(&refused, ExitCode::from(FAILED)),
    };
    let path = normal.as_deref().unwrap_or(uri.path());
    let request = Request { host, path, method: &method, headers: &headers };
    let gateway = Gateway::build(&config, None);
    let found = gateway.find(request);
    let taken = match &found {
        Found::Route(found) => Some(gateway.routes.route(found.route)),
        Found::MethodNotAllowed(_) | Found::NoRoute | Found::Ambiguous => None,
    };
    if config.server.health_path.as_deref() == Some(path)
        && [Method::GET, Method::HEAD].contains(&method)
    {
        let itself = "the proxy answers it itself: \"health_path\" of [server]";
        return answer(itself, ExitCode::SUCCESS);
    }
    if found == Found::Ambiguous {
        let reason = Reason::BadRequest.word();
        let refused =
            format!("400 {reason}: a server may read this path as one that another route guards");
        return answer(&refused, ExitCode::from(FAILED));
    }
    let file = args.config.config.as_ref();
    let file =
        file.map_or_else(|| "embedded default".to_owned(), |file| file.display().to_string());
    let routes = gateway.routes.explain(request).map(|(route, verdict)| {
        let is_taken = taken.is_some_and(|taken| std::ptr::eq(taken, route));
        let (at, name) = (route.config.position, &route.config.name);
        format!("{file}:{at}: route \"{name}\": {}", why(verdict, is_taken))
    });
    let lines: Vec<String> =
        [outcome(&gateway, &found, path, uri.query())].into_iter().chain(routes).collect();
    let code = if taken.is_some() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) };
    answer(&lines.join("\n"), code)
}

/// The path without dot segments, or why the request is refused whatever the routes are.
fn checked(method: &Method, uri: &Uri, config: &Config) -> Result<Option<String>, String> {
    let normal = normal_path(uri.path(), config.server.paths)
        .map_err(|reason| format!("400 {}: servers read this path differently", reason.word()))?;
    check_method(method).map_err(|reason| {
        let (status, word) = (reason.status().as_u16(), reason.word());
        format!("{status} {word}: the proxy takes no such method")
    })?;
    Ok(normal)
}

fn parse(args: &ExplainArgs) -> Result<(Method, Uri, HeaderMap), String> {
    let method = Method::from_bytes(args.method.as_bytes())
        .map_err(|_| format!("\"{}\" is not a method", args.method))?;
    let uri: Uri = args.url.parse().map_err(|_| format!("\"{}\" is not a URL", args.url))?;
    if !uri.path().starts_with('/') {
        return Err(format!("\"{}\" has no path from \"/\"", args.url));
    }
    let mut headers = HeaderMap::new();
    for field in &args.headers {
        let parsed = field.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, value) = parsed.ok_or_else(|| format!("\"{field}\" is not 'name: value'"))?;
        headers.append(name, value);
    }
    Ok((method, uri, headers))
}

/// Path and query as an endpoint without a path of its own gets them.
fn target(route: &Route, found: &RouteMatch, path: &str, query: Option<&str>) -> String {
    let (path, own) = match route.fill_template(found, path) {
        Some(target) => (String::from_utf8_lossy(&target.path).into_owned(), target.query),
        None => (path.to_owned(), None),
    };
    match joined(own, query.map(str::as_bytes)) {
        Some(query) => format!("{path}?{}", String::from_utf8_lossy(&query)),
        None => path,
    }
}

fn outcome(gateway: &Gateway, found: &Found, path: &str, query: Option<&str>) -> String {
    let found = match found {
        Found::Route(found) => found,
        Found::MethodNotAllowed(allowed) => {
            let methods: Vec<&str> = allowed.iter().map(Method::as_str).collect();
            return format!("405: the path has a route, for {}", methods.join(", "));
        }
        Found::NoRoute | Found::Ambiguous => return "404: no route takes this request".to_owned(),
    };
    let route: &Route = gateway.routes.route(found.route);
    let name = &route.config.name;
    let target = target(route, found, path, query);
    match &route.config.action {
        RouteAction::Forward { service, .. } => {
            let service = match service {
                ServiceChoice::Named(index) => gateway.services()[*index].name.clone(),
                ServiceChoice::FromPath(placeholder) => {
                    let service = route.value(found, placeholder, path).unwrap_or_default();
                    let known = gateway.service_named(service).is_some();
                    format!("{service}{}", if known { "" } else { " (unknown: 404)" })
                }
                ServiceChoice::Split(parts) => split(gateway, parts),
            };
            format!("route \"{name}\" sends it to service {service} as {target}")
        }
        RouteAction::Redirect { status, .. } => {
            let location = location(route, found, path, query);
            let location = String::from_utf8_lossy(&location);
            format!("route \"{name}\" redirects it to {location} with {}", status.as_u16())
        }
        RouteAction::Respond { status, .. } => {
            format!("route \"{name}\" answers it with {}", status.as_u16())
        }
    }
}

/// The parts with their shares. Which of them it will be, chance decides.
fn split(gateway: &Gateway, parts: &[(usize, u32)]) -> String {
    let total: u32 = parts.iter().map(|(_, weight)| weight).sum();
    let part = |(index, weight): &(usize, u32)| {
        format!("{} ({weight} of {total})", gateway.services()[*index].name)
    };
    parts.iter().map(part).collect::<Vec<_>>().join(" or ")
}

fn why(verdict: Verdict, is_taken: bool) -> &'static str {
    match verdict {
        Verdict::Matches if is_taken => "takes the request",
        Verdict::Matches => "would match, but another route ranks before it",
        Verdict::Host => "another host",
        Verdict::Path => "another path",
        Verdict::Method => "another method",
        Verdict::Fields => "a header it asks for is missing or different",
    }
}
