//! End-to-end tests: the real proxy, the real mock backend and origins that misbehave on purpose,
//! over real sockets. One file a capability.

mod actions;
mod auth;
mod body_limits;
mod broken_framing;
mod cancellation;
mod cli;
mod clients;
mod config_cases;
mod demo;
mod demo_forwarding;
mod documents;
mod drain;
mod explain;
mod failures;
mod forwarded;
mod framing;
mod header_rules;
mod hop_by_hop;
mod large_bodies;
mod lengths;
mod metrics;
mod metrics_page;
mod named_services;
mod observability;
mod pooling;
mod request_ids;
mod routing;
mod routing_hosts;
mod signals;
mod starting;
mod streaming;
mod support;
mod variables;
mod wire_cases;
