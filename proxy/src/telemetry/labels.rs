//! Whether what a label set names is still known: series outlive their thing for a while, and then go.

use super::metrics::{CheckLabels, CopyLabels, RequestLabels, RetryLabels, UpstreamLabels};
use crate::ids::{EndpointId, LimitId, ServiceId, Tables};

pub trait Labels {
    fn is_known(&self, tables: &Tables) -> bool;
}

impl Labels for RequestLabels {
    fn is_known(&self, tables: &Tables) -> bool {
        self.route.is_none_or(|id| tables.routes.knows(id))
            && self.service.is_none_or(|id| tables.services.knows(id))
    }
}

impl Labels for UpstreamLabels {
    fn is_known(&self, tables: &Tables) -> bool {
        self.endpoint.is_known(tables)
    }
}

impl Labels for CopyLabels {
    fn is_known(&self, tables: &Tables) -> bool {
        self.service.is_known(tables)
    }
}

impl Labels for CheckLabels {
    fn is_known(&self, tables: &Tables) -> bool {
        tables.schemes.knows(self.scheme)
    }
}

/// Reasons are those of the program.
impl Labels for RetryLabels {
    fn is_known(&self, _: &Tables) -> bool {
        true
    }
}

impl Labels for EndpointId {
    fn is_known(&self, tables: &Tables) -> bool {
        tables.endpoints.knows(*self)
    }
}

impl Labels for ServiceId {
    fn is_known(&self, tables: &Tables) -> bool {
        tables.services.knows(*self)
    }
}

impl Labels for LimitId {
    fn is_known(&self, tables: &Tables) -> bool {
        tables.limits.knows(*self)
    }
}
