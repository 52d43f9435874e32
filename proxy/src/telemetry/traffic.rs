//! Metrics of what decides where requests go: endpoints, breakers, retries, queues, copies. State is
//! read from the gateway as it is now; nothing is counted twice for it.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::{
    counter::Distribution,
    publish::{Sources, Written, family, write_histogram},
};
use crate::{
    clock::Millis,
    ids::ServiceId,
    limits::Limits,
    service::{Endpoint, Service, breaker::Phase, outlier::Cause},
};

/// One row: its labels and its number.
pub(super) type Row<'a> = (Vec<(&'static str, &'a str)>, u64);

pub(super) fn write(sources: &Sources<'_>, encoder: &mut DescriptorEncoder<'_>) -> Written {
    write_endpoints(sources, encoder)?;
    write_services(sources, encoder)?;
    write_retries(sources, encoder)?;
    write_copies(sources, encoder)?;
    write_checks_of_clients(sources, encoder)
}

pub(super) fn rows<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    kind: MetricType,
    rows: impl IntoIterator<Item = Row<'a>>,
) -> Written {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let is_gauge = matches!(kind, MetricType::Gauge);
    let mut family = family(encoder, name, help, kind)?;
    for (labels, value) in rows {
        let mut row = family.encode_family(&labels)?;
        if is_gauge {
            row.encode_gauge(&value)?;
        } else {
            row.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
    }
    Ok(())
}

/// A row for each endpoint for which there is a number.
fn by_endpoint<'a>(
    sources: &'a Sources<'_>,
    number: impl Fn(&Endpoint) -> Option<u64>,
) -> impl Iterator<Item = Row<'a>> {
    sources.gateway.endpoints().filter_map(move |(service, endpoint)| {
        let labels = vec![("service", service.name.as_str()), ("endpoint", endpoint.url.as_str())];
        number(endpoint).map(|number| (labels, number))
    })
}

fn by_service<'a>(
    sources: &'a Sources<'_>,
    number: impl Fn(&Service) -> Option<u64>,
) -> impl Iterator<Item = Row<'a>> {
    sources.gateway.services().iter().filter_map(move |service| {
        number(service).map(|number| (vec![("service", service.name.as_str())], number))
    })
}

fn write_endpoints(sources: &Sources<'_>, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let now = sources.gateway.clock.now();
    rows(
        encoder,
        "proxy_endpoint_healthy",
        "1 if the endpoint may get requests: up, not ejected, its breaker not open",
        MetricType::Gauge,
        by_endpoint(sources, |endpoint| Some(is_healthy(endpoint, now).into())),
    )?;
    rows(
        encoder,
        "proxy_endpoint_in_flight",
        "Requests in flight to the endpoint",
        MetricType::Gauge,
        by_endpoint(sources, |endpoint| Some(endpoint.load.in_flight().into())),
    )?;
    rows(
        encoder,
        "proxy_endpoint_ejected",
        "1 while the endpoint is ejected",
        MetricType::Gauge,
        by_endpoint(sources, |endpoint| Some(endpoint.is_ejected(now).into())),
    )?;
    let ejections =
        [Cause::ConsecutiveFailures, Cause::SuccessRate].into_iter().flat_map(|cause| {
            by_endpoint(sources, move |endpoint| Some(endpoint.counts.ejected(cause))).map(
                move |(mut labels, count)| {
                    labels.push(("cause", cause.word()));
                    (labels, count)
                },
            )
        });
    rows(
        encoder,
        "proxy_endpoint_ejections",
        "Times that the endpoint was ejected",
        MetricType::Counter,
        ejections,
    )?;
    write_breakers(sources, encoder)?;
    write_checks(sources, encoder)
}

fn is_healthy(endpoint: &Endpoint, now: Millis) -> bool {
    endpoint.is_up() && !endpoint.is_ejected(now) && endpoint.breaker() != Some(Phase::Open)
}

fn write_breakers(sources: &Sources<'_>, encoder: &mut DescriptorEncoder<'_>) -> Written {
    rows(
        encoder,
        "proxy_breaker_state",
        "0 closed, 1 half-open, 2 open",
        MetricType::Gauge,
        by_endpoint(sources, |endpoint| {
            endpoint.breaker().map(|phase| match phase {
                Phase::Closed => 0,
                Phase::HalfOpen => 1,
                Phase::Open => 2,
            })
        }),
    )?;
    rows(
        encoder,
        "proxy_breaker_opens",
        "Times that the breaker has opened",
        MetricType::Counter,
        by_endpoint(sources, |endpoint| {
            endpoint.breaker().map(|_| endpoint.counts.opens.load(Relaxed))
        }),
    )
}

