//! Metrics of requests, and of what they open towards endpoints.

use std::collections::BTreeMap;

use super::{
    Sources,
    page::{Page, Written},
    table,
};
use crate::{error::Reason, ids::EndpointId, telemetry::counter::Distribution};

pub(super) fn write(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    write_requests(sources, page)?;
    write_upstream(sources, page)?;
    let errors = Reason::ALL
        .iter()
        .map(|reason| ([reason.word()], sources.sum(|shard| shard.errors.of(*reason))));
    page.rows(&table::ERRORS, errors)?;
    page.number(&table::IN_FLIGHT, sources.sum(|shard| &shard.in_flight))?;
    page.number(&table::TUNNELS_OPEN, sources.sum(|shard| &shard.open_tunnels))?;
    page.number(&table::TUNNELS, sources.sum(|shard| &shard.tunnels))?;
    let idle = sources.sum(|shard| &shard.connections.idle);
    let active = sources.sum(|shard| &shard.connections.open).saturating_sub(idle);
    page.rows(&table::UPSTREAM_CONNECTIONS, [(["active"], active), (["idle"], idle)])?;
    let lookups = &sources.metrics.lookups;
    let lookups = [(["ok"], lookups.ok.get()), (["failed"], lookups.failed.get())];
    page.rows(&table::LOOKUPS, lookups)
}

/// The sums of one label set over all workers.
#[derive(Default)]
struct Totals {
    duration: Distribution,
    bytes_in: u64,
    bytes_out: u64,
}

fn write_requests(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    let mut codes: BTreeMap<(&str, &str, &str, u16), u64> = BTreeMap::new();
    let mut totals: BTreeMap<(&str, &str), Totals> = BTreeMap::new();
    for (labels, cells) in sources.read(|shard| &shard.requests) {
        let route = sources.route(labels.route);
        let service = sources.service_or_none(labels.service);
        let total = totals.entry((route, service)).or_default();
        let mut own = Distribution::default();
        cells.duration.add_to(&mut own);
        cells.duration.add_to(&mut total.duration);
        total.bytes_in += cells.bytes_in.get();
        total.bytes_out += cells.bytes_out.get();
        *codes.entry((route, service, labels.method.text(), labels.code)).or_default() +=
            own.buckets.iter().sum::<u64>();
    }
    let texts: Vec<String> = codes.keys().map(|(.., code)| code.to_string()).collect();
    let rows = codes.iter().zip(&texts);
    let rows = rows.map(|(((route, service, method, _), count), code)| {
        ([*route, *service, *method, code.as_str()], *count)
    });
    page.rows(&table::REQUESTS, rows)?;
    let all = || totals.iter().map(|((route, service), total)| ([*route, *service], total));
    page.histograms(&table::DURATIONS, all().map(|(labels, total)| (labels, &total.duration)))?;
    page.rows(&table::BYTES_IN, all().map(|(labels, total)| (labels, total.bytes_in)))?;
    page.rows(&table::BYTES_OUT, all().map(|(labels, total)| (labels, total.bytes_out)))
}

fn write_upstream(sources: &Sources<'_>, page: &mut Page<'_>) -> Written {
    let mut codes: BTreeMap<(EndpointId, u16), u64> = BTreeMap::new();
    for (labels, count) in sources.read(|shard| &shard.upstream) {
        *codes.entry((labels.endpoint, labels.code)).or_default() += count.get();
    }
    let texts: Vec<String> = codes.keys().map(|(_, code)| code.to_string()).collect();
    let rows = codes.iter().zip(&texts).map(|(((endpoint, _), count), code)| {
        let (service, url) = sources.endpoint(*endpoint);
        ([service, url, code.as_str()], *count)
    });
    page.rows(&table::ATTEMPTS, rows)?;
    let mut connects: BTreeMap<EndpointId, Distribution> = BTreeMap::new();
    for (endpoint, histogram) in sources.read(|shard| &shard.connects) {
        histogram.add_to(connects.entry(endpoint).or_default());
    }
    let rows = connects.iter().map(|(endpoint, distribution)| {
        let (service, url) = sources.endpoint(*endpoint);
        ([service, url], distribution)
    });
    page.histograms(&table::CONNECTS, rows)
}
