//! The routes of one host.
//!
//! One matchit router finds the best pattern. Only if no route of that pattern takes the request
//! are the others tried, in order: a route for one method or one field must not hide a more
//! general one.

use actix_http::{Method, header::HeaderMap};

use super::{Request, Route, RouteMatch, Values};
use crate::{
    config::{PathPattern, RouteConfig},
    record::Index,
};

pub(super) struct Group {
    /// From a pattern to its place in `patterns`.
    router: matchit::Router<usize>,
    /// Best first; those without a path at the end.
    patterns: Vec<Pattern>,
}

/// One pattern and the routes that have it, best first.
struct Pattern {
    /// `None` matches every path.
    path: Option<matchit::Router<()>>,
    routes: Vec<Candidate>,
}

#[derive(Clone, Copy)]
struct Candidate {
    route: Index,
    path: usize,
}

impl Group {
    pub(super) fn new(routes: &[RouteConfig], indexes: &[Index]) -> Self {
        let mut keyed: Vec<(Option<&PathPattern>, Candidate)> = Vec::new();
        for route in indexes {
            let paths = &routes[*route as usize].paths;
            keyed.extend(paths.iter().zip(0..).map(|(pattern, path)| {
                (Some(pattern), Candidate { route: *route, path })
            }));
            if paths.is_empty() {
                keyed.push((None, Candidate { route: *route, path: 0 }));
            }
        }
        keyed.sort_by_cached_key(|(pattern, candidate)| {
            let route = &routes[candidate.route as usize];
            let any_method = route.methods.is_empty();
            let rank = pattern.map_or_else(|| vec![Segment::Nothing], |pattern| rank(&pattern.key));
            let key = pattern.map(|pattern| pattern.key.clone());
            (rank, key, any_method, usize::MAX - route.headers.len(), candidate.route)
        });
        let mut router = matchit::Router::new();
        let mut patterns: Vec<Pattern> = Vec::new();
        let mut known: Option<&str> = None;
        for (pattern, candidate) in keyed {
            let key = pattern.map(|pattern| pattern.key.as_str());
            if patterns.is_empty() || known != key {
                let path = key.map(|key| single(key));
                if let Some(key) = key {
                    // Two patterns may be too alike for one router; the ordered list still has both.
                    let _ = router.insert(key, patterns.len());
                }
                patterns.push(Pattern { path, routes: Vec::new() });
                known = key;
            }
            if let Some(pattern) = patterns.last_mut() {
                pattern.routes.push(candidate);
            }
        }
        Self { router, patterns }
    }

    /// The best route; the methods of routes that only the method keeps away go to `allowed`.
    pub(super) fn find(
        &self,
        routes: &[Route],
        request: Request<'_>,
        allowed: &mut Vec<Method>,
    ) -> Option<RouteMatch> {
        if let Ok(best) = self.router.at(request.path) {
            let pattern = &self.patterns[*best.value];
            if let Some(candidate) = pattern.first(routes, request, &mut Vec::new()) {
                return Some(candidate.with(values(request.path, &best.params)));
            }
        }
        self.patterns.iter().find_map(|pattern| {
            let values = pattern.values(request.path)?;
            pattern.first(routes, request, allowed).map(|candidate| candidate.with(values))
        })
    }
}

fn single(key: &str) -> matchit::Router<()> {
    let mut router = matchit::Router::new();
    router.insert(key, ()).expect("the configuration has tried this pattern");
    router
}

impl Candidate {
    fn with(self, values: Values) -> RouteMatch {
        RouteMatch { route: self.route, path: self.path, values }
    }
}

impl Pattern {
    fn values(&self, path: &str) -> Option<Values> {
        match &self.path {
            None => Some(Values::new()),
            Some(router) => router.at(path).ok().map(|found| values(path, &found.params)),
        }
    }

    fn first(
        &self,
        routes: &[Route],
        request: Request<'_>,
        allowed: &mut Vec<Method>,
    ) -> Option<Candidate> {
        self.routes.iter().copied().find(|candidate| {
            let config = &routes[candidate.route as usize].config;
            if !has_fields(config, request.headers) {
                return false;
            }
            let takes = takes_method(config, request.method);
            if !takes {
                allowed.extend(config.methods.iter().filter(|one| !allowed.contains(one)).cloned().collect::<Vec<_>>());
            }
            takes
        })
    }
}

/// Whether one pattern alone matches `path`.
pub(super) fn matches(key: &str, path: &str) -> bool {
    single(key).at(path).is_ok()
}

pub(super) fn takes_method(route: &RouteConfig, method: &Method) -> bool {
    route.methods.is_empty() || route.methods.contains(method)
}

/// Whether each field that the route asks for is there once, with just that value.
pub(super) fn has_fields(route: &RouteConfig, headers: &HeaderMap) -> bool {
    route.headers.iter().all(|(name, value)| {
        let mut given = headers.get_all(name);
        given.next() == Some(value) && given.next().is_none()
    })
}

fn values(path: &str, params: &matchit::Params<'_, '_>) -> Values {
    let base = path.as_ptr().addr();
    let range = |value: &str| {
        let start = value.as_ptr().addr() - base;
        (start, start + value.len())
    };
    params.iter().map(|(_, value)| range(value)).collect()
}

/// How matchit ranks one segment against another: text, then text around a placeholder, then a
/// placeholder, then all that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Text,
    Mixed,
    One,
    Rest,
    /// No path at all.
    Nothing,
}

fn rank(key: &str) -> Vec<Segment> {
    let segment = |text: &str| match text {
        text if text.starts_with("{*") => Segment::Rest,
        text if text.starts_with('{') && text.ends_with('}') => Segment::One,
        text if text.contains('{') => Segment::Mixed,
        _ => Segment::Text,
    };
    key.split('/').skip(1).map(segment).collect()
}
