//! Metrics as text: the shards added up, and their keys turned into labels.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode},
    metrics::MetricType,
    registry::Registry,
};

use super::{
    certificates,
    clients::{ClientConnections, Rejection},
    counter::{BUCKETS, Distribution},
    downstream,
    labels::Labels,
    losses,
    metrics::{Metrics, SharedShard},
    rate_limits,
    series::{Published, read},
    traffic,
};
use crate::{
    config::NO_ROUTE,
    error::Reason,
    gateway::Gateway,
    ids::{EndpointId, LimitId, RouteId, SchemeId, ServiceId, Tables},
};

impl Metrics {
    /// All metrics in the OpenMetrics text format.
    pub fn render(self: &Arc<Self>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Page(Arc::clone(self))));
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String grows");
        text
    }
}

/// What the page is written from: numbers, and what their ids stand for.
pub(super) struct Sources<'a> {
    shards: Vec<Arc<SharedShard>>,
    pub(super) gateway: &'a Gateway,
    tables: &'a Tables,
}

impl Sources<'_> {
    pub(super) fn route(&self, id: Option<RouteId>) -> &str {
        let name = |id| self.tables.routes.name(id).map_or("", String::as_str);
        id.map_or(NO_ROUTE, name)
    }

    pub(super) fn service(&self, id: Option<ServiceId>) -> &str {
        let name = |id| self.tables.services.name(id).map_or("", String::as_str);
        id.map_or(NO_ROUTE, name)
    }

    /// Service and URL.
    pub(super) fn endpoint(&self, id: EndpointId) -> (&str, &str) {
        let name = self.tables.endpoints.name(id);
        name.map_or(("", ""), |name| (&name.service, &name.url))
    }

    pub(super) fn scheme(&self, id: SchemeId) -> &str {
        self.tables.schemes.name(id).map_or("", String::as_str)
    }

    pub(super) fn limit(&self, id: LimitId) -> &str {
        self.tables.limits.name(id).map_or("", String::as_str)
    }

    /// The numbers of all workers whose labels still mean something.
    pub(super) fn read<K: Copy + Labels, V>(
        &self,
        series: impl Fn(&SharedShard) -> &Published<K, V>,
    ) -> Vec<(K, Arc<V>)> {
        let all = self.shards.iter().flat_map(|shard| read(series(shard)));
        all.filter(|(labels, _)| labels.is_known(self.tables)).collect()
    }

    pub(super) fn shards(&self) -> &[Arc<SharedShard>] {
        &self.shards
    }
}

struct Page(Arc<Metrics>);

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}

pub(super) type Written = Result<(), fmt::Error>;

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Written {
        let metrics = &*self.0;
        let gateway = metrics.present.now();
        let tables = gateway.ids.tables();
        let sources = Sources {
            shards: metrics.shards.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            gateway: &gateway,
            tables: &tables,
        };
        let shards = sources.shards();
        write_requests(&sources, &mut encoder)?;
        write_upstream(&sources, &mut encoder)?;
        traffic::write(&sources, &mut encoder)?;
        rate_limits::write(&sources, &mut encoder)?;
        write_errors(shards, &mut encoder)?;
        write_clients(&metrics.clients, &mut encoder)?;
        certificates::write(&metrics.tls, &mut encoder)?;
        downstream::write(shards, &mut encoder)?;
        let sum =
            |count: fn(&SharedShard) -> u64| shards.iter().map(|shard| count(shard)).sum::<u64>();
        family(
            &mut encoder,
            "proxy_requests_in_flight",
            "Requests that have begun and not ended",
            MetricType::Gauge,
        )?
        .encode_gauge(&sum(|shard| shard.in_flight.get()))?;
        losses::write(&metrics.log_losses, &mut encoder)?;
        family(
            &mut encoder,
            "proxy_tunnels_open",
            "Connections that have switched protocols, now",
            MetricType::Gauge,
        )?
        .encode_gauge(&sum(|shard| shard.open_tunnels.get()))?;
        family(
            &mut encoder,
            "proxy_tunnels",
            "Connections that have switched protocols",
            MetricType::Counter,
        )?
        .encode_counter::<NoLabelSet, _, u64>(&sum(|shard| shard.tunnels.get()), None)?;
        let mut connections = family(
            &mut encoder,
            "proxy_upstream_connections",
            "Open connections to endpoints",
            MetricType::Gauge,
        )?;
        let idle = sum(|shard| shard.connections.idle.get());
        let active = sum(|shard| shard.connections.open.get()).saturating_sub(idle);
        connections.encode_family(&[("state", "active")])?.encode_gauge(&active)?;
        connections.encode_family(&[("state", "idle")])?.encode_gauge(&idle)?;
        write_lookups(metrics, &mut encoder)?;
        write_orders(metrics, &mut encoder)?;
        family(&mut encoder, "proxy_build_info", "The version that runs", MetricType::Gauge)?
            .encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?
            .encode_gauge(&1_u64)
    }
}

pub(super) fn family<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
    kind: MetricType,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, kind)
}

/// The sums of one label set over all workers.
#[derive(Default)]
struct Totals {
    duration: Distribution,
    bytes_in: u64,
    bytes_out: u64,
}

type Totalled<'a> = BTreeMap<(&'a str, &'a str), Totals>;

