//! Which route of a host takes a request.

use super::*;
use crate::{
    config::Config,
    routing::{Found, RouteTable},
};

/// The name of the route that takes a GET of `path`.
fn taken(table: &RouteTable, path: &str) -> Option<String> {
    let headers = HeaderMap::new();
    let request = Request { host: "", path, method: &Method::GET, headers: &headers };
    match table.find(request) {
        Found::Route(found) => Some(table.route(found.route).config.name.clone()),
        Found::MethodNotAllowed(_) | Found::NoRoute | Found::Ambiguous => None,
    }
}

/// A table with one route per pattern, each named by its number.
fn table(patterns: &[&str]) -> RouteTable {
    let routes = patterns.iter().enumerate().map(|(number, pattern)| {
        format!("[[routes]]\nname = \"{number}\"\npath = \"{pattern}\"\nrespond = {{}}\n")
    });
    let config = Config::load(&routes.collect::<String>(), "test", &|_| None);
    RouteTable::uncounted(&config.expect("is valid").routes)
}

#[test]
fn a_placeholder_and_a_catch_all_at_one_spot_both_match() {
    let table = table(&["/{*rest}", "/a/{*rest}", "/a/{one}", "/a/{one}/b", "/a/fixed"]);
    for (path, expected) in [
        ("/a/fixed", Some("4")),
        ("/a/x", Some("2")),
        ("/a/x/b", Some("3")),
        ("/a/x/c", Some("1")),
        ("/b/c", Some("0")),
        ("/", None),
    ] {
        assert_eq!(taken(&table, path).as_deref(), expected, "{path}");
    }
}
