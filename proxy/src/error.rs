//! Every failure the proxy itself can answer, in one table. This file alone knows their status
//! codes; `docs/errors.md` is checked against it.
//!
//! A `Reason` is what clients, logs and metrics see. A `ProxyError` also keeps the cause, for the
//! log only: what an upstream or a parser said never reaches a client.

use std::{error::Error as StdError, fmt, io};

use actix_http::{StatusCode, header::HeaderValue};
use rustix::io::Errno;

macro_rules! reasons {
    ($( $(#[$doc:meta])* $variant:ident = $status:literal, $word:literal, $token:literal, $message:literal; )*) => {
        /// Why a request failed. The word is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $( $(#[$doc])* $variant, )* }

        impl Reason {
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The word in `Proxy-Status`, in the access log and in metrics.
            pub const fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }

            /// The status answered; 499 stands in the log only.
            pub fn status(self) -> StatusCode {
                let status: u16 = match self { $( Self::$variant => $status, )* };
                StatusCode::from_u16(status).expect("the table holds statuses from 100 to 999")
            }

            /// The error type of RFC 9209 section 2.3.
            pub const fn error_type(self) -> &'static str {
                match self { $( Self::$variant => $token, )* }
            }

            /// The text for the client.
            pub const fn message(self) -> &'static str {
                match self { $( Self::$variant => $message, )* }
            }

            /// The `Proxy-Status` field (RFC 9209).
            pub fn proxy_status(self) -> HeaderValue {
                HeaderValue::from_static(match self {
                    $( Self::$variant => concat!("proxy; error=", $token, "; details=\"", $word, "\""), )*
                })
            }

            /// The JSON body, where the message is fixed.
            pub const fn body(self) -> &'static str {
                match self { $( Self::$variant => concat!("{\"message\": \"", $message, "\"}"), )* }
            }
        }
    };
}

reasons! {
    /// The request is not one that HTTP allows.
    BadRequest = 400, "bad_request", "http_request_error", "Bad request";
    /// No credentials, or wrong ones.
    NotAuthenticated = 401, "not_authenticated", "http_request_denied", "Not authenticated";
    /// The client is known, or at least its address is, and it may not.
    Forbidden = 403, "forbidden", "http_request_denied", "Forbidden";
    /// No route takes the request.
    NoRoute = 404, "no_route", "destination_not_found", "Not found";
    /// The path names a service that does not exist.
    UnknownService = 404, "unknown_service", "destination_not_found", "Service not found";
    /// A route takes the path, but not the method.
    MethodNotAllowed = 405, "method_not_allowed", "http_request_error", "Method not allowed";
    /// The client took too long over its request.
    RequestTimeout = 408, "request_timeout", "http_request_error", "Request timeout";
    /// The body is larger than `max_body`; or than `buffer_request`, and has no length.
    BodyTooLarge = 413, "body_too_large", "http_request_error", "Body too large";
    /// The target is longer than `max_uri`.
    UriTooLong = 414, "uri_too_long", "http_request_error", "URI too long";
    /// The connection was made to another server than the request is for.
    Misdirected = 421, "misdirected", "http_request_error", "Misdirected request";
    /// The client has made as many requests as it may, or too many wrong guesses.
    RateLimited = 429, "rate_limited", "http_request_denied", "Too many requests";
    /// The client's connection was ended: it has sent too much for nothing.
    Flooded = 429, "flooded", "-", "Too much for nothing";
    /// The head is larger than `max_header_bytes`, or has more fields than `max_headers`.
    HeadersTooLarge = 431, "headers_too_large", "http_request_error", "Headers too large";
    /// The client left before the answer was complete.
    ClientClosed = 499, "client_closed", "-", "Client closed the connection";
    /// The client did not take the answer within `write_timeout`.
    WriteTimeout = 499, "write_timeout", "-", "Client too slow";
    /// The body has a transfer coding beside `chunked`.
    NotImplemented = 501, "not_implemented", "http_request_error", "Not implemented";
    /// The endpoint could not be reached.
    ConnectFailed = 502, "connect_failed", "connection_refused", "Bad gateway";
    /// Nothing listens on the endpoint's port or Unix socket.
    ConnectionRefused = 502, "connection_refused", "connection_refused", "Bad gateway";
    /// The endpoint closed the connection before the response was complete.
    UpstreamReset = 502, "upstream_reset", "connection_terminated", "Bad gateway";
    /// TLS with the endpoint did not come about, or was ended by an alert.
    UpstreamTls = 502, "upstream_tls", "tls_protocol_error", "Bad gateway";
    /// The endpoint answered something that is not HTTP/1.
    UpstreamProtocol = 502, "upstream_protocol", "http_protocol_error", "Bad gateway";
    /// The endpoint's name has no address.
    NameUnresolved = 502, "name_unresolved", "dns_error", "Bad gateway";
    /// There are as many client connections as there may be.
    TooManyConnections = 503, "too_many_connections", "connection_limit_reached", "Too many connections";
    /// The system has no more files, ports or memory for the proxy. Nobody else is to blame for it.
    OutOfResources = 503, "out_of_resources", "proxy_internal_error", "Service unavailable";
    /// No endpoint of the service is up.
    NoEligibleEndpoint = 503, "no_eligible_endpoint", "destination_unavailable", "Service unavailable";
    /// The breakers of all endpoints that are up are open.
    CircuitOpen = 503, "circuit_open", "destination_unavailable", "Service unavailable";
    /// As many requests as may wait for a place wait already.
    QueueFull = 503, "queue_full", "connection_limit_reached", "Service unavailable";
    /// `limits.queue_timeout` passed in the queue.
    QueueTimeout = 503, "queue_timeout", "connection_limit_reached", "Service unavailable";
    /// Who must be asked about the client does not answer, or too many questions are waiting.
    AuthUnavailable = 503, "auth_unavailable", "destination_unavailable", "Service unavailable";
    /// Limits are shared, where they are kept does not answer, and `on_failure` is "deny".
    RateLimitUnavailable = 503, "rate_limit_unavailable", "destination_unavailable", "Service unavailable";
    /// `timeouts.connect` passed.
    ConnectTimeout = 504, "connect_timeout", "connection_timeout", "Gateway timeout";
    /// `timeouts.response` passed.
    ResponseTimeout = 504, "response_timeout", "http_response_timeout", "Gateway timeout";
    /// `timeouts.idle` or `tunnel.idle` passed without a byte.
    IdleTimeout = 504, "idle_timeout", "http_response_timeout", "Gateway timeout";
    /// `timeouts.total` or `tunnel.lifetime` passed.
    TotalTimeout = 504, "total_timeout", "http_response_timeout", "Gateway timeout";
    /// The request has come back to this process for the fourth time.
    LoopDetected = 508, "loop_detected", "proxy_loop_detected", "Loop detected";
}

