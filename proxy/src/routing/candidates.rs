//! The routes that share a pattern: which of them takes a request.
//!
//! A route that asks for fields stands under one of them, the one that fewest others ask for, and is
//! looked at only if the request has it: what thousands of routes ask for costs one lookup.

use std::collections::{HashMap, HashSet};

use actix_http::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use smallvec::SmallVec;

use super::{
    Request, Route,
    group::{allow, has_fields, takes_method},
    work::step,
};
use crate::{config::RouteConfig, record::Index};

/// A route, and which of its paths has the pattern.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) route: Index,
    pub(super) path: usize,
}

/// In the order of candidates.
type Places = SmallVec<[u32; 4]>;
type ByField = HashMap<HeaderName, HashMap<HeaderValue, Places>>;

pub(super) struct Candidates {
    /// Best first.
    all: SmallVec<[Candidate; 1]>,
    /// Those that ask for no field.
    free: Places,
    /// The same without those whose methods others before them take.
    reachable: Places,
    by_field: Option<Box<ByField>>,
}

impl Candidates {
    /// `all` in the order of the file.
    pub(super) fn new(routes: &[RouteConfig], mut all: Vec<Candidate>) -> Self {
        let config = |one: &Candidate| &routes[one.route as usize];
        all.sort_by_key(|one| {
            let route = config(one);
            (route.methods.is_empty(), usize::MAX - route.headers.len(), one.route)
        });
        let placed = || all.iter().map(config).zip(0..);
        let free: Places = placed()
            .filter(|(route, _)| route.headers.is_empty())
            .map(|(_, place)| place)
            .collect();
        let mut seen = Seen::default();
        let reachable =
            free.iter().copied().filter(|place| seen.adds(config(&all[*place as usize])));
        Self { reachable: reachable.collect(), by_field: by_field(placed), free, all: all.into() }
    }

    /// The best route; the methods of those that only the method keeps away go to `allowed`.
    pub(super) fn first(
        &self,
        routes: &[Route],
        request: Request<'_>,
        allowed: &mut Vec<Method>,
    ) -> Option<Candidate> {
        let config = |one: &Candidate| &routes[one.route as usize].config;
        let having_fields = || {
            let having = self.having(&self.reachable, request.headers);
            having.filter(|one| has_fields(config(one), request.headers))
        };
        // A route that names HEAD comes before those that take it with GET.
        if *request.method == Method::HEAD
            && let Some(one) =
                having_fields().find(|one| config(one).methods.contains(&Method::HEAD))
        {
            return Some(one);
        }
        having_fields().find(|one| {
            let takes = takes_method(config(one), request.method);
            if !takes {
                config(one).methods.iter().for_each(|method| allow(allowed, method));
            }
            takes
        })
    }

    /// All routes that take `request`, best first, each with the place of the pattern among its paths.
    pub(super) fn takers(&self, routes: &[Route], request: Request<'_>) -> Vec<(Index, usize)> {
        let config = |one: &Candidate| &routes[one.route as usize].config;
        let takes = |one: &Candidate| {
            has_fields(config(one), request.headers) && takes_method(config(one), request.method)
        };
        let taking = self.having(&self.free, request.headers).filter(takes);
        let mut takers: Vec<_> = taking.map(|one| (one.route, one.path)).collect();
        if *request.method == Method::HEAD {
            let methods = |route: Index| &routes[route as usize].config.methods;
            takers.sort_by_key(|(route, _)| !methods(*route).contains(&Method::HEAD));
        }
        takers
    }

    /// Those at `free`, and those that stand under a field that is there, best first.
    fn having<'a>(
        &'a self,
        free: &'a [u32],
        headers: &HeaderMap,
    ) -> impl Iterator<Item = Candidate> + use<'a> {
        let mut lists: SmallVec<[&[u32]; 4]> = SmallVec::from_slice(&[free]);
        if let Some(by_field) = &self.by_field {
            let under = |name: &HeaderName| by_field.get(name)?.get(headers.get(name)?);
            if by_field.len() <= headers.len_keys() {
                lists.extend(by_field.keys().filter_map(under).map(SmallVec::as_slice));
            } else {
                lists.extend(headers.keys().filter_map(under).map(SmallVec::as_slice));
            }
        }
        std::iter::from_fn(move || {
            let ahead = lists.iter_mut().filter(|list| !list.is_empty());
            let next = ahead.min_by_key(|list| list[0])?;
            let (first, rest) = next.split_first()?;
            *next = rest;
            step();
            Some(self.all[*first as usize])
        })
    }
}

fn by_field<'a, I: Iterator<Item = (&'a RouteConfig, u32)>>(
    placed: impl Fn() -> I,
) -> Option<Box<ByField>> {
    let mut asked: HashMap<&(HeaderName, HeaderValue), usize> = HashMap::new();
    for field in placed().flat_map(|(route, _)| &route.headers) {
        *asked.entry(field).or_default() += 1;
    }
    let mut by_field = ByField::new();
    for (route, place) in placed() {
        if let Some((name, value)) = route.headers.iter().min_by_key(|field| asked[field]) {
            let by_value = by_field.entry(name.clone()).or_default();
            by_value.entry(value.clone()).or_default().push(place);
        }
    }
    (!by_field.is_empty()).then(|| Box::new(by_field))
}

/// Methods that routes without fields take.
#[derive(Default)]
struct Seen<'a> {
    all: bool,
    some: HashSet<&'a Method>,
}

impl<'a> Seen<'a> {
    /// Whether `route` takes one that none before it has taken.
    fn adds(&mut self, route: &'a RouteConfig) -> bool {
        let adds = !self.all
            && (route.methods.is_empty()
                || route.methods.iter().any(|one| !self.some.contains(one)));
        self.all |= route.methods.is_empty();
        self.some.extend(&route.methods);
        adds
    }
}
