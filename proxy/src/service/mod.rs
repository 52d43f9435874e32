//! A service: a named group of endpoints, and which of them a request goes to.

use actix_http::header::HeaderValue;
use rand::rngs::SmallRng;

use crate::{
    balance::{self, Balancer},
    config::{EndpointAddress, EndpointUrl, ServiceConfig, Timeouts, TunnelLimits, UpstreamHost},
    record::Index,
};

pub struct Service {
    pub name: String,
    pub index: Index,
    pub host: UpstreamHost,
    pub timeouts: Timeouts,
    pub tunnel: TunnelLimits,
    /// Bound on a response head, in bytes.
    pub response_head_bytes: usize,
    /// Never empty.
    endpoints: Vec<Endpoint>,
    balancer: Box<dyn Balancer>,
}

/// One address of a service.
pub struct Endpoint {
    /// Among all endpoints of the gateway.
    pub index: Index,
    /// As written in the configuration.
    pub url: String,
    /// What is dialled.
    pub address: EndpointAddress,
    /// What `Host` says for `host = "endpoint"`.
    pub authority: HeaderValue,
    /// Put before every path.
    pub base: String,
}

impl Service {
    /// `first_endpoint` is the index of its first endpoint among all.
    pub fn new(index: Index, first_endpoint: Index, config: &ServiceConfig) -> Self {
        let endpoints = config.endpoints.iter().zip(first_endpoint..);
        Self {
            name: config.name.clone(),
            index,
            host: config.host.clone(),
            timeouts: config.timeouts,
            tunnel: config.tunnel,
            response_head_bytes: config.max_response_header_bytes,
            endpoints: endpoints.map(|(url, index)| Endpoint::new(index, url)).collect(),
            balancer: balance::build(config.balance),
        }
    }

    /// The endpoint for the next attempt.
    pub fn pick(&self, rng: &mut SmallRng) -> &Endpoint {
        &self.endpoints[self.balancer.choose(&self.endpoints, rng)]
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

impl Endpoint {
    pub fn new(index: Index, url: &EndpointUrl) -> Self {
        Self {
            index,
            url: url.url.clone(),
            address: url.address.clone(),
            authority: url.authority.clone(),
            base: url.base.clone(),
        }
    }
}
