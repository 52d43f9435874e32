//! `[server]`, `[log]`, `[[listeners]]` and `[admin]`.

use schemars::JsonSchema;

use super::{
    text::{CountOrOff, DurationText, ModeText, PortOrOff, SecretText, SizeText},
    tls::ListenerTls,
};

/// What holds for the whole process.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Server {
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
    /// Whether `Forwarded` is believed and written, and `X-Forwarded-*` not believed; false by default.
    #[schemars(default)]
    forwarded: Option<bool>,
    /// Most connections of all clients together, 1 to 1000000; by default 20000, or as
    /// many as the limit of open files has room for.
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
    /// Longest request target, 64B to 65534B; 8KiB by default.
    #[schemars(default)]
    max_uri: Option<SizeText>,
    /// Of request bodies over HTTP/2, what one connection may have in flight, 1MiB to 256MiB; 8MiB by
    /// default.
    #[schemars(default)]
    max_http2_window: Option<SizeText>,
    /// What %2F in a path means: data, or 400.
    #[schemars(default)]
    encoded_slash: Option<EncodedSlash>,
    /// Whether dot segments in a path are resolved, or 400.
    #[schemars(default)]
    dot_segments: Option<DotSegments>,
    /// What happens to a path with a backslash or an encoded control character: nothing, or 400.
    #[schemars(default)]
    unsafe_bytes: Option<UnsafeBytes>,
    /// What happens to a path that a server may read as one that another route guards: 400, or nothing.
    #[schemars(default)]
    ambiguous_paths: Option<AmbiguousPaths>,
    /// How names of fields are written to endpoints.
    #[schemars(default)]
    headers: Option<Headers>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Headers {
    /// Names that no HTTP/1.1 client has spelled: "title", the default, or "lower".
    #[schemars(default)]
    case: Option<NameCase>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum NameCase {
    Title,
    Lower,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum EncodedSlash {
    Keep,
    Reject,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum UnsafeBytes {
    Keep,
    Reject,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum DotSegments {
    Resolve,
    Reject,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum AmbiguousPaths {
    Reject,
    Keep,
}

/// The access log on stdout and the events on stderr.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Log {
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
pub(super) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum LogFormat {
    Json,
    Text,
}

/// An address where traffic is taken.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Listener {
    /// Address and port, port 0 takes a free one; or "unix:" and the path of a socket.
    bind: String,
    /// Permissions of the socket file in octal; those of the umask by default.
    #[schemars(default)]
    mode: Option<ModeText>,
    /// Whether each connection must begin with a PROXY header, version 1 or 2.
    #[schemars(default)]
    proxy_protocol: Option<bool>,
    /// Whether HTTP/2 is spoken: by ALPN with "tls", by prior knowledge without; true by default.
    #[schemars(default)]
    http2: Option<bool>,
    /// Port that clients are redirected to with https, or "off", the default; not with "tls".
    #[schemars(default)]
    https_redirect: Option<PortOrOff>,
    /// Off if absent.
    #[schemars(default)]
    tls: Option<ListenerTls>,
}

/// The admin listener: /livez, /readyz and /metrics.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Admin {
    /// Address and port, or "unix:" and a path; what other machines can reach needs a token.
    #[schemars(default)]
    bind: Option<String>,
    /// Permissions of the socket file in octal; those of the umask by default.
    #[schemars(default)]
    mode: Option<ModeText>,
    /// Asked for as a bearer token, but for /livez and /readyz.
    #[schemars(default)]
    token: Option<SecretText>,
}
