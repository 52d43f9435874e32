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
    /// Places of patterns that one router cannot hold together with the others: a placeholder and
    /// a catch-all at the same spot. They are tried one by one.
    unrouted: Vec<usize>,
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
            keyed.extend(
                paths
                    .iter()
                    .zip(0..)
                    .map(|(pattern, path)| (Some(pattern), Candidate { route: *route, path })),
            );
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
        let mut group =
            Self { router: matchit::Router::new(), unrouted: Vec::new(), patterns: Vec::new() };
        let mut last: Option<Option<&str>> = None;
        for (pattern, candidate) in keyed {
            let key = pattern.map(|pattern| pattern.key.as_str());
            if last != Some(key) {
                group.push(key);
                last = Some(key);
            }
            if let Some(pattern) = group.patterns.last_mut() {
                pattern.routes.push(candidate);
            }
        }
        group
    }

    fn push(&mut self, key: Option<&str>) {
        let place = self.patterns.len();
        self.patterns.push(Pattern { path: key.map(single), routes: Vec::new() });
        if key.is_some_and(|key| self.router.insert(key, place).is_err()) {
            self.unrouted.push(place);
        }
    }

    /// The best route; the methods of routes that only the method keeps away go to `allowed`.
    pub(super) fn find(
        &self,
        routes: &[Route],
        request: Request<'_>,
        allowed: &mut Vec<Method>,
    ) -> Option<RouteMatch> {
        let rest = match self.best(request.path) {
            Some((place, values)) => {
                if let Some(found) = self.patterns[place].first(routes, request, &mut Vec::new()) {
                    return Some(found.with(values));
                }
                &self.patterns[place..]
            }
            None => self.pathless(),
        };
        rest.iter().find_map(|pattern| {
            let values = pattern.values(request.path)?;
            pattern.first(routes, request, allowed).map(|candidate| candidate.with(values))
        })
    }

    /// All routes of the best pattern with one that takes `request`, each with the place of the pattern
    /// among its paths.
    pub(super) fn takers(&self, routes: &[Route], request: Request<'_>) -> Vec<(Index, usize)> {
        let taking = |pattern: &Pattern| pattern.takers(routes, request);
        let best = self.best(request.path);
        let rest = best.map_or_else(|| self.pathless(), |(place, _)| &self.patterns[place..]);
        let matching = rest.iter().filter(|one| one.values(request.path).is_some());
        matching.map(taking).find(|takers| !takers.is_empty()).unwrap_or_default()
    }

    /// What is left where no pattern matches: the one that takes every path, if there is one.
    fn pathless(&self) -> &[Pattern] {
        let is_pathless = self.patterns.last().is_some_and(|pattern| pattern.path.is_none());
        &self.patterns[self.patterns.len() - usize::from(is_pathless)..]
    }

    /// The pattern that ranks first among those that match `path`.
    #[inline]
    fn best(&self, path: &str) -> Option<(usize, Values)> {
        let routed = self.router.at(path).ok();
        let bound = routed.as_ref().map_or(usize::MAX, |found| *found.value);
        let mut before = self.unrouted.iter().copied().take_while(|place| *place < bound);
        before
            .find_map(|place| Some((place, self.patterns[place].values(path)?)))
            .or_else(|| routed.map(|found| (*found.value, values(path, &found.params))))
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
        let config = |candidate: &Candidate| &routes[candidate.route as usize].config;
        // A route that names HEAD comes before those that take it with GET.
        if *request.method == Method::HEAD {
            let names_head = |candidate: &&Candidate| {
                let config = config(candidate);
                config.methods.contains(&Method::HEAD) && has_fields(config, request.headers)
            };
            if let Some(candidate) = self.routes.iter().find(names_head) {
                return Some(*candidate);
            }
        }
        self.routes.iter().copied().find(|candidate| {
            let config = config(candidate);
            if !has_fields(config, request.headers) {
                return false;
            }
            let takes = takes_method(config, request.method);
            if !takes {
                for method in &config.methods {
                    allow(allowed, method);
                    if *method == Method::GET {
                        allow(allowed, &Method::HEAD);
                    }
                }
            }
            takes
        })
    }

    fn takers(&self, routes: &[Route], request: Request<'_>) -> Vec<(Index, usize)> {
        let takes = |candidate: &&Candidate| {
            let config = &routes[candidate.route as usize].config;
            has_fields(config, request.headers) && takes_method(config, request.method)
        };
        let mut takers: Vec<_> =
            self.routes.iter().filter(takes).map(|one| (one.route, one.path)).collect();
        if *request.method == Method::HEAD {
            let methods = |route: Index| &routes[route as usize].config.methods;
            takers.sort_by_key(|(route, _)| !methods(*route).contains(&Method::HEAD));
        }
        takers
    }
}

/// Whether one pattern alone matches `path`.
pub(super) fn matches(key: &str, path: &str) -> bool {
    single(key).at(path).is_ok()
}

/// Who takes GET takes HEAD: they differ in the answer's body alone (RFC 9110 section 9.3.2).
pub(super) fn takes_method(route: &RouteConfig, method: &Method) -> bool {
    route.methods.is_empty()
        || route.methods.contains(method)
        || (*method == Method::HEAD && route.methods.contains(&Method::GET))
}

fn allow(allowed: &mut Vec<Method>, method: &Method) {
    if !allowed.contains(method) {
        allowed.push(method.clone());
    }
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

#[cfg(test)]
mod tests;
