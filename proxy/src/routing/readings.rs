//! Whether a path can be read as one that another route guards.
//!
//! A route without guard for all paths beside one with a guard for `/admin` is a common pair, and
//! the path is compared as it came. A server behind them that decodes `/%61dmin`, merges `//admin`,
//! drops the `;x` of `/admin;x` or the slash of `/admin/`, or ignores case would serve what the second
//! route guards to whoever asks the first. So the folded path is looked up among folded patterns, and
//! if that finds a guard that the request has not passed, it can be read in two ways. A server may
//! also do some of this and not the rest, and what it then reads is looked up too: beside an open
//! `/admin/login`, the guarded `/admin/x/%2e%2e/login` is what comes of `/%61dmin/x/%252e%252e/login`
//! decoded once. A path that stands in the file as it is, without a placeholder, was meant as it is.

use super::{Found, Request, RouteMatch, RouteTable};
use crate::{
    config::{PathPattern, RouteConfig},
    request::{fold, half_folded, is_plain},
};

pub struct OtherReadings {
    table: RouteTable,
    /// Whether a path that folds to itself can only be meant as it is.
    guards_are_plain: bool,
}

impl OtherReadings {
    /// `None` if each route's guard does for all others, so that it does not matter which of them takes
    /// a request.
    pub fn new(routes: &[RouteConfig]) -> Option<Self> {
        let first = routes.first()?;
        if routes.iter().all(|route| covers(first, route) && covers(route, first)) {
            return None;
        }
        let mut folded = routes.to_vec();
        for pattern in folded.iter_mut().flat_map(|route| &mut route.paths) {
            fold_pattern(pattern);
        }
        let guards = routes.iter().filter(|route| has_guard(route));
        let guards_are_plain =
            guards.flat_map(|route| &route.paths).all(|pattern| is_plain(&pattern.key));
        Some(Self { table: RouteTable::new(&folded), guards_are_plain })
    }

    /// Whether a route with another guard than that of the route `found` could be meant.
    pub fn evade(&self, found: &RouteMatch, request: Request<'_>) -> bool {
        let route = |index| &self.table.route(index).config;
        let pattern = route(found.route).paths.get(found.path);
        let is_named = pattern.is_some_and(|pattern| pattern.names.is_empty());
        if is_named || (self.guards_are_plain && is_plain(request.path)) {
            return false;
        }
        let evades = |path: &String| match self.table.find(Request { path, ..request }) {
            Found::Route(other) => {
                let (found, other) = (route(found.route), route(other.route));
                !covers(found, other)
            }
            Found::MethodNotAllowed(_) | Found::NoRoute => false,
        };
        evades(&fold(request.path))
            || (!is_plain(request.path) && half_folded(request.path).iter().any(evades))
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
    route.auth.is_some() || !route.clients.is_empty() || !route.rate_limits.is_empty()
}

/// Whether who has passed the guard of `found` has passed that of `other`. Limits guard as well, but
/// where both routes have some, neither is a way around them.
fn covers(found: &RouteConfig, other: &RouteConfig) -> bool {
    let is_let_in = (found.auth, &found.require, &found.clients)
        == (other.auth, &other.require, &other.clients)
        || (other.auth.is_none() && other.clients.is_empty());
    is_let_in && (other.rate_limits.is_empty() || !found.rate_limits.is_empty())
}

#[cfg(test)]
mod tests {
    use actix_http::{Method, header::HeaderMap};

    use super::*;
    use crate::config::Config;

    const SCHEME: &str = "[auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"12345678\"]\n\
                          [rate_limits.few]\nrequests = 1\n[rate_limits.many]\nrequests = 9\n";

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
            Found::Route(found) => Some(readings.evade(&found, request)),
            _ => Some(false),
        }
    }

    #[test]
    fn a_spelling_of_a_guarded_path_is_seen_whatever_the_case_of_the_pattern() {
        for guarded in ["/admin/{*rest}", "/Admin/{*rest}", "/%61dmin/{*rest}"] {
            let routes = [("/{*rest}", ""), (guarded, "auth = \"a\"")];
            for path in
                ["/aDmin/x", "/%61dmiN/x", "//admin/x", "/ADMIN/x", "/admin;y/x", "/admin%2fx"]
            {
                assert_eq!(evades(&routes, path), Some(true), "{guarded} {path}");
            }
        }
    }

    #[test]
    fn a_guard_in_another_case_or_with_a_slash_is_seen_from_a_plain_path_too() {
        for (guarded, path) in [("/Admin", "/admin"), ("/admin/", "/admin"), ("/admin", "/admin/")]
        {
            assert_eq!(evades(&[("/{*rest}", ""), (guarded, "auth = \"a\"")], path), Some(true));
        }
        let named = [("/admin/", ""), ("/admin", "auth = \"a\"")];
        assert_eq!(evades(&named, "/admin/"), Some(false));
    }

    #[test]
    fn a_server_that_reads_less_leniently_is_thought_of_as_well() {
        let routes = [
            ("/{*rest}", ""),
            ("/admin/{*rest}", "auth = \"a\""),
            ("/admin/login", ""),
            ("/admin/open/{*rest}", ""),
        ];
        for path in [
            "/%61dmin/x/%252e%252e/login",
            "/%61dmin/x%252f..%252flogin",
            "/%61dmin/x%252f%252e%252e%252fopen/y",
            "/%61dmin//open/y",
            "/ADMIN/;/open/y",
        ] {
            assert_eq!(evades(&routes, path), Some(true), "{path}");
        }
        for path in ["/%61dmin/login", "/ADMIN/open/y", "/admin/open/x%2Fy//z", "/admin/open/%2561"]
        {
            assert_eq!(evades(&routes, path), Some(false), "{path}");
        }
    }

    #[test]
    fn a_limit_is_not_evaded_by_a_route_without_any() {
        let few = "rate_limits = [\"few\"]";
        assert_eq!(evades(&[("/{*rest}", ""), ("/login", few)], "//login"), Some(true));
        let both = [("/{*rest}", "rate_limits = [\"many\"]"), ("/login", few)];
        assert_eq!(evades(&both, "//login"), None);
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
