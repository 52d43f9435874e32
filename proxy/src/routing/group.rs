//! The routes of one host.
//!
//! A tree finds the best pattern (`tree.rs`). Only if no route of that pattern takes the request are
//! the others tried, in order: a route for one method or one field must not hide a more general one.

use actix_http::{Method, header::HeaderMap};

use super::{
    Request, Route, RouteMatch, Values,
    candidates::{Candidate, Candidates},
    tree::PathTree,
};
use crate::{config::RouteConfig, record::Index};

pub(super) struct Group {
    /// The places of patterns.
    tree: PathTree,
    patterns: Vec<Candidates>,
    /// Those without a path.
    pathless: Option<Candidates>,
}

impl Group {
    pub(super) fn new(routes: &[RouteConfig], indexes: &[Index]) -> Self {
        let mut tree = PathTree::default();
        let (mut patterns, mut pathless) = (Vec::<Vec<Candidate>>::new(), Vec::new());
        for route in indexes.iter().copied() {
            let paths = &routes[route as usize].paths;
            if paths.is_empty() {
                pathless.push(Candidate { route, path: 0 });
            }
            for (path, pattern) in paths.iter().enumerate() {
                let place = *tree.number(&pattern.key).get_or_insert(patterns.len());
                if place == patterns.len() {
                    patterns.push(Vec::new());
                }
                patterns[place].push(Candidate { route, path });
            }
        }
        let candidates = |all| Candidates::new(routes, all);
        Self {
            tree,
            patterns: patterns.into_iter().map(candidates).collect(),
            pathless: (!pathless.is_empty()).then(|| candidates(pathless)),
        }
    }

    /// The best route; the methods of routes that only the method keeps away go to `allowed`.
    pub(super) fn find(
        &self,
        routes: &[Route],
        request: Request<'_>,
        allowed: &mut Vec<Method>,
    ) -> Option<RouteMatch> {
        self.best(request.path, |pattern, values| {
            let candidate = pattern.first(routes, request, allowed)?;
            Some(RouteMatch {
                route: candidate.route,
                path: candidate.path,
                values: values.clone(),
            })
        })
    }

    /// All routes of the best pattern with one that takes `request`, each with the place of the pattern
    /// among its paths.
    pub(super) fn takers(&self, routes: &[Route], request: Request<'_>) -> Vec<(Index, usize)> {
        let takers = self.best(request.path, |pattern, _| {
            Some(pattern.takers(routes, request)).filter(|takers| !takers.is_empty())
        });
        takers.unwrap_or_default()
    }

    /// What `visit` first has for a pattern that matches `path`, best first; the one that takes every
    /// path is the last.
    fn best<T>(
        &self,
        path: &str,
        mut visit: impl FnMut(&Candidates, &Values) -> Option<T>,
    ) -> Option<T> {
        let found = self.tree.find(path, |place, values| visit(&self.patterns[place], values));
        found.or_else(|| visit(self.pathless.as_ref()?, &Values::new()))
    }
}

/// Whether one pattern alone matches `path`.
pub(super) fn matches(key: &str, path: &str) -> bool {
    PathTree::of(key).find(path, |_, _| Some(())).is_some()
}

/// Who takes GET takes HEAD: they differ in the answer's body alone (RFC 9110 section 9.3.2).
pub(super) fn takes_method(route: &RouteConfig, method: &Method) -> bool {
    route.methods.is_empty()
        || route.methods.contains(method)
        || (*method == Method::HEAD && route.methods.contains(&Method::GET))
}

/// Notes that `method` would have been taken, and HEAD where GET would have been.
pub(super) fn allow(allowed: &mut Vec<Method>, method: &Method) {
    let head = (*method == Method::GET).then_some(&Method::HEAD);
    for method in [method].into_iter().chain(head) {
        if !allowed.contains(method) {
            allowed.push(method.clone());
        }
    }
}

/// Whether each field that the route asks for is there once, with just that value.
pub(super) fn has_fields(route: &RouteConfig, headers: &HeaderMap) -> bool {
    route.headers.iter().all(|(name, value)| {
        let mut given = headers.get_all(name);
        given.next() == Some(value) && given.next().is_none()
    })
}

#[cfg(test)]
mod tests;