fn write_checks(sources: &Sources<'_>, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let checked = sources.gateway.endpoints().filter(|(service, _)| service.health.is_some());
    let checks = checked.flat_map(|(service, endpoint)| {
        let counts = &endpoint.counts;
        [("passed", &counts.checks_passed), ("failed", &counts.checks_failed)].map(
            |(result, count)| {
                let labels = vec![
                    ("service", service.name.as_str()),
                    ("endpoint", endpoint.url.as_str()),
                    ("result", result),
                ];
                (labels, count.load(Relaxed))
            },
        )
    });
    rows(encoder, "proxy_health_checks", "Active checks", MetricType::Counter, checks)
}

fn write_services(sources: &Sources<'_>, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let limited = |number: fn(&Limits) -> Option<u32>| {
        by_service(sources, move |service| service.limits().and_then(number).map(u64::from))
    };
    rows(
        encoder,
        "proxy_failed_open",
        "Tries at ejected endpoints, because there were no others",
        MetricType::Counter,
        by_service(sources, |service| Some(service.state().failed_open())),
    )?;
    rows(
        encoder,
        "proxy_service_in_flight",
        "Requests in flight to a service that limits them",
        MetricType::Gauge,
        limited(|limits| Some(limits.in_flight())),
    )?;
    rows(
        encoder,
        "proxy_service_limit",
        "Requests that a service may have in flight now",
        MetricType::Gauge,
        limited(Limits::limit),
    )?;
    rows(
        encoder,
        "proxy_queue_depth",
        "Requests that wait for a place in a service",
        MetricType::Gauge,
        limited(|limits| Some(limits.waiting())),
    )?;
    let mut budgets = BTreeMap::<ServiceId, u64>::new();
    for (service, left) in sources.read(|shard| &shard.budgets) {
        *budgets.entry(service).or_default() += left.get();
    }
    rows(
        encoder,
        "proxy_retry_budget_left",
        "Retries that may be made now, as of the last 5 s",
        MetricType::Gauge,
        budgets
            .iter()
            .map(|(index, left)| (vec![("service", sources.service(Some(*index)))], *left)),
    )?;
    write_waits(sources, encoder)
}

fn write_waits(sources: &Sources<'_>, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let mut waits = BTreeMap::<ServiceId, Distribution>::new();
    for (service, histogram) in sources.read(|shard| &shard.queued) {
        histogram.add_to(waits.entry(service).or_default());
    }
    if waits.is_empty() {
        return Ok(());
    }
    let help = "Time that requests have waited for a place in a service";
    let mut family = family(encoder, "proxy_queue_wait_seconds", help, MetricType::Histogram)?;
    for (index, waited) in &waits {
        let labels = [("service", sources.service(Some(*index)))];
        write_histogram(family.encode_family(&labels)?, waited)?;
    }
    Ok(())
}

fn write_retries(sources: &Sources<'_>, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let mut counts = BTreeMap::<(bool, &str), u64>::new();
    for (labels, count) in sources.read(|shard| &shard.retries) {
        *counts.entry((labels.is_made, labels.reason)).or_default() += count.get();
    }
    for (is_made, name, help) in [
        (true, "proxy_retries", "Tries after the first, by what the one before ended in"),
        (false, "proxy_retries_refused", "Retries that the budget did not allow"),
    ] {
        let counts = counts.iter().filter(|((made, _), _)| *made == is_made);
        let counts = counts.map(|((_, reason), count)| (vec![("reason", *reason)], *count));
        rows(encoder, name, help, MetricType::Counter, counts)?;
    }
    Ok(())
}

fn write_checks_of_clients(sources: &Sources<'_>, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let mut counts = BTreeMap::<(&str, &str), u64>::new();
    for (labels, count) in sources.read(|shard| &shard.checks) {
        let scheme = sources.scheme(labels.scheme);
        *counts.entry((scheme, labels.result.word())).or_default() += count.get();
    }
    let counts = counts
        .iter()
        .map(|((scheme, result), count)| (vec![("scheme", *scheme), ("result", *result)], *count));
    let help = "Checks of clients by scheme and result";
    rows(encoder, "proxy_auth", help, MetricType::Counter, counts)?;
    let schemes = sources.gateway.schemes.iter();
    let fetches = schemes.filter_map(|scheme| Some((scheme, scheme.key_source.as_ref()?)));
    let fetches = fetches.flat_map(|(scheme, source)| {
        let scheme = scheme.config.name.as_str();
        [("ok", &source.fetched), ("failed", &source.failed)].map(|(result, count)| {
            (vec![("scheme", scheme), ("result", result)], count.load(Relaxed))
        })
    });
    let help = "Fetches of key sets by result";
    rows(encoder, "proxy_jwks_fetches", help, MetricType::Counter, fetches)
}

fn write_copies(sources: &Sources<'_>, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let mut counts = BTreeMap::<(&str, &str), u64>::new();
    for (labels, count) in sources.read(|shard| &shard.copies) {
        *counts.entry((sources.service(Some(labels.service)), labels.result)).or_default() +=
            count.get();
    }
    let counts = counts.iter().map(|((service, result), count)| {
        (vec![("service", *service), ("result", *result)], *count)
    });
    rows(encoder, "proxy_mirrored", "Copies of requests by result", MetricType::Counter, counts)
}
