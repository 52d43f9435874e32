//! The page of metrics: the shards added up, their keys turned into labels, and the state of endpoints
//! and services as it is now, so that nothing is counted twice for it.

mod clients;
mod page;
mod requests;
mod services;
mod table;

use std::{
    fmt,
    sync::{Arc, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text::encode},
    registry::Registry,
};

use self::page::{Page, Written};
pub use self::table::{Described, Kind, METRICS};
use crate::{
    config::NO_ROUTE,
    gateway::{Gateway, Present},
    ids::{EndpointId, LimitId, RouteId, SchemeId, ServiceId, Tables},
    telemetry::{
        counter::Counter,
        labels::Labels,
        metrics::{Metrics, SharedShard},
        series::{Published, read},
    },
    tls::Tls,
};

/// Everything that the page is made of.
#[derive(Clone)]
pub struct Numbers {
    pub metrics: Arc<Metrics>,
    pub present: Present,
    /// Has the certificates.
    pub tls: Arc<Tls>,
}

impl Numbers {
    /// All metrics in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String grows");
        text
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Numbers")
    }
}

impl Collector for Numbers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Written {
        let gateway = self.present.now();
        let tables = gateway.ids.tables();
        let shards = self.metrics.shards.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sources = Sources {
            metrics: &self.metrics,
            tls: &self.tls,
            shards,
            gateway: &gateway,
            tables: &tables,
        };
        let mut page = Page { encoder };
        requests::write(&sources, &mut page)?;
        services::write(&sources, &mut page)?;
        clients::write(&sources, &mut page)
    }
}

/// What the page is written from: numbers, and what their ids stand for.
struct Sources<'a> {
    metrics: &'a Metrics,
    tls: &'a Tls,
    shards: Vec<Arc<SharedShard>>,
    gateway: &'a Gateway,
    tables: &'a Tables,
}

impl Sources<'_> {
    fn route(&self, id: Option<RouteId>) -> &str {
        let name = |id| self.tables.routes.name(id).map_or("", String::as_str);
        id.map_or(NO_ROUTE, name)
    }

    fn service_or_none(&self, id: Option<ServiceId>) -> &str {
        id.map_or(NO_ROUTE, |id| self.service(id))
    }

    fn service(&self, id: ServiceId) -> &str {
        self.tables.services.name(id).map_or("", String::as_str)
    }

    /// Service and URL.
    fn endpoint(&self, id: EndpointId) -> (&str, &str) {
        let name = self.tables.endpoints.name(id);
        name.map_or(("", ""), |name| (&name.service, &name.url))
    }

    fn scheme(&self, id: SchemeId) -> &str {
        self.tables.schemes.name(id).map_or("", String::as_str)
    }

    fn limit(&self, id: LimitId) -> &str {
        self.tables.limits.name(id).map_or("", String::as_str)
    }

    /// The numbers of all workers whose labels still mean something.
    fn read<K: Copy + Labels, V>(
        &self,
        series: impl Fn(&SharedShard) -> &Published<K, V>,
    ) -> Vec<(K, Arc<V>)> {
        let all = self.shards.iter().flat_map(|shard| read(series(shard)));
        all.filter(|(labels, _)| labels.is_known(self.tables)).collect()
    }

    /// A number of all workers together.
    fn sum(&self, counter: impl Fn(&SharedShard) -> &Counter) -> u64 {
        self.shards.iter().map(|shard| counter(shard).get()).sum()
    }
}