fn write_requests(sources: &Sources<'_>, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let mut codes: BTreeMap<(&str, &str, &str, u16), u64> = BTreeMap::new();
    let mut totals = Totalled::new();
    for (labels, cells) in sources.read(|shard| &shard.requests) {
        let route = sources.route(labels.route);
        let service = sources.service(labels.service);
        let total = totals.entry((route, service)).or_default();
        let mut own = Distribution::default();
        cells.duration.add_to(&mut own);
        cells.duration.add_to(&mut total.duration);
        total.bytes_in += cells.bytes_in.get();
        total.bytes_out += cells.bytes_out.get();
        *codes.entry((route, service, labels.method.text(), labels.code)).or_default() +=
            own.buckets.iter().sum::<u64>();
    }
    let mut requests =
        family(encoder, "proxy_requests", "Requests by outcome", MetricType::Counter)?;
    for ((route, service, method, code), count) in &codes {
        let code = code.to_string();
        let labels =
            [("route", *route), ("service", *service), ("method", *method), ("code", &code)];
        requests.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(count, None)?;
    }
    write_totals(&totals, encoder)
}

fn write_totals(totals: &Totalled<'_>, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let help = "From the request head to the last byte of the answer";
    let mut durations =
        family(encoder, "proxy_request_duration_seconds", help, MetricType::Histogram)?;
    for ((route, service), total) in totals {
        let labels = [("route", *route), ("service", *service)];
        write_histogram(durations.encode_family(&labels)?, &total.duration)?;
    }
    let bytes_in: fn(&Totals) -> u64 = |total| total.bytes_in;
    let bytes_out: fn(&Totals) -> u64 = |total| total.bytes_out;
    for (name, help, bytes) in [
        ("proxy_request_bytes", "Body bytes read from clients", bytes_in),
        ("proxy_response_bytes", "Body bytes given to clients", bytes_out),
    ] {
        let mut sizes = family(encoder, name, help, MetricType::Counter)?;
        for ((route, service), total) in totals {
            let labels = [("route", *route), ("service", *service)];
            let count = bytes(total);
            sizes.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    Ok(())
}

fn write_upstream(sources: &Sources<'_>, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let mut codes: BTreeMap<(EndpointId, u16), u64> = BTreeMap::new();
    for (labels, count) in sources.read(|shard| &shard.upstream) {
        *codes.entry((labels.endpoint, labels.code)).or_default() += count.get();
    }
    let mut attempts = family(
        encoder,
        "proxy_upstream_requests",
        "Attempts by endpoint and answer; code 0 without answer",
        MetricType::Counter,
    )?;
    for ((endpoint, code), count) in &codes {
        let (service, url) = sources.endpoint(*endpoint);
        let code = code.to_string();
        let labels = [("service", service), ("endpoint", url), ("code", &code)];
        attempts.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(count, None)?;
    }
    let mut connects: BTreeMap<EndpointId, Distribution> = BTreeMap::new();
    for (endpoint, histogram) in sources.read(|shard| &shard.connects) {
        histogram.add_to(connects.entry(endpoint).or_default());
    }
    let mut durations = family(
        encoder,
        "proxy_upstream_connect_duration_seconds",
        "Time to open a connection",
        MetricType::Histogram,
    )?;
    for (endpoint, distribution) in &connects {
        let (service, url) = sources.endpoint(*endpoint);
        let labels = [("service", service), ("endpoint", url)];
        write_histogram(durations.encode_family(&labels)?, distribution)?;
    }
    Ok(())
}

fn write_errors(shards: &[Arc<SharedShard>], encoder: &mut DescriptorEncoder<'_>) -> Written {
    let mut errors = family(
        encoder,
        "proxy_errors",
        "Failures answered by the proxy itself",
        MetricType::Counter,
    )?;
    for reason in Reason::ALL {
        let count: u64 = shards.iter().map(|shard| shard.errors.of(*reason).get()).sum();
        errors
            .encode_family(&[("reason", reason.word())])?
            .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
    }
    Ok(())
}

fn write_clients(clients: &ClientConnections, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let open = clients.open() as u64;
    family(encoder, "proxy_connections", "Open client connections", MetricType::Gauge)?
        .encode_gauge(&open)?;
    let mut rejected = family(
        encoder,
        "proxy_connections_rejected",
        "Client connections that were not taken",
        MetricType::Counter,
    )?;
    for why in Rejection::ALL {
        let count = clients.rejected(why);
        rejected
            .encode_family(&[("reason", why.word())])?
            .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
    }
    Ok(())
}

fn write_lookups(metrics: &Metrics, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let help = "Lookups of the names of endpoints";
    let mut lookups = family(encoder, "proxy_dns_lookups", help, MetricType::Counter)?;
    for (result, count) in [("ok", &metrics.lookups.ok), ("failed", &metrics.lookups.failed)] {
        lookups
            .encode_family(&[("result", result)])?
            .encode_counter::<NoLabelSet, _, u64>(&count.get(), None)?;
    }
    Ok(())
}

fn write_orders(metrics: &Metrics, encoder: &mut DescriptorEncoder<'_>) -> Written {
    let help = "Certificates ordered from the CA";
    let mut orders = family(encoder, "proxy_acme_orders", help, MetricType::Counter)?;
    for (result, count) in [("ok", &metrics.acme.ok), ("failed", &metrics.acme.failed)] {
        orders
            .encode_family(&[("result", result)])?
            .encode_counter::<NoLabelSet, _, u64>(&count.get(), None)?;
    }
    let help = "Times that the folder of certificates, or a file in it, could not be used";
    family(encoder, "proxy_acme_state_failures", help, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, u64>(&metrics.acme.state_failures.get(), None)
}

pub(super) fn write_histogram(
    mut encoder: MetricEncoder<'_>,
    distribution: &Distribution,
) -> Written {
    let bounds = BUCKETS.iter().copied().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(distribution.buckets).collect();
    let sum = std::time::Duration::from_micros(distribution.sum_us).as_secs_f64();
    let count = distribution.buckets.iter().sum();
    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}
