//! What it costs to find a route, or none, in files of two sizes.

use actix_http::header::{HeaderName, HeaderValue};

use super::{work::steps_of, *};
use crate::config::Config;

const FEW: usize = 10;
const MANY: usize = 1000;

/// What a route has by its number.
type Conditions = fn(usize) -> String;

/// A file of `count` routes, each with what `conditions` has for its number.
fn table(count: usize, conditions: Conditions) -> RouteTable {
    let routes =
        (0..count).map(|number| format!("[[routes]]\nrespond = {{}}\n{}\n", conditions(number)));
    let config = Config::load(&routes.collect::<String>(), "test", &|_| None);
    RouteTable::uncounted(&config.expect("is valid").routes)
}

fn steps(table: &RouteTable, request: Request<'_>) -> usize {
    steps_of(|| drop((table.find(request), table.takers(request))))
}

/// Families of files, each with a condition that keeps routes apart.
const FILES: [(&str, Conditions); 9] = [
    ("paths", |n| format!("path = \"/r{n}\"")),
    ("placeholders", |n| format!("path = \"/r{n}/{{x}}/{{*rest}}\"")),
    ("one placeholder, many texts behind it", |n| format!("path = \"/{{x}}/r{n}\"")),
    ("text around a placeholder", |n| format!("path = \"/r{n:04}-{{x}}.r{n:04}\"")),
    ("methods", |n| format!("path = \"/r{n}\"\nmethods = [\"POST\"]")),
    ("hosts", |n| format!("host = \"r{n}.test\"\npath = \"/r{n}\"")),
    ("wildcard hosts", |n| format!("host = \"*.r{n}.test\"\npath = \"/r{n}\"")),
    ("one field", |n| format!("headers = {{ x-tenant = \"r{n}\" }}")),
    ("a field that all ask for and one that one asks for", |n| {
        format!("path = \"/r1\"\nheaders = {{ x-region = \"eu\", x-tenant = \"r{n}\" }}")
    }),
];

#[test]
fn no_request_costs_more_the_more_routes_the_file_has() {
    let mut headers = HeaderMap::new();
    let mut field = |name, value| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    };
    field("x-region", "eu");
    field("x-tenant", "r1");
    let none = HeaderMap::new();
    for (file, conditions) in FILES {
        let (few, many) = (table(FEW, conditions), table(MANY, conditions));
        for host in ["r1.test", "a.b.r1.test", "other", "a.b.c.other"] {
            for path in ["/r1", "/r1/x/y", "/x/r1", "/r0001-x.r0001", "/x", "/r1x", "/", "/x/y/z"] {
                for (method, headers) in
                    [(&Method::GET, &none), (&Method::DELETE, &headers), (&Method::HEAD, &headers)]
                {
                    let request = Request { host, path, method, headers };
                    let costs = (steps(&few, request), steps(&many, request));
                    // Longer names have a letter more.
                    assert!(costs.1 <= costs.0 + 4, "{file}: {costs:?} for {host} {path} {method}");
                }
            }
        }
    }
}

#[test]
fn routes_that_others_hide_cost_nothing() {
    let same =
        |number| format!("path = \"/x\"\nname = \"{number}\"\nmethods = [\"GET\", \"POST\"]");
    let table = table(MANY, same);
    let headers = HeaderMap::new();
    let request = Request { host: "", path: "/x", method: &Method::DELETE, headers: &headers };
    assert!(steps_of(|| drop(table.find(request))) < 10);
    assert_eq!(
        table.find(request),
        Found::MethodNotAllowed(vec![Method::GET, Method::HEAD, Method::POST])
    );
}
