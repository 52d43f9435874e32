//! `[services.…]`: endpoints, balancing and time. See `resilience.rs` for the other tables.

use schemars::JsonSchema;

use super::{
    resilience::{Breaker, Health, Limits, Outlier, Retry},
    text::{DurationOrOff, DurationText, SizeOrOff, SizeText},
    tls::UpstreamTls,
};

/// A named group of endpoints.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Service {
    #[schemars(length(min = 1))]
    endpoints: Vec<Endpoint>,
    /// How an endpoint is chosen; at random by default.
    #[schemars(default)]
    balance: Option<Balance>,
    /// How long an endpoint that has become eligible gets less than its share; "off" by default.
    #[schemars(default)]
    slow_start: Option<DurationOrOff>,
    /// What the Host field says: "preserve" (what the client sent), "endpoint", or a name.
    #[schemars(default)]
    host: Option<String>,
    /// Longest request body that is read whole and sent with its length, 1B to 16MiB; "off" by default.
    #[schemars(default)]
    buffer_request: Option<SizeOrOff>,
    #[schemars(default)]
    timeouts: Option<Timeouts>,
    /// Connections that wait for their next request.
    #[schemars(default)]
    pool: Option<Pool>,
    /// Connections that have switched protocols, such as WebSocket.
    #[schemars(default)]
    tunnel: Option<Tunnel>,
    /// Largest response head, 1KiB to 16MiB.
    #[schemars(default)]
    max_response_header_bytes: Option<SizeText>,
    /// Most fields of a response head, 16 to 65536; 1000 by default.
    #[schemars(default, range(min = 16, max = 65_536))]
    max_response_headers: Option<u32>,
    /// When an attempt is followed by another; on by default.
    #[schemars(default)]
    retry: Option<Retry>,
    /// When an endpoint that fails requests is ejected for a while; on by default.
    #[schemars(default)]
    outlier: Option<Outlier>,
    /// Active checks of the endpoints; off if absent.
    #[schemars(default)]
    health: Option<Health>,
    /// When the circuit to an endpoint opens; off if absent.
    #[schemars(default)]
    breaker: Option<Breaker>,
    /// How many requests the service gets at once; off if absent.
    #[schemars(default)]
    limits: Option<Limits>,
    /// For endpoints with https.
    #[schemars(default)]
    tls: Option<UpstreamTls>,
}

/// A URL such as http://10.0.0.1:8000/base, https://api.example.com or unix:/run/app.sock:/base, or
/// a table that says more.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Endpoint {
    Url(String),
    Table(EndpointTable),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct EndpointTable {
    url: String,
    /// Share of the requests beside the others', 1 to 1000; 1 by default.
    #[schemars(default, range(min = 1, max = 1000))]
    weight: Option<u32>,
    /// Whether it gets requests only while no other endpoint can.
    #[schemars(default)]
    backup: Option<bool>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Balance {
    Word(BalanceWord),
    Hash(HashBalance),
    Sticky(StickyBalance),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(super) enum BalanceWord {
    Random,
    RoundRobin,
    LeastRequests,
    #[schemars(rename = "p2c_ewma")]
    P2cEwma,
}

/// Requests with the same key go to the same endpoint.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct HashBalance {
    /// "client_ip", "header:x-user" or "cookie:sid".
    #[schemars(regex(pattern = r"^(client_ip|header:.+|cookie:.+)$"))]
    hash: String,
}

/// A cookie of the proxy's own brings clients back to their endpoint.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct StickyBalance {
    /// Name of the cookie.
    sticky: String,
    /// Signs the cookie; 16 bytes or more.
    #[schemars(length(min = 16))]
    secret: String,
    /// "lax", the default, "strict" or "none", which is Secure always.
    #[schemars(default)]
    same_site: Option<SameSite>,
    /// How long browsers keep it, 1s to 9600h; until they end by default.
    #[schemars(default)]
    max_age: Option<DurationText>,
    /// The hosts that get it; the one asked alone by default.
    #[schemars(default)]
    domain: Option<String>,
    /// The paths that get it; "/" by default.
    #[schemars(default, regex(pattern = r"^/[!-:<-~]*$"))]
    path: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum SameSite {
    Lax,
    Strict,
    None,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Timeouts {
    /// Handshakes of one connection, TCP and TLS, and the first lookup of a name; 1s by default.
    #[schemars(default)]
    connect: Option<DurationText>,
    /// From the request sent to the end of the response head; 60s by default.
    #[schemars(default)]
    response: Option<DurationText>,
    /// Between two bytes, while the endpoint is waited for; 60s by default.
    #[schemars(default)]
    idle: Option<DurationText>,
    /// For the whole request with all its attempts, or "off", the default.
    #[schemars(default)]
    total: Option<DurationOrOff>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Pool {
    /// After this time since it was opened a connection takes no further request, or "off"; 1h by
    /// default.
    #[schemars(default)]
    max_age: Option<DurationOrOff>,
    /// How long a connection is kept without a request; 60s by default.
    #[schemars(default)]
    idle: Option<DurationText>,
    /// Most idle connections that a worker keeps to an endpoint, 0 to 65536; 1024 by default.
    #[schemars(default, range(min = 0, max = 65_536))]
    max_idle: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Tunnel {
    /// Without a byte in either direction; 5m by default.
    #[schemars(default)]
    idle: Option<DurationText>,
    /// In all, or "off", the default.
    #[schemars(default)]
    lifetime: Option<DurationOrOff>,
}
