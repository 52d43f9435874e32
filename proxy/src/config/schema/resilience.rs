//! What services do about failures and too many requests: `retry`, `outlier`, `health`, `breaker`
//! and `limits`.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::text::{CountOrOff, DurationText, Off, RunOrOff, SizeText};

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Retry {
    /// Tries in all, 1 to 10; 2 by default. 1: no retries.
    #[schemars(default, range(min = 1, max = 10))]
    attempts: Option<u32>,
    /// Outcomes that are followed by another try; "connect" by default.
    #[schemars(default)]
    on: Option<RetryCauses>,
    /// Requests that may be sent again; idempotent ones by default.
    #[schemars(default)]
    methods: Option<RetryMethods>,
    /// Most retries, in percent of the requests of the service; 20 by default.
    #[schemars(default, range(min = 0, max = 100))]
    budget: Option<u8>,
    /// Longest request body that is kept for another try, up to 16MiB; 64KiB by default.
    #[schemars(default)]
    body_limit: Option<SizeText>,
    /// Wait before the second try; 25ms by default.
    #[schemars(default)]
    backoff: Option<DurationText>,
}

/// As of a service, but for the budget, which all its routes share; the service's by default.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RouteRetry {
    /// Tries in all, 1 to 10; 1: no retries.
    #[schemars(default, range(min = 1, max = 10))]
    attempts: Option<u32>,
    /// Outcomes that are followed by another try.
    #[schemars(default)]
    on: Option<RetryCauses>,
    /// Requests that may be sent again.
    #[schemars(default)]
    methods: Option<RetryMethods>,
    /// Longest request body that is kept for another try, up to 16MiB.
    #[schemars(default)]
    body_limit: Option<SizeText>,
    /// Wait before the second try.
    #[schemars(default)]
    backoff: Option<DurationText>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum RetryCauses {
    One(RetryCause),
    More(#[schemars(length(min = 1))] Vec<RetryCause>),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum RetryCause {
    /// No connection could be opened.
    Connect,
    /// The connection broke before the response head.
    Reset,
    /// No response head came in time.
    Timeout,
    #[schemars(rename = "502")]
    BadGateway,
    #[schemars(rename = "503")]
    ServiceUnavailable,
    #[schemars(rename = "504")]
    GatewayTimeout,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum RetryMethods {
    Word(RetryMethodsWord),
    List(#[schemars(length(min = 1))] Vec<String>),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum RetryMethodsWord {
    Idempotent,
    Any,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Outlier {
    /// Failures in a row, transport errors and 5xx, that eject an endpoint, or "off"; 5 by default.
    #[schemars(default)]
    consecutive_failures: Option<RunOrOff>,
    /// How long the first ejection lasts; further ones are longer. 10s by default.
    #[schemars(default)]
    ejection: Option<DurationText>,
    /// Most endpoints that may be out at once, in percent; 50 by default.
    #[schemars(default, range(min = 0, max = 100))]
    max_ejected: Option<u8>,
    /// The least share of good answers in percent over the window, or "off", the default.
    #[schemars(default)]
    success_rate: Option<PercentOrOff>,
    /// 1s to 5m; 10s by default.
    #[schemars(default)]
    window: Option<DurationText>,
    /// Fewer requests in the window say nothing of the success rate; 20 by default.
    #[schemars(default, range(min = 1, max = 1_000_000))]
    min_requests: Option<u32>,
    /// Whether a run of 5xx ejects that only one client has seen; false by default.
    #[schemars(default)]
    one_client: Option<bool>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum PercentOrOff {
    Percent(#[schemars(range(min = 1, max = 100))] u8),
    Off(Off),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Health {
    /// "http", the default: a GET is answered; "tcp": a connection is taken.
    #[schemars(default, rename = "type")]
    kind: Option<HealthType>,
    /// Put behind the endpoint's own; may have a query. /health by default.
    #[schemars(default)]
    path: Option<String>,
    /// Statuses that pass, such as "200,204-206"; 200-399 by default.
    #[schemars(
        default,
        regex(pattern = r"^ *[2-5]\d\d(-[2-5]\d\d)? *(, *[2-5]\d\d(-[2-5]\d\d)? *)*$")
    )]
    status: Option<String>,
    /// A text that must occur in the first 64KiB of the response body.
    #[schemars(default, length(min = 1))]
    body: Option<String>,
    /// What the Host field says; by default what it says to the requests of the service.
    #[schemars(default)]
    host: Option<String>,
    /// Further fields of the GET.
    #[schemars(default)]
    headers: Option<BTreeMap<String, String>>,
    /// From one check to the next, 10ms or more; 5s by default.
    #[schemars(default)]
    interval: Option<DurationText>,
    /// For one check, not longer than the interval; 1s by default, or the interval if that is shorter.
    #[schemars(default)]
    timeout: Option<DurationText>,
    /// Checks in a row that must pass before an endpoint is up again, 1 to 1000; 2 by default.
    #[schemars(default, range(min = 1, max = 1000))]
    healthy: Option<u32>,
    /// Checks in a row that must fail before an endpoint is down, 1 to 1000; 3 by default.
    #[schemars(default, range(min = 1, max = 1000))]
    unhealthy: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum HealthType {
    Http,
    Tcp,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Breaker {
    /// Failures by requests over the window that open the circuit; 0.5 by default.
    #[schemars(default, extend("exclusiveMinimum" = 0), range(max = 1))]
    failure_ratio: Option<f64>,
    /// 1s to 5m; 10s by default.
    #[schemars(default)]
    window: Option<DurationText>,
    /// Fewer requests in the window open nothing; 20 by default.
    #[schemars(default, range(min = 1, max = 1_000_000))]
    min_requests: Option<u32>,
    /// How long the circuit stays open before a request is tried; 5s by default.
    #[schemars(default)]
    open: Option<DurationText>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Limits {
    /// Most requests in flight, or "off", the default. The ceiling if "adaptive" is on.
    #[schemars(default)]
    max_in_flight: Option<CountOrOff>,
    /// Most requests that wait for a place, 0 to 65536; 128 by default.
    #[schemars(default, range(min = 0, max = 65_536))]
    queue: Option<u32>,
    /// How long a request waits for a place; 1s by default.
    #[schemars(default)]
    queue_timeout: Option<DurationText>,
    /// Most connections to each endpoint, or "off", the default.
    #[schemars(default)]
    max_connections_per_endpoint: Option<CountOrOff>,
    /// Whether the limit of requests in flight follows the latency; false by default.
    #[schemars(default)]
    adaptive: Option<bool>,
}
