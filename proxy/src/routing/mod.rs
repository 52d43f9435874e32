//! Which route takes a request: a pure function of host, path, method and fields.
//!
//! Order: host (exact, then the longest wildcard, then any), path as `tree.rs` ranks it, routes
//! with methods before those without, more fields first, then the order of the file. A route
//! takes a request only if all of its conditions hold; if none does but one failed by its method
//! alone, the answer is 405. HEAD goes where GET goes, unless a route of the same pattern names it.

mod candidates;
mod explain;
mod group;
mod guard;
mod host;
mod open_methods;
mod other_fields;
mod readings;
pub mod rewrite;
pub mod stage;
mod suffixes;
mod tree;
mod work;

use std::collections::HashMap;

use actix_http::{Method, header::HeaderMap};

pub use self::{
    explain::Verdict, host::host_without_port, open_methods::open_methods, readings::OtherReadings,
};
use self::{
    group::Group,
    rewrite::{Filled, Target},
    suffixes::Suffixes,
};
use crate::{
    config::{HostPattern, RouteConfig, Template},
    ids::{Id, RouteId},
    record::Index,
};

/// What a route looks at.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The `Host` field or the authority of the target, with port.
    pub host: &'a str,
    pub path: &'a str,
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
}

/// The outcome of routing.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Route(RouteMatch),
    /// A route takes the path, with one of these methods.
    MethodNotAllowed(Vec<Method>),
    NoRoute,
    /// A route takes it, and it could be read as one that another guards.
    Ambiguous,
}

/// A route and where its placeholders stand in the path.
#[derive(Debug, PartialEq, Eq)]
pub struct RouteMatch {
    pub route: Index,
    /// Which of the route's paths matched.
    path: usize,
    values: Values,
}

/// What the placeholders stand for, in their order.
type Values = smallvec::SmallVec<[Span; 4]>;

/// A range of bytes of a path, which has fewer than 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        let bound = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Self { start: bound(start), end: bound(end) }
    }

    fn of(self, path: &str) -> &str {
        &path[self.start as usize..self.end as usize]
    }
}

/// All routes, prepared.
pub struct RouteTable {
    routes: Vec<Route>,
    exact: HashMap<String, Group>,
    suffixes: Suffixes<Group>,
    any: Group,
}

/// A route as configured, with its templates resolved for each of its paths.
pub struct Route {
    pub id: RouteId,
    pub config: RouteConfig,
    /// One per path of the route; one without names if it has none.
    paths: Vec<RoutePath>,
}

struct RoutePath {
    names: Vec<String>,
    template: Option<Filled>,
}

impl RouteTable {
    /// `id_of` says what a route is called in the process, by its name.
    pub fn new(routes: &[RouteConfig], mut id_of: impl FnMut(&String) -> RouteId) -> Self {
        let mut exact: HashMap<String, Vec<Index>> = HashMap::new();
        let mut suffixes: HashMap<String, Vec<Index>> = HashMap::new();
        let mut any = Vec::new();
        for (route, index) in routes.iter().zip(0..) {
            for host in &route.hosts {
                match host {
                    HostPattern::Exact(name) => exact.entry(name.clone()).or_default().push(index),
                    HostPattern::Suffix(name) => {
                        suffixes.entry(name.clone()).or_default().push(index);
                    }
                }
            }
            if route.hosts.is_empty() {
                any.push(index);
            }
        }
        let group = |indexes: Vec<Index>| Group::new(routes, &indexes);
        Self {
            exact: exact.into_iter().map(|(name, indexes)| (name, group(indexes))).collect(),
            suffixes: suffixes.into_iter().map(|(name, indexes)| (name, group(indexes))).collect(),
            any: group(any),
            routes: routes.iter().map(|route| Route::new(route, id_of(&route.name))).collect(),
        }
    }

    /// Of routes that take no requests: they are only looked up.
    fn uncounted(routes: &[RouteConfig]) -> Self {
        Self::new(routes, |_| RouteId::numbered(0))
    }

    /// The route that takes `request`.
    pub fn find(&self, request: Request<'_>) -> Found {
        let mut allowed = Vec::new();
        let found = self
            .groups(request.host)
            .find_map(|group| group.find(&self.routes, request, &mut allowed));
        match found {
            Some(found) => Found::Route(found),
            None if allowed.is_empty() => Found::NoRoute,
            None => Found::MethodNotAllowed(allowed),
        }
    }

    /// All routes of the pattern by which one takes `request`, each with the place of the pattern among
    /// its paths, best first.
    fn takers(&self, request: Request<'_>) -> Vec<(Index, usize)> {
        let mut groups = self.groups(request.host).map(|group| group.takers(&self.routes, request));
        groups.find(|takers| !takers.is_empty()).unwrap_or_default()
    }

    pub fn route(&self, index: Index) -> &Route {
        &self.routes[index as usize]
    }

    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The groups that a host belongs to, best first.
    #[inline]
    fn groups(&self, host: &str) -> impl Iterator<Item = &Group> {
        let has_hosts = !(self.exact.is_empty() && self.suffixes.is_empty());
        let name = if has_hosts { host_without_port(host) } else { "".into() };
        let exact = if has_hosts { self.exact.get(&*name) } else { None };
        exact.into_iter().chain(self.suffixes.of(name)).chain([&self.any])
    }
}

impl Route {
    fn new(config: &RouteConfig, id: RouteId) -> Self {
        use crate::config::RouteAction;
        let template: Option<&Template> = match &config.action {
            RouteAction::Forward { rewrite, .. } => rewrite.as_ref(),
            RouteAction::Redirect { to, .. } => Some(to),
            RouteAction::Respond { .. } => None,
        };
        let path = |names: &[String]| RoutePath {
            names: names.to_vec(),
            template: template.map(|template| Filled::new(template, names)),
        };
        let paths = match config.paths.as_slice() {
            [] => vec![path(&[])],
            paths => paths.iter().map(|pattern| path(&pattern.names)).collect(),
        };
        Self { id, config: config.clone(), paths }
    }

    /// What the placeholder `name` stands for in `path`.
    pub fn value<'a>(&self, found: &RouteMatch, name: &str, path: &'a str) -> Option<&'a str> {
        let index = self.paths[found.path].names.iter().position(|known| known == name)?;
        found.values.get(index).map(|span| span.of(path))
    }

    /// The route's template filled for `path`; `None` if it has none.
    pub fn fill_template(&self, found: &RouteMatch, path: &str) -> Option<Target> {
        let template = self.paths[found.path].template.as_ref()?;
        Some(template.fill(path, &found.values))
    }

    /// Whether the template itself begins with two slashes, and so with a host.
    pub fn template_names_host(&self) -> bool {
        use crate::config::{Piece, RouteAction};
        match &self.config.action {
            RouteAction::Redirect { to, .. } => {
                matches!(to.pieces.first(), Some(Piece::Literal(text)) if text.starts_with("//"))
            }
            RouteAction::Forward { .. } | RouteAction::Respond { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
