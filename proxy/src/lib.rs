//! A reverse proxy and load balancer on actix-web and awc. See docs/architecture.md for the map.

pub mod admin;
pub mod auth;
pub mod balance;
pub mod bind;
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod forward;
pub mod framing;
pub mod gateway;
pub mod headers;
pub mod http1;
pub mod pipeline;
pub mod record;
pub mod reply;
pub mod request;
pub mod routing;
pub mod scratch;
pub mod server;
pub mod service;
pub mod telemetry;
pub mod upstream;
pub mod worker;
