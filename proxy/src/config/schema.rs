//! The JSON Schema of the file, for editors. These types only describe; reading is done by the
//! sections, and a test compares the keys of both.

// The fields exist for their names and documentation; no value of these types is ever made.
#![expect(dead_code)]

use std::collections::BTreeMap;

use schemars::{JsonSchema, schema_for};

/// The schema as indented JSON (draft 2020-12).
pub fn text() -> String {
    let schema = schema_for!(File);
    serde_json::to_string_pretty(&schema).expect("a schema is plain JSON")
}

/// Configuration of the proxy.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct File {
    /// Auth scheme of every route that names none, and of requests that match no route; "none"
    /// lets everybody in.
    #[schemars(default)]
    auth: Option<String>,
    #[schemars(default)]
    server: Option<Server>,
    #[schemars(default)]
    log: Option<Log>,
    /// Where traffic is taken; one on 0.0.0.0:8080 if there are none.
    #[schemars(default)]
    listeners: Option<Vec<Listener>>,
    #[schemars(default)]
    admin: Option<Admin>,
    #[schemars(default)]
    auth_schemes: Option<BTreeMap<String, AuthScheme>>,
    #[schemars(default)]
    routes: Option<Vec<Route>>,
    #[schemars(default)]
    services: Option<BTreeMap<String, Service>>,
}

/// What holds for the whole process.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Server {
    /// Worker threads, 1 to 512; by default one per core.
    #[schemars(default, range(min = 1, max = 512))]
    workers: Option<u64>,
    /// How long running requests may go on after a stop signal.
    #[schemars(default)]
    drain_timeout: Option<DurationText>,
    /// How long listeners stay open after /readyz has turned 503.
    #[schemars(default)]
    drain_delay: Option<DurationText>,
    /// Addresses and networks whose forwarding headers are believed; "unix": peers over sockets.
    #[schemars(default)]
    trusted_proxies: Option<Vec<String>>,
    /// Most connections of all clients together, 1 to 1000000; 20000 by default.
    #[schemars(default, range(min = 1, max = 1_000_000))]
    max_connections: Option<u64>,
    /// Most connections of one client address (IPv6: of one /64), or "off".
    #[schemars(default)]
    max_connections_per_client: Option<CountOrOff>,
    /// Largest request body: a size, or "unlimited".
    #[schemars(default)]
    max_body: Option<String>,
    /// Path that the proxy answers itself, without authentication.
    #[schemars(default)]
    health_path: Option<String>,
    /// From the first byte of a request head to its end; 10s by default.
    #[schemars(default)]
    header_timeout: Option<DurationText>,
    /// Between two requests of a connection; 75s by default.
    #[schemars(default)]
    idle_timeout: Option<DurationText>,
    /// For each KiB of a request body; 30s by default.
    #[schemars(default)]
    body_timeout: Option<DurationText>,
    /// For each KiB of a response that the client does not take; 30s by default.
    #[schemars(default)]
    write_timeout: Option<DurationText>,
    /// Largest request head, 64B to 128KiB; 32KiB by default.
    #[schemars(default)]
    max_header_bytes: Option<SizeText>,
    /// Most fields of a request, 1 to 100; 100 by default.
    #[schemars(default, range(min = 1, max = 100))]
    max_headers: Option<u64>,
    /// Longest request target, 64B to 128KiB; 8KiB by default.
    #[schemars(default)]
    max_uri: Option<SizeText>,
    /// What %2F in a path means: data, or 400.
    #[schemars(default)]
    encoded_slash: Option<EncodedSlash>,
    /// Whether dot segments in a path are resolved, or 400.
    #[schemars(default)]
    dot_segments: Option<DotSegments>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum EncodedSlash {
    Keep,
    Reject,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum DotSegments {
    Resolve,
    Reject,
}

/// The access log on stdout and the events on stderr.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Log {
    /// Events that are logged.
    #[schemars(default)]
    level: Option<LogLevel>,
    /// How events are logged.
    #[schemars(default)]
    format: Option<LogFormat>,
    /// Whether each request is logged on stdout.
    #[schemars(default)]
    access: Option<bool>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum LogFormat {
    Json,
    Text,
}

/// An address where traffic is taken.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Listener {
    /// Address and port, port 0 takes a free one; or "unix:" and the path of a socket.
    bind: String,
    /// Permissions of the socket file in octal; those of the umask by default.
    #[schemars(default)]
    mode: Option<ModeText>,
    /// Whether each connection must begin with a PROXY header, version 1 or 2.
    #[schemars(default)]
    proxy_protocol: Option<bool>,
}

/// The admin listener: /livez, /readyz and /metrics.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Admin {
    /// Address and port, or "unix:" and a path; what other machines can reach needs a token.
    #[schemars(default)]
    bind: Option<String>,
    /// Permissions of the socket file in octal; those of the umask by default.
    #[schemars(default)]
    mode: Option<ModeText>,
    /// Asked for as a bearer token.
    #[schemars(default)]
    token: Option<String>,
}

/// A way for clients to prove who they are.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct AuthScheme {
    #[schemars(rename = "type")]
    kind: AuthType,
    /// Tokens that are let in, each 8 characters or more.
    #[schemars(length(min = 1))]
    tokens: Vec<String>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum AuthType {
    Bearer,
}

