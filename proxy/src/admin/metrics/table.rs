//! Every metric there is: one line each. The page is written from it, and so a metric that does not stand
//! here cannot be written; configuration.md is compared with it.

use prometheus_client::metrics::MetricType;

/// A metric, without its numbers.
pub struct Described {
    /// In the page a counter's name has `_total` behind it.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Described {
    /// The name as the document has it.
    pub fn shown(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            Kind::Gauge | Kind::Histogram => self.name.to_owned(),
        }
    }
}

impl From<Kind> for MetricType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter,
            Kind::Gauge => Self::Gauge,
            Kind::Histogram => Self::Histogram,
        }
    }
}

macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) const $id: Described = Described {
            name: $name,
            help: $help,
            kind: Kind::$kind,
            labels: &[$($label),*],
        };)*

        /// All metrics.
        pub const METRICS: &[&Described] = &[$(&$id),*];
    };
}

metrics! {
    REQUESTS = Counter "proxy_requests" ["route", "service", "method", "code"] "Requests by outcome";
    DURATIONS = Histogram "proxy_request_duration_seconds" ["route", "service"]
        "From the request head to the last byte of the answer";
    BYTES_IN = Counter "proxy_request_bytes" ["route", "service"] "Body bytes read from clients";
    BYTES_OUT = Counter "proxy_response_bytes" ["route", "service"] "Body bytes given to clients";
    IN_FLIGHT = Gauge "proxy_requests_in_flight" [] "Requests that have begun and not ended";
    ERRORS = Counter "proxy_errors" ["reason"] "Failures answered by the proxy itself";
    TUNNELS_OPEN = Gauge "proxy_tunnels_open" [] "Connections that have switched protocols, now";
    TUNNELS = Counter "proxy_tunnels" [] "Connections that have switched protocols";

    ATTEMPTS = Counter "proxy_upstream_requests" ["service", "endpoint", "code"]
        "Attempts by endpoint and answer; code 0 without answer";
    CONNECTS = Histogram "proxy_upstream_connect_duration_seconds" ["service", "endpoint"]
        "Time to open a connection";
    UPSTREAM_CONNECTIONS = Gauge "proxy_upstream_connections" ["state"]
        "Open connections to endpoints";
    LOOKUPS = Counter "proxy_dns_lookups" ["result"] "Lookups of the names of endpoints";

    HEALTHY = Gauge "proxy_endpoint_healthy" ["service", "endpoint"]
        "1 if the endpoint may get requests: up, not ejected, its breaker not open";
    ENDPOINT_IN_FLIGHT = Gauge "proxy_endpoint_in_flight" ["service", "endpoint"]
        "Requests in flight to the endpoint";
    EJECTED = Gauge "proxy_endpoint_ejected" ["service", "endpoint"] "1 while the endpoint is ejected";
    EJECTIONS = Counter "proxy_endpoint_ejections" ["service", "endpoint", "cause"]
        "Times that the endpoint was ejected";
    BREAKERS = Gauge "proxy_breaker_state" ["service", "endpoint"] "0 closed, 1 half-open, 2 open";
    OPENS = Counter "proxy_breaker_opens" ["service", "endpoint"]
        "Times that the breaker has opened";
    CHECKS = Counter "proxy_health_checks" ["service", "endpoint", "result"] "Active checks";

    FAILED_OPEN = Counter "proxy_failed_open" ["service"]
        "Tries at ejected endpoints, because there were no others";
    SERVICE_IN_FLIGHT = Gauge "proxy_service_in_flight" ["service"]
        "Requests in flight to a service that limits them";
    SERVICE_LIMIT = Gauge "proxy_service_limit" ["service"]
        "Requests that a service may have in flight now";
    QUEUE_DEPTH = Gauge "proxy_queue_depth" ["service"]
        "Requests that wait for a place in a service";
    QUEUE_WAITS = Histogram "proxy_queue_wait_seconds" ["service"]
        "Time that requests have waited for a place in a service";
    BUDGET_LEFT = Gauge "proxy_retry_budget_left" ["service"]
        "Retries that may be made now, as of the last second";
    RETRIES = Counter "proxy_retries" ["reason"]
        "Tries after the first, by what the one before ended in";
    RETRIES_REFUSED = Counter "proxy_retries_refused" ["reason"]
        "Retries that the budget did not allow";
    COPIES = Counter "proxy_mirrored" ["service", "result"] "Copies of requests by result";

    AUTH = Counter "proxy_auth" ["scheme", "result"] "Checks of clients by scheme and result";
    KEY_FETCHES = Counter "proxy_jwks_fetches" ["scheme", "result"] "Fetches of key sets by result";
    RATE_LIMITED = Counter "proxy_rate_limited" ["limit"] "Requests that a rate limit has refused";
    GIVEN_UP = Counter "proxy_rate_limit_keys_given_up" ["limit"]
        "Keys whose requests were forgotten while they counted, as there were too many keys";
    STORE_ERRORS = Counter "proxy_rate_limit_store_errors" []
        "Requests that the store of shared rate limits has not decided on";

    CONNECTIONS = Gauge "proxy_connections" [] "Open client connections";
    REJECTED = Counter "proxy_connections_rejected" ["reason"]
        "Client connections that were not taken";
    HANDSHAKES = Counter "proxy_tls_handshakes" ["result", "version"]
        "TLS handshakes with clients by result and version";
    INVALID_NAMES = Counter "proxy_tls_invalid_server_names" []
        "TLS clients that named a server by what is no host name, and were served without";
    STREAMS = Counter "proxy_http2_streams" [] "Requests over HTTP/2";
    RESETS = Counter "proxy_http2_resets" ["by"]
        "Streams of HTTP/2 that were reset before their answer was complete";
    FLOODS = Counter "proxy_http2_floods" []
        "Connections of HTTP/2 that were ended because they sent too much for nothing";

    CERTIFICATE_ENDS = Gauge "proxy_tls_cert_not_after_seconds" ["listener", "certificate"]
        "When a certificate ends, in seconds since 1970; 0 while a placeholder serves";
    RELOADS = Counter "proxy_tls_reloads" ["result"]
        "Changed files of TLS that were loaded, or could not be used";
    ORDERS = Counter "proxy_acme_orders" ["result"] "Certificates ordered from the CA";
    STATE_FAILURES = Counter "proxy_acme_state_failures" []
        "Times that the folder of certificates, or a file in it, could not be used";

    LINES_DROPPED = Counter "proxy_access_log_dropped" []
        "Access lines lost because stdout did not take them";
    EVENTS_DROPPED = Counter "proxy_events_dropped" []
        "Events lost because stderr did not take them";
    BUILD = Gauge "proxy_build_info" ["version"] "The version that runs";
}
