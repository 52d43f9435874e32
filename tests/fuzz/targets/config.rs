//! Configuration files. No text makes `Config::load` panic; every mistake stands at a place inside
//! the file; and whatever is valid can be made a `Gateway`, with no name pointing to nothing.

#![no_main]

use actix_http::{Method, header::HeaderMap};
use libfuzzer_sys::fuzz_target;
use proxy::{
    config::{Config, ConfigErrors, HostPattern, RouteAction, RouteConfig, ServiceChoice},
    gateway::Gateway,
    routing::{Found, Request, RouteTable},
};

fuzz_target!(|text: &str| {
    let variables = |name: &str| match name {
        "HOST" => Some("db.test".to_owned()),
        "EMPTY" => Some(String::new()),
        "NESTED" => Some("${HOST}".to_owned()),
        _ => None,
    };
    match Config::load(text, "proxy.toml", &variables) {
        Ok(config) => check_config(&config),
        Err(errors) => check_errors(text, &errors),
    }
});

fn check_errors(text: &str, errors: &ConfigErrors) {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut last = (1, 1);
    for error in errors.iter() {
        let (line, column) = (error.position.line, error.position.column);
        assert!((line, column) >= last, "not in the order of the file");
        last = (line, column);
        let length = lines.get(line - 1).expect("a line of the file").chars().count();
        assert!((1..=length + 1).contains(&column), "{line}:{column} of {length}");
        assert!(!error.message.is_empty());
    }
    assert!(errors.to_string().starts_with("proxy.toml:"));
}

fn check_config(config: &Config) {
    assert!(!config.listeners.is_empty());
    assert!(config.default_auth.is_none_or(|index| index < config.auth_schemes.len()));
    for route in &config.routes {
        assert!(route.auth.is_none_or(|index| index < config.auth_schemes.len()));
        if let RouteAction::Forward { service, mirror, .. } = &route.action {
            check_services(service, config.services.len());
            assert!(mirror.is_none_or(|mirror| mirror.service < config.services.len()));
        }
    }
    for service in &config.services {
        assert!(service.endpoints.iter().any(|endpoint| !endpoint.backup));
    }
    let gateway = Gateway::build(config, None);
    assert_eq!(gateway.routes.routes().len(), config.routes.len());
    for service in &config.services {
        assert!(gateway.service_named(&service.name).is_some(), "{}", service.name);
    }
    for route in &config.routes {
        check_route(&gateway.routes, route);
    }
}

fn check_services(choice: &ServiceChoice, count: usize) {
    match choice {
        ServiceChoice::Named(index) => assert!(*index < count),
        ServiceChoice::FromPath(_) => {}
        ServiceChoice::Split(parts) => {
            assert!((2..=16).contains(&parts.len()));
            assert!(parts.iter().all(|(index, weight)| *index < count && *weight <= 1000));
            assert!(parts.iter().any(|(_, weight)| *weight > 0));
        }
    }
}

/// Its own paths lead to a route, if only to a better one, and templates can be filled from them.
fn check_route(table: &RouteTable, route: &RouteConfig) {
    let host = match route.hosts.first() {
        None => "a.test".to_owned(),
        Some(HostPattern::Exact(name)) => name.clone(),
        Some(HostPattern::Suffix(suffix)) => format!("a{suffix}"),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &route.headers {
        headers.append(name.clone(), value.clone());
    }
    let method = route.methods.first().unwrap_or(&Method::GET);
    for pattern in &route.paths {
        let path = fill(&pattern.key);
        let request = Request { host: &host, path: &path, method, headers: &headers };
        let Found::Route(found) = table.find(request) else {
            panic!("nobody takes {host}{path} of {}", pattern.source);
        };
        table.route(found.route).fill_template(&found, &path);
    }
}

/// A path that the pattern matches.
fn fill(pattern: &str) -> String {
    let mut path = String::new();
    for part in pattern.split_inclusive('}') {
        let (literal, placeholder) = part.split_once('{').unwrap_or((part, ""));
        path.push_str(literal);
        path.push_str(if placeholder.is_empty() { "" } else { "x" });
    }
    path
}
