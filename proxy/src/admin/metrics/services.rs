//! Metrics of what decides where requests go: endpoints, breakers, retries, queues, copies.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use super::{
    Sources,
    page::{Page, Row, Written},
    table,
};
use crate::{
    clock::Millis,
    ids::ServiceId,
    limits::Limits,
    service::{Endpoint, Service, breaker::Phase, outlier::Cause},
    telemetry::counter::Distribution,
};

pub(super) fn write(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    write_endpoints(sources, page)?;
    write_services(sources, page)?;
    write_waits(sources, page)?;
    write_retries(sources, page)?;
    write_copies(sources, page)
}

/// A row for each endpoint for which there is a number.
fn by_endpoint<'a>(
    sources: &'a Sources<'_>,
    number: impl Fn(&Endpoint) -> Option<u64>,
) -> impl Iterator<Item = Row<'a, 2>> {
    sources.gateway.endpoints().filter_map(move |(service, endpoint)| {
        Some(([service.name.as_str(), endpoint.url.as_str()], number(endpoint)?))
    })
}

fn by_service<'a>(
    sources: &'a Sources<'_>,
    number: impl Fn(&Service) -> Option<u64>,
) -> impl Iterator<Item = Row<'a, 1>> {
    sources
        .gateway
        .services()
        .iter()
        .filter_map(move |service| Some(([service.name.as_str()], number(service)?)))
}

fn write_endpoints(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    let now = sources.gateway.clock.now();
    let healthy = by_endpoint(sources, |endpoint| Some(is_healthy(endpoint, now).into()));
    page.rows_if_any(&table::HEALTHY, healthy)?;
    let in_flight = by_endpoint(sources, |endpoint| Some(endpoint.load.in_flight().into()));
    page.rows_if_any(&table::ENDPOINT_IN_FLIGHT, in_flight)?;
    let ejected = by_endpoint(sources, |endpoint| Some(endpoint.is_ejected(now).into()));
    page.rows_if_any(&table::EJECTED, ejected)?;
    let causes = [Cause::ConsecutiveFailures, Cause::SuccessRate].into_iter();
    let ejections = causes.flat_map(|cause| {
        let counts = by_endpoint(sources, move |endpoint| Some(endpoint.counts.ejected(cause)));
        counts.map(move |([service, endpoint], count)| ([service, endpoint, cause.word()], count))
    });
    page.rows_if_any(&table::EJECTIONS, ejections)?;
    let phases = by_endpoint(sources, |endpoint| endpoint.breaker().map(phase));
    page.rows_if_any(&table::BREAKERS, phases)?;
    let opens = by_endpoint(sources, |endpoint| {
        endpoint.breaker().map(|_| endpoint.counts.opens.load(Relaxed))
    });
    page.rows_if_any(&table::OPENS, opens)?;
    let checked = sources.gateway.endpoints().filter(|(service, _)| service.health.is_some());
    let checks = checked.flat_map(|(service, endpoint)| {
        let counts = &endpoint.counts;
        [("passed", &counts.checks_passed), ("failed", &counts.checks_failed)].map(
            |(result, count)| {
                ([service.name.as_str(), endpoint.url.as_str(), result], count.load(Relaxed))
            },
        )
    });
    page.rows_if_any(&table::CHECKS, checks)
}

fn is_healthy(endpoint: &Endpoint, now: Millis) -> bool {
    endpoint.is_up() && !endpoint.is_ejected(now) && endpoint.breaker() != Some(Phase::Open)
}

fn phase(phase: Phase) -> u64 {
    match phase {
        Phase::Closed => 0,
        Phase::HalfOpen => 1,
        Phase::Open => 2,
    }
}

fn write_services(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    let failed_open = by_service(sources, |service| Some(service.state().failed_open()));
    page.rows_if_any(&table::FAILED_OPEN, failed_open)?;
    let limited = |number: fn(&Limits) -> Option<u32>| {
        by_service(sources, move |service| service.limits().and_then(number).map(u64::from))
    };
    let in_flight = limited(|limits| Some(limits.in_flight()));
    page.rows_if_any(&table::SERVICE_IN_FLIGHT, in_flight)?;
    page.rows_if_any(&table::SERVICE_LIMIT, limited(Limits::limit))?;
    page.rows_if_any(&table::QUEUE_DEPTH, limited(|limits| Some(limits.waiting())))?;
    let mut budgets = BTreeMap::<ServiceId, u64>::new();
    for (service, left) in sources.read(|shard| &shard.budgets) {
        *budgets.entry(service).or_default() += left.get();
    }
    // What has gone has no budget.
    let left = by_service(sources, |service| budgets.get(&service.id).copied());
    page.rows_if_any(&table::BUDGET_LEFT, left)
}

fn write_waits(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    let mut waits = BTreeMap::<ServiceId, Distribution>::new();
    for (service, histogram) in sources.read(|shard| &shard.queued) {
        histogram.add_to(waits.entry(service).or_default());
    }
    if waits.is_empty() {
        return Ok(());
    }
    let rows = waits.iter().map(|(service, waited)| ([sources.service(*service)], waited));
    page.histograms(&table::QUEUE_WAITS, rows)
}

fn write_retries(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    let mut counts = BTreeMap::<(bool, &str), u64>::new();
    for (labels, count) in sources.read(|shard| &shard.retries) {
        *counts.entry((labels.is_made, labels.reason)).or_default() += count.get();
    }
    for (is_made, of) in [(true, &table::RETRIES), (false, &table::RETRIES_REFUSED)] {
        let counts = counts.iter().filter(|((made, _), _)| *made == is_made);
        page.rows_if_any(of, counts.map(|((_, reason), count)| ([*reason], *count)))?;
    }
    Ok(())
}

fn write_copies(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    let mut counts = BTreeMap::<(&str, &str), u64>::new();
    for (labels, count) in sources.read(|shard| &shard.copies) {
        *counts.entry((sources.service(labels.service), labels.result)).or_default() += count.get();
    }
    let counts = counts.iter().map(|((service, result), count)| ([*service, *result], *count));
    page.rows_if_any(&table::COPIES, counts)
}
