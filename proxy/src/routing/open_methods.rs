//! Routes that let nobody but some in to a path, while other methods of it go to a route that lets in
//! more. That may be meant; but methods are easily forgotten, and some servers take one for another
//! (`X-HTTP-Method-Override`).

use std::collections::HashSet;

use actix_http::{Method, header::HeaderMap};

use super::{Found, Request, RouteTable, guard::lets_in_as};
use crate::config::{Config, ConfigError, HostPattern, RouteAction, RouteConfig};

/// In place of what is not known of a request: a segment that no file names, and a method.
const SEGMENT: &str = "any~segment";
const ANOTHER: &str = "ANY-OTHER-METHOD";
/// Methods that are tried for each guard: no more are in use (the registry of RFC 9110 has 40).
const MOST_METHODS: usize = 64;

/// A warning for each such route.
pub fn open_methods(config: &Config) -> Vec<ConfigError> {
    let guards: Vec<&RouteConfig> =
        config.routes.iter().filter(|route| guards_some_methods(route)).collect();
    if guards.is_empty() {
        return Vec::new();
    }
    let (methods, table) = (methods(&config.routes), RouteTable::uncounted(&config.routes));
    guards.into_iter().filter_map(|guard| warning(guard, &methods, &table)).collect()
}

fn guards_some_methods(route: &RouteConfig) -> bool {
    !route.methods.is_empty() && (route.auth.is_some() || !route.clients.is_empty())
}

/// Those that a route names, and one that none does: all others go where it goes.
fn methods(routes: &[RouteConfig]) -> Vec<Method> {
    let mut seen = HashSet::new();
    let named = routes.iter().flat_map(|route| &route.methods);
    let mut methods: Vec<Method> = named.filter(|method| seen.insert(*method)).cloned().collect();
    methods.truncate(MOST_METHODS);
    methods.extend(Method::from_bytes(ANOTHER.as_bytes()).ok());
    methods
}

fn warning(guard: &RouteConfig, methods: &[Method], table: &RouteTable) -> Option<ConfigError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &guard.headers {
        headers.insert(name.clone(), value.clone());
    }
    let (host, paths) = (host(guard), paths(guard));
    let opens = |method: &Method| {
        paths.iter().find_map(|path| {
            let request = Request { host: &host, path, method, headers: &headers };
            let Found::Route(found) = table.find(request) else { return None };
            let taken = &table.route(found.route).config;
            let is_open =
                matches!(taken.action, RouteAction::Forward { .. }) && !lets_in_as(taken, guard);
            is_open.then(|| text(guard, method, taken))
        })
    };
    let others = methods.iter().filter(|method| !guard.methods.contains(method));
    let message = { others }.find_map(opens)?;
    let hint = "leave out \"methods\" of the one, or guard the other as well".to_owned();
    Some(ConfigError { position: guard.position, message, hint: Some(hint) })
}

fn text(guard: &RouteConfig, method: &Method, open: &RouteConfig) -> String {
    let methods: Vec<&str> = guard.methods.iter().map(Method::as_str).collect();
    let other = if method.as_str() == ANOTHER { "any other method" } else { method.as_str() };
    format!(
        "route \"{}\" guards its path for {} alone: {other} goes to route \"{}\", which does not ask \
         for the same",
        guard.name,
        methods.join(", "),
        open.name
    )
}

/// A host that the route takes.
fn host(route: &RouteConfig) -> String {
    match route.hosts.first() {
        None => String::new(),
        Some(HostPattern::Exact(name)) => name.clone(),
        Some(HostPattern::Suffix(suffix)) => format!("{SEGMENT}{suffix}"),
    }
}

/// A path for each pattern of the route.
fn paths(route: &RouteConfig) -> Vec<String> {
    let mut paths: Vec<String> = route.paths.iter().map(|pattern| filled(&pattern.key)).collect();
    if paths.is_empty() {
        paths.push(format!("/{SEGMENT}"));
    }
    paths
}

