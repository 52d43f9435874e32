//! Whether a request can be read as one that another route guards.
//!
//! A route without guard for all paths beside one with a guard for `/admin` is a common pair, and
//! the path is compared as it came. A server behind them that decodes `/%61dmin`, merges `//admin`,
//! drops the `;x` of `/admin;x` or the slash of `/admin/`, or ignores case would serve what the second
//! route guards to whoever asks the first. So all readings of the path (`request/fold.rs`) are looked up
//! among folded patterns, and if one finds a guard that the request has not passed, it can be read in
//! two ways. So can a method that servers may take for the same in capitals. A path that stands in
//! the file as it is, without a placeholder, was meant as it is.

use actix_http::Method;

use super::{
    Request, RouteMatch, RouteTable,
    guard::{covers, has_guard},
    other_fields::OtherFields,
};
use crate::{
    config::{Config, PathPattern, RateLimitConfig, RouteConfig},
    record::Index,
    request::{fold, in_capitals, is_plain, loosened, readings, without_case, without_end},
};

pub struct OtherReadings {
    table: RouteTable,
    /// The patterns of each route before they were folded.
    patterns: Vec<Vec<String>>,
    limits: Vec<RateLimitConfig>,
    /// Whether a path that is its only reading can only be meant as it is.
    guards_are_plain: bool,
    /// Fields that guards ask for.
    fields: OtherFields,
}

impl OtherReadings {
    /// `None` if each route's guard does for all others, so that it does not matter which of them takes
    /// a request.
    pub fn new(config: &Config) -> Option<Self> {
        let (routes, limits) = (&config.routes, &config.rate_limits);
        let first = routes.first()?;
        let is_as_first = |route| covers(first, route, limits) && covers(route, first, limits);
        if routes.iter().all(is_as_first) {
            return None;
        }
        let mut folded = routes.clone();
        for pattern in folded.iter_mut().flat_map(|route| &mut route.paths) {
            fold_pattern(pattern);
        }
        let guards = || routes.iter().filter(|route| has_guard(route));
        let guards_are_plain =
            guards().flat_map(|route| &route.paths).all(|pattern| is_plain(&pattern.key));
        let keys = |route: &RouteConfig| route.paths.iter().map(|path| path.key.clone()).collect();
        Some(Self {
            table: RouteTable::uncounted(&folded),
            patterns: routes.iter().map(keys).collect(),
            limits: limits.clone(),
            guards_are_plain,
            fields: OtherFields::new(guards()),
        })
    }

    /// Whether a route with another guard than that of the route `found` could be meant; `routes` are
    /// those that `found` is of.
    pub fn evade(&self, routes: &RouteTable, found: &RouteMatch, request: Request<'_>) -> bool {
        let capitals = in_capitals(request.method);
        let is_meant = self.is_meant(found, request.path);
        let Some(fields) = self.fields.readings(request.headers) else { return true };
        if is_meant && capitals.is_none() && fields.is_empty() {
            return false;
        }
        let paths =
            if is_meant { Some(vec![request.path.to_owned()]) } else { readings(request.path) };
        let Some(paths) = paths else { return true };
        let mut methods: Vec<&Method> = vec![request.method];
        methods.extend(&capitals);
        let reaches = |table: &RouteTable, path: &str| {
            let asks = |method: &&Method| {
                let read = Request { path, method, ..request };
                let with = |headers| self.reaches_other(table, found, Request { headers, ..read });
                with(request.headers) || fields.iter().any(with)
            };
            methods.iter().any(asks)
        };
        // A server may tell letters apart, or a slash at the end, or both, where `fold` does not.
        let evades = |path: &String| {
            reaches(routes, path)
                || reaches(routes, without_end(path))
                || reaches(&self.table, &without_case(path))
                || reaches(&self.table, &loosened(path))
        };
        paths.iter().any(evades)
    }

    /// Whether the path cannot be read otherwise.
    fn is_meant(&self, found: &RouteMatch, path: &str) -> bool {
        let pattern = self.table.route(found.route).config.paths.get(found.path);
        let is_named = pattern.is_some_and(|pattern| pattern.names.is_empty());
        is_named || (self.guards_are_plain && is_plain(path))
    }

    /// Whether one of the routes that a request is for, as `table` has them, has a guard that `found` has
    /// not. Patterns that fold to the same are all meant; of routes that share one as it is written, the
    /// first.
    fn reaches_other(&self, table: &RouteTable, found: &RouteMatch, read: Request<'_>) -> bool {
        let route = |index: Index| &table.route(index).config;
        let takers = table.takers(read);
        let pattern = |(index, path): (Index, usize)| self.patterns[index as usize].get(path);
        let is_first = |place: usize| {
            takers[..place].iter().all(|earlier| pattern(*earlier) != pattern(takers[place]))
        };
        takers.iter().enumerate().any(|(place, (index, _))| {
            is_first(place) && !covers(route(found.route), route(*index), &self.limits)
        })
    }
}

/// A pattern that cannot be folded stays as it is.
fn fold_pattern(pattern: &mut PathPattern) {
    let folded = fold(&pattern.key);
    if matchit::Router::new().insert(folded.as_str(), ()).is_ok() {
        pattern.key = folded;
    }
}

#[cfg(test)]
mod tests;
