//! Whether a path can be read as one that another route guards.
//!
//! A route without guard for all paths beside one with a guard for `/admin` is a common pair, and
//! the path is compared as it came. A server behind them that decodes `/%61dmin`, merges `//admin`,
//! drops the `;x` of `/admin;x` or ignores case would serve what the second route guards to whoever
//! asks the first. So the folded path is looked up among folded patterns, and if that finds a guard
//! that the request has not passed, it can be read in two ways.

use super::{Found, Request, RouteTable};
use crate::{
    config::{PathPattern, RouteConfig},
    record::Index,
    request::{fold, is_plain},
};

pub struct OtherReadings {
    table: RouteTable,
}

impl OtherReadings {
    /// `None` if all routes have the same guard, so that it does not matter which of them takes a
    /// request.
    pub fn new(routes: &[RouteConfig]) -> Option<Self> {
        let first = routes.first()?;
        if routes.iter().all(|route| has_same_guard(first, route)) {
            return None;
        }
        let mut folded = routes.to_vec();
        for pattern in folded.iter_mut().flat_map(|route| &mut route.paths) {
            fold_pattern(pattern);
        }
        Some(Self { table: RouteTable::new(&folded) })
    }

    /// Whether a route with another guard than that of the route `found` could be meant.
    pub fn evade(&self, found: Index, request: Request<'_>) -> bool {
        if is_plain(request.path) {
            return false;
        }
        let path = fold(request.path);
        match self.table.find(Request { path: &path, ..request }) {
            Found::Route(other) => {
                let route = |index| &self.table.route(index).config;
                let (found, other) = (route(found), route(other.route));
                has_guard(other) && !has_same_guard(found, other)
            }
            Found::MethodNotAllowed(_) | Found::NoRoute => false,
        }
    }
}

/// A pattern that cannot be folded stays as it is.
fn fold_pattern(pattern: &mut PathPattern) {
    let folded = fold(&pattern.key);
    if matchit::Router::new().insert(folded.as_str(), ()).is_ok() {
        pattern.key = folded;
    }
}

fn has_guard(route: &RouteConfig) -> bool {
    route.auth.is_some() || !route.clients.is_empty()
}

fn has_same_guard(one: &RouteConfig, other: &RouteConfig) -> bool {
    (one.auth, &one.require, &one.clients) == (other.auth, &other.require, &other.clients)
}

#[cfg(test)]
mod tests {
    use actix_http::{Method, header::HeaderMap};

    use super::*;
    use crate::config::Config;

    const SCHEME: &str = "[auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"12345678\"]\n";

    /// Whether a GET of `path` could evade a guard; routes by path, and what else they say.
    fn evades(routes: &[(&str, &str)], path: &str) -> Option<bool> {
        let written = routes
            .iter()
            .map(|(path, more)| format!("[[routes]]\npath = \"{path}\"\nrespond = {{}}\n{more}\n"));
        let text = format!("{SCHEME}{}", written.collect::<String>());
        let config = Config::load(&text, "test", &|_| None).expect("is valid");
        let readings = OtherReadings::new(&config.routes)?;
        let headers = HeaderMap::new();
        let request = Request { host: "", path, method: &Method::GET, headers: &headers };
        match RouteTable::new(&config.routes).find(request) {
            Found::Route(found) => Some(readings.evade(found.route, request)),
            _ => Some(false),
        }
    }

    #[test]
    fn a_spelling_of_a_guarded_path_is_seen_whatever_the_case_of_the_pattern() {
        for guarded in ["/admin/{*rest}", "/Admin/{*rest}", "/%61dmin/{*rest}"] {
            let routes = [("/{*rest}", ""), (guarded, "auth = \"a\"")];
            for path in ["/%61dmiN/x", "//admin/x", "/ADMIN/x", "/admin;y/x", "/admin%2fx"] {
                assert_eq!(evades(&routes, path), Some(true), "{guarded} {path}");
            }
        }
    }

    #[test]
    fn a_path_that_could_only_be_read_as_one_with_the_same_guard_or_none_is_left_alone() {
        let routes = [
            ("/{*rest}", ""),
            ("/admin/{*rest}", "auth = \"a\""),
            ("/admin/open/{*rest}", ""),
            ("/local/{*rest}", "allow_clients = [\"10.0.0.0/8\"]"),
        ];
        for path in ["/x", "/A%20b//c", "/admin/X%20y", "/admin/open/%41", "/admin//open/x"] {
            assert_eq!(evades(&routes, path), Some(false), "{path}");
        }
        assert_eq!(evades(&routes, "/admin/%6fpen/x"), Some(false));
        assert_eq!(evades(&routes, "/Local/x"), Some(true));
        assert_eq!(evades(&routes[..1], "//x"), None);
    }
}
