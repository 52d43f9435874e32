//! `[[routes]]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::{
    resilience::RouteRetry,
    server::UnsafeBytes,
    text::{DurationOrOff, DurationText, OneOrMore, SizeText},
    trust::{Cors, SecurityHeadersOrSwitch},
};

/// Which requests a route takes, and one of "service", "split", "redirect" and
/// "respond".
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Route {
    /// Name in logs and metrics; route-1, route-2, … by default.
    #[schemars(default)]
    name: Option<String>,
    /// Hosts without port; "*.example.com" for all below example.com. Any host by default.
    #[schemars(default)]
    host: Option<OneOrMore>,
    /// Paths with {name} and {*rest} in them. Any path by default.
    #[schemars(default)]
    path: Option<OneOrMore>,
    /// Any method by default.
    #[schemars(default)]
    methods: Option<OneOrMore>,
    /// Fields that must be there with just this value.
    #[schemars(default)]
    headers: Option<BTreeMap<String, String>>,
    /// Name of a service, or a placeholder of the path that holds it.
    #[schemars(default)]
    service: Option<String>,
    /// Services that share the requests by weight.
    #[schemars(default, length(min = 2, max = 16))]
    split: Option<Vec<Split>>,
    /// A service that gets copies of the requests; its answers are dropped.
    #[schemars(default)]
    mirror: Option<Mirror>,
    /// Path for the upstream, after the endpoint's own.
    #[schemars(default)]
    rewrite: Option<String>,
    #[schemars(default)]
    redirect: Option<Redirect>,
    #[schemars(default)]
    respond: Option<Respond>,
    /// What the client must be allowed; needs "auth".
    #[schemars(default)]
    require: Option<super::auth::Require>,
    /// Name of an auth scheme, or "none".
    #[schemars(default)]
    auth: Option<String>,
    /// Names of rate limits, 8 at most, in the order in which they are asked.
    #[schemars(default)]
    rate_limits: Option<OneOrMore>,
    /// Addresses and networks of clients that are let in; all others get 403.
    #[schemars(default, length(min = 1))]
    allow_clients: Option<Vec<String>>,
    /// Addresses and networks of clients that get 403, before "allow_clients".
    #[schemars(default)]
    deny_clients: Option<Vec<String>>,
    /// Pages of which other origins may read the answers.
    #[schemars(default)]
    cors: Option<Cors>,
    /// Instead of the top level's.
    #[schemars(default)]
    security_headers: Option<SecurityHeadersOrSwitch>,
    /// Changes to the fields of requests.
    #[schemars(default)]
    request_headers: Option<HeaderRules>,
    /// Changes to the fields of responses.
    #[schemars(default)]
    response_headers: Option<HeaderRules>,
    /// Largest request body: a size, or "unlimited"; the server's by default.
    #[schemars(default)]
    max_body: Option<String>,
    /// What happens to a path with a backslash or an encoded control character; the server's by
    /// default.
    #[schemars(default)]
    unsafe_bytes: Option<UnsafeBytes>,
    /// Instead of the service's.
    #[schemars(default)]
    timeouts: Option<RouteTimeouts>,
    /// Instead of the service's.
    #[schemars(default)]
    retry: Option<RouteRetry>,
}

/// As of a service; the service's by default.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RouteTimeouts {
    /// Handshakes of one connection, TCP and TLS, and the first lookup of a name.
    #[schemars(default)]
    connect: Option<DurationText>,
    /// From the request sent to the end of the response head.
    #[schemars(default)]
    response: Option<DurationText>,
    /// Between two bytes, while the endpoint is waited for.
    #[schemars(default)]
    idle: Option<DurationText>,
    /// For the whole request with all its attempts, or "off".
    #[schemars(default)]
    total: Option<DurationOrOff>,
}

/// One of several services.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Split {
    service: String,
    /// Share of the requests beside the others', 0 to 1000; 1 by default.
    #[schemars(default, range(min = 0, max = 1000))]
    weight: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Mirror {
    service: String,
    /// How many of the requests are copied, 1 to 100; all by default.
    #[schemars(default, range(min = 1, max = 100))]
    percent: Option<u8>,
    /// Longest request body that is copied, up to 16MiB; 64KiB by default.
    #[schemars(default)]
    body_limit: Option<SizeText>,
}

/// Sends the client elsewhere.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Redirect {
    /// Target, with placeholders of the path; the query is kept.
    to: String,
    /// 301, 302, 303, 307 or 308; 308 by default.
    #[schemars(default)]
    status: Option<u16>,
}

/// Answers without an upstream.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Respond {
    /// 200 to 599; 200 by default.
    #[schemars(default, range(min = 200, max = 599))]
    status: Option<u16>,
    #[schemars(default)]
    body: Option<String>,
    /// text/plain; charset=utf-8 by default.
    #[schemars(default)]
    content_type: Option<String>,
}

/// Removed first, then set, then added.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct HeaderRules {
    #[schemars(default)]
    set: Option<BTreeMap<String, String>>,
    #[schemars(default)]
    add: Option<BTreeMap<String, String>>,
    #[schemars(default)]
    remove: Option<Vec<String>>,
}
