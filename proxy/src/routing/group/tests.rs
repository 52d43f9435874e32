//! The router against the ordered list that it is a short cut of.

use proptest::prelude::*;

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
    RouteTable::new(&config.expect("is valid").routes)
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

proptest! {
    /// The router is a short cut: it never changes what the ordered list alone would say.
    #[test]
    fn the_order_of_the_file_does_not_matter_between_patterns(
        picks in proptest::sample::subsequence(vec![
            "/a", "/{x}", "/{*x}", "/a/b", "/a/{x}", "/{x}/b", "/{x}/{y}", "/a/{*x}",
            "/{x}/{*y}", "/a/b/c", "/a/{x}/c", "/{x}/b/{*y}",
        ], 1..12),
        path in "(/[abc]){1,3}",
    ) {
        let reversed: Vec<&str> = picks.iter().rev().copied().collect();
        let name = |patterns: &[&str]| {
            let number: Option<usize> =
                taken(&table(patterns), &path).map(|name| name.parse().expect("is a number"));
            number.map(|number| patterns[number].to_owned())
        };
        let best = picks
            .iter()
            .filter(|pattern| matches(&key(pattern), &path))
            .min_by_key(|pattern| rank(pattern));
        prop_assert_eq!(name(&picks), best.map(|best| (*best).to_owned()));
        prop_assert_eq!(name(&picks), name(&reversed));
    }
}

fn key(pattern: &str) -> String {
    pattern
        .replace("{x}", "{p0}")
        .replace("{*x}", "{*p0}")
        .replace("{y}", "{p1}")
        .replace("{*y}", "{*p1}")
}