/// Which requests a route takes, and one of "service", "redirect" and "respond".
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Route {
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
    /// Path for the upstream, after the endpoint's own.
    #[schemars(default)]
    rewrite: Option<String>,
    #[schemars(default)]
    redirect: Option<Redirect>,
    #[schemars(default)]
    respond: Option<Respond>,
    /// Name of an auth scheme, or "none".
    #[schemars(default)]
    auth: Option<String>,
    /// Changes to the fields of requests.
    #[schemars(default)]
    request_headers: Option<HeaderRules>,
    /// Changes to the fields of responses.
    #[schemars(default)]
    response_headers: Option<HeaderRules>,
    /// Largest request body: a size, or "unlimited".
    #[schemars(default)]
    max_body: Option<String>,
    /// Instead of the service's.
    #[schemars(default)]
    timeouts: Option<Timeouts>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// Sends the client elsewhere.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Redirect {
    /// Target, with placeholders of the path; the query is kept.
    to: String,
    /// 301, 302, 303, 307 or 308; 308 by default.
    #[schemars(default)]
    status: Option<u16>,
}

/// Answers without an upstream.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Respond {
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
struct HeaderRules {
    #[schemars(default)]
    set: Option<BTreeMap<String, String>>,
    #[schemars(default)]
    add: Option<BTreeMap<String, String>>,
    #[schemars(default)]
    remove: Option<Vec<String>>,
}

/// A named group of endpoints.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Service {
    /// URLs such as http://10.0.0.1:8000/base or unix:/run/app.sock:/base.
    #[schemars(length(min = 1))]
    endpoints: Vec<String>,
    /// How an endpoint is chosen.
    #[schemars(default)]
    balance: Option<Balance>,
    /// What the Host field says: "preserve" (what the client sent), "endpoint", or a name.
    #[schemars(default)]
    host: Option<String>,
    #[schemars(default)]
    timeouts: Option<Timeouts>,
    /// Connections that have switched protocols, such as WebSocket.
    #[schemars(default)]
    tunnel: Option<Tunnel>,
    /// Largest response head, 1KiB to 16MiB.
    #[schemars(default)]
    max_response_header_bytes: Option<SizeText>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Balance {
    Random,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Timeouts {
    /// Handshake of one connection, and the first lookup of a name; 1s by default.
    #[schemars(default)]
    connect: Option<DurationText>,
    /// From the request sent to the end of the response head; 60s by default.
    #[schemars(default)]
    response: Option<DurationText>,
    /// Between two bytes, while the endpoint is waited for; 60s by default.
    #[schemars(default)]
    idle: Option<DurationText>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Tunnel {
    /// Without a byte in either direction; 5m by default.
    #[schemars(default)]
    idle: Option<DurationText>,
    /// In all, or "off", the default.
    #[schemars(default)]
    lifetime: Option<String>,
}

/// A whole number and ms, s, m or h.
#[derive(JsonSchema)]
struct DurationText(#[schemars(regex(pattern = r"^[0-9]+(ms|s|m|h)$"))] String);

/// A whole number and B, KiB, MiB or GiB.
#[derive(JsonSchema)]
struct SizeText(#[schemars(regex(pattern = r"^[0-9]+(B|KiB|MiB|GiB)$"))] String);

/// Permissions in octal.
#[derive(JsonSchema)]
struct ModeText(#[schemars(regex(pattern = r"^0?[0-7]{3}$"))] String);

#[derive(JsonSchema)]
#[schemars(untagged)]
enum CountOrOff {
    Count(#[schemars(range(min = 1, max = 1_000_000))] u64),
    Off(Off),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Off {
    Off,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::config::Config;

    /// The keys that the reader asks for in a table, from its complaint about one it does not know.
    fn read_keys(text: &str) -> Vec<String> {
        let errors = Config::load(text, "test", &|_| None).expect_err("has an unknown key");
        let unknown = errors.iter().find(|error| error.message.starts_with("unknown key"));
        let hint = unknown.and_then(|error| error.hint.clone()).expect("names the known keys");
        let mut keys: Vec<String> =
            hint.trim_start_matches("known: ").split(", ").map(str::to_owned).collect();
        keys.sort();
        keys
    }

    fn schema_keys(schema: &Value, of: &str) -> Vec<String> {
        let table = match of {
            "" => schema,
            of => &schema["$defs"][of],
        };
        let properties = table["properties"].as_object().expect("is an object");
        let mut keys: Vec<String> = properties.keys().cloned().collect();
        keys.sort();
        keys
    }

    #[test]
    fn the_schema_has_the_keys_that_are_read() {
        let schema: Value = serde_json::from_str(&text()).expect("is JSON");
        let route = "[[routes]]\nrespond = { status = 200 }\n";
        let service = "[services.x]\nendpoints = [\"http://a\"]\n";
        for (of, file) in [
            ("", "zzzzzzzz = 1".to_owned()),
            ("Server", "[server]\nzzzzzzzz = 1".to_owned()),
            ("Log", "[log]\nzzzzzzzz = 1".to_owned()),
            ("Listener", "[[listeners]]\nbind = \"127.0.0.1:0\"\nzzzzzzzz = 1".to_owned()),
            ("Admin", "[admin]\nzzzzzzzz = 1".to_owned()),
            (
                "AuthScheme",
                "[auth_schemes.x]\ntype = \"bearer\"\ntokens = [\"12345678\"]\nzzzzzzzz = 1"
                    .to_owned(),
            ),
            ("Route", format!("{route}zzzzzzzz = 1")),
            ("Redirect", "[[routes]]\nredirect = { to = \"/\", zzzzzzzz = 1 }".to_owned()),
            ("Respond", "[[routes]]\nrespond = { zzzzzzzz = 1 }".to_owned()),
            ("HeaderRules", format!("{route}request_headers = {{ zzzzzzzz = 1 }}")),
            ("Service", format!("{service}zzzzzzzz = 1")),
            ("Timeouts", format!("{service}timeouts = {{ zzzzzzzz = 1 }}")),
            ("Tunnel", format!("{service}tunnel = {{ zzzzzzzz = 1 }}")),
        ] {
            assert_eq!(schema_keys(&schema, of), read_keys(&file), "{of}");
        }
    }
}
