//! What a route asks of those who want something of it, compared with what another asks.

use actix_http::StatusCode;

use crate::config::{KeyPart, RateConfig, RateLimitConfig, RouteAction, RouteConfig, Store};

/// Answers that say of a path that nobody gets what is behind it.
const DENIALS: [StatusCode; 4] =
    [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::GONE];

pub(super) fn has_guard(route: &RouteConfig) -> bool {
    denies(route)
        || route.auth.is_some()
        || !route.clients.is_empty()
        || !route.rate_limits.is_empty()
}

/// Whether who has passed the guard of `found` has passed that of `other`. `limits` are all there are.
pub(super) fn covers(found: &RouteConfig, other: &RouteConfig, limits: &[RateLimitConfig]) -> bool {
    denies(found)
        || (!denies(other) && lets_in_as(found, other) && is_limited_as(found, other, limits))
}

/// Whether whom `found` lets in would be let in by `other`, however often they come.
pub(super) fn lets_in_as(found: &RouteConfig, other: &RouteConfig) -> bool {
    let is_from_there = other.clients.is_empty() || other.clients == found.clients;
    is_known_to(found, other) && is_from_there
}

/// Where nobody is let in, there is no way around another guard either.
fn denies(route: &RouteConfig) -> bool {
    matches!(&route.action, RouteAction::Respond { status, .. } if DENIALS.contains(status))
}

/// Whether whom `found` lets in has proved to be somebody whom `other` lets in.
fn is_known_to(found: &RouteConfig, other: &RouteConfig) -> bool {
    let (has, needs) = (&found.require, &other.require);
    other.auth.is_none()
        || (other.auth == found.auth
            && needs.scopes.iter().all(|scope| has.scopes.contains(scope))
            && needs.claims.iter().all(|claim| has.claims.contains(claim)))
}

/// Whether each limit of `other` holds for `found` too, itself or by one that is as strict.
fn is_limited_as(found: &RouteConfig, other: &RouteConfig, limits: &[RateLimitConfig]) -> bool {
    other.rate_limits.iter().all(|other| {
        let does = |one: &usize| one == other || is_as_strict(&limits[*one], &limits[*other]);
        found.rate_limits.iter().any(does)
    })
}

/// Whether `one` never lets more requests pass that `other` counts together.
fn is_as_strict(one: &RateLimitConfig, other: &RateLimitConfig) -> bool {
    // Within a route, all requests have the route in common.
    let counts_together =
        one.key.iter().all(|part| *part == KeyPart::Route || other.key.contains(part));
    let is_as_slow = match (&one.rate, &other.rate) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(one), Some(other)) => is_as_slow(one, other),
    };
    let has_as_few = match (one.in_flight, other.in_flight) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(one), Some(other)) => one <= other,
    };
    counts_together && is_as_slow && has_as_few
}

fn is_as_slow(one: &RateConfig, other: &RateConfig) -> bool {
    let per_time =
        |one: &RateConfig, other: &RateConfig| u128::from(one.requests) * other.per.as_nanos();
    // What each process counts for itself is more in all than what they count together.
    let is_counted_as = one.store == Store::Redis || other.store != Store::Redis;
    is_counted_as && one.burst <= other.burst && per_time(one, other) <= per_time(other, one)
}