/// A failure with its cause.
#[derive(Debug)]
pub struct ProxyError {
    reason: Reason,
    source: Option<Box<dyn StdError>>,
}

impl ProxyError {
    pub fn new(reason: Reason, source: impl Into<Box<dyn StdError>>) -> Self {
        Self { reason, source: Some(source.into()) }
    }

    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// A failed read or write on a connection that had been open. In TLS 1.3 an endpoint refuses a
    /// client's certificate only then.
    pub fn upstream_io(source: io::Error) -> Self {
        let is_tls = source.get_ref().is_some_and(|cause| cause.is::<rustls::Error>());
        let reason = match is_tls {
            true => Reason::UpstreamTls,
            false if is_lack(&source) => Reason::OutOfResources,
            false => Reason::UpstreamReset,
        };
        Self::new(reason, source)
    }
}

/// Whether the system has none left of what was asked for. That of ports says the same as that of an
/// address that is not ours: who connects knows more (`upstream/dial/failure.rs`).
pub fn is_lack(error: &io::Error) -> bool {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
}

impl From<Reason> for ProxyError {
    fn from(reason: Reason) -> Self {
        Self { reason, source: None }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.word())
    }
}

impl StdError for ProxyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref()
    }
}

/// An error and its causes in one line, for the log.
pub fn chain(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_snake_case() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            let word = reason.word();
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{word}");
            assert!(Reason::ALL[..index].iter().all(|earlier| earlier.word() != word), "{word}");
        }
    }

    #[test]
    fn a_chain_names_every_cause() {
        let error = ProxyError::upstream_io(io::Error::other("cut"));
        assert_eq!(chain(&error), "upstream_reset: cut");
    }

    #[test]
    fn what_the_system_lacks_is_told_from_what_a_peer_does() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(ProxyError::upstream_io(error).reason(), Reason::OutOfResources);
        }
        for errno in [Errno::CONNRESET, Errno::PIPE, Errno::TIMEDOUT] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(ProxyError::upstream_io(error).reason(), Reason::UpstreamReset);
        }
    }

    #[test]
    fn an_alert_on_an_open_connection_is_told_from_a_reset() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        let error = ProxyError::upstream_io(io::Error::new(io::ErrorKind::InvalidData, alert));
        assert_eq!(error.reason(), Reason::UpstreamTls);
    }
}