fn filled(key: &str) -> String {
    let mut path = String::with_capacity(key.len() + SEGMENT.len());
    let mut rest = key;
    while let Some((before, after)) = rest.split_once('{') {
        path.push_str(before);
        path.push_str(SEGMENT);
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    path.push_str(rest);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of these routes; each has a service unless it says otherwise.
    fn warnings(routes: &[(&str, &str)]) -> Vec<String> {
        let written = routes.iter().map(|(name, more)| {
            let action = if more.contains("respond") { "" } else { "service = \"s\"\n" };
            format!("[[routes]]\nname = \"{name}\"\n{action}{more}\n")
        });
        let text = format!(
            "[auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"12345678\"]\n\
             [services.s]\nendpoints = [\"http://a\"]\n{}",
            written.collect::<String>()
        );
        let config = Config::load(&text, "test", &|_| None).expect("is valid");
        let said = |one: &ConfigError| {
            let (start, _) = one.message.split_once(", which").expect("names the route");
            start.replace(" guards its path", "").replace(" alone", "").replace("route ", "")
        };
        open_methods(&config).iter().map(said).collect()
    }

    #[test]
    fn what_is_guarded_for_some_methods_and_open_for_others_is_told() {
        let post = "path = \"/x/{id}\"\nmethods = [\"POST\"]\nauth = \"a\"";
        let rest = ("rest", "path = \"/{*rest}\"");
        for (routes, expected) in [
            (vec![("g", post), rest], "\"g\" for POST: any other method goes to \"rest\""),
            (vec![("all", ""), ("g", post)], "\"g\" for POST: any other method goes to \"all\""),
            (
                vec![("g", "methods = [\"GET\", \"POST\", \"PUT\"]\nauth = \"a\""), ("r", "")],
                "\"g\" for GET, POST, PUT: any other method goes to \"r\"",
            ),
            (
                vec![
                    ("g", "methods = [\"POST\"]\nallow_clients = [\"10.0.0.0/8\"]"),
                    ("flush", "methods = [\"FLUSH\"]"),
                ],
                "\"g\" for POST: FLUSH goes to \"flush\"",
            ),
            (
                vec![
                    (
                        "g",
                        "host = \"*.b.test\"\nheaders = { x-a = \"1\" }\nmethods = [\"PUT\"]\nauth = \"a\"",
                    ),
                    ("r", "host = \"*.b.test\"\nheaders = { x-a = \"1\" }"),
                ],
                "\"g\" for PUT: any other method goes to \"r\"",
            ),
            // A route that names HEAD comes before one that takes it with GET.
            (
                vec![
                    ("g", "path = \"/x\"\nmethods = [\"GET\"]\nauth = \"a\""),
                    ("head", "path = \"/x\"\nmethods = [\"HEAD\"]"),
                ],
                "\"g\" for GET: HEAD goes to \"head\"",
            ),
            (
                vec![
                    (
                        "g",
                        "methods = [\"GET\", \"POST\", \"PUT\", \"PATCH\", \"DELETE\", \
                         \"OPTIONS\"]\nauth = \"a\"",
                    ),
                    ("r", ""),
                ],
                "\"g\" for GET, POST, PUT, PATCH, DELETE, OPTIONS: any other method goes to \"r\"",
            ),
        ] {
            assert_eq!(warnings(&routes), [expected], "{routes:?}");
        }
    }

    #[test]
    fn what_is_guarded_for_all_or_open_for_nobody_is_not() {
        let guard = ("g", "path = \"/x\"\nmethods = [\"GET\"]\nauth = \"a\"");
        for others in [
            vec![],
            vec![("all", "auth = \"a\"")],
            vec![("elsewhere", "path = \"/y\"")],
            vec![("head", "path = \"/{*rest}\"\nmethods = [\"HEAD\"]")],
            vec![("no", "respond = { status = 405 }")],
            vec![("host", "host = \"a.test\"")],
        ] {
            assert_eq!(
                warnings(&[&[guard][..], &others].concat()),
                Vec::<String>::new(),
                "{others:?}"
            );
        }
    }
}
