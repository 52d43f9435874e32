//! How one endpoint of a service is written: `http://host:port/base`, the same with `https`, or
//! nginx's spelling of a Unix socket with an optional base, `unix:/run/app.sock:/base`.

use std::{
    net::{IpAddr, SocketAddr},
    os::unix::net::SocketAddr as UnixAddr,
    path::PathBuf,
};

use actix_http::{
    header::HeaderValue,
    uri::{Authority, Uri},
};
use rustls::pki_types::ServerName;

use super::{error::Problem, value::FromText};

/// An endpoint taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointUrl {
    /// As written, for logs and metrics.
    pub url: String,
    pub address: EndpointAddress,
    /// Its host, which its certificate must be for unless the service names another; `None` if it
    /// is spoken to in clear.
    pub tls: Option<ServerName<'static>>,
    /// What `Host` says for `host = "endpoint"`.
    pub authority: HeaderValue,
    /// Empty, or from "/"; without "/" at its end.
    pub base: String,
}

/// Where an endpoint listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointAddress {
    Socket(SocketAddr),
    Name {
        host: String,
        port: u16,
    },
    /// Absolute, and short enough for the system.
    Unix(PathBuf),
}

const UNIX: &str = "unix:";
const HTTP: &str = "http://";
const HTTPS: &str = "https://";

impl FromText for EndpointUrl {
    const EXPECTED: &'static str =
        "a URL such as \"http://10.0.0.1:8000/base\" or \"unix:/run/app.sock:/base\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        if has_user(text) {
            return Err(Problem::new("the URL of an endpoint must not carry a user name"));
        }
        let endpoint = if let Some(rest) = text.strip_prefix(UNIX) {
            unix(text, rest)
        } else if let Some(rest) = text.strip_prefix(HTTP) {
            http(text, rest, 80)
        } else if let Some(rest) = text.strip_prefix(HTTPS) {
            http(text, rest, 443).and_then(with_tls)
        } else {
            Err("must start with \"http://\", \"https://\" or \"unix:\"".to_owned())
        };
        endpoint.map_err(|why| {
            Problem::new(format!("endpoint \"{text}\" {why}"))
                .hint(format!("expected {}", Self::EXPECTED))
        })
    }
}

/// Whether a URL has a user in front of its host, and so perhaps a password, which no message shows.
pub(super) fn has_user(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

fn http(text: &str, rest: &str, default_port: u16) -> Result<EndpointUrl, String> {
    let uri: Uri = text.parse().map_err(|_| "is not a URL")?;
    let authority = uri.authority().ok_or("has no host")?;
    if rest.contains(['?', '#']) {
        return Err("must not have a query or fragment".to_owned());
    }
    let port = port(authority, default_port)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let address = match host.parse::<IpAddr>() {
        Ok(ip) => EndpointAddress::Socket(SocketAddr::new(ip, port)),
        Err(_) => EndpointAddress::Name { host: host.to_owned(), port },
    };
    Ok(EndpointUrl {
        url: text.to_owned(),
        address,
        tls: None,
        authority: HeaderValue::from_str(authority.as_str()).map_err(|_| "is not a URL")?,
        base: uri.path().trim_end_matches('/').to_owned(),
    })
}

fn with_tls(endpoint: EndpointUrl) -> Result<EndpointUrl, String> {
    let name = match &endpoint.address {
        EndpointAddress::Socket(address) => ServerName::from(address.ip()),
        EndpointAddress::Name { host, .. } => ServerName::try_from(host.clone())
            .map_err(|_| format!("has the host \"{host}\", which no certificate can be for"))?,
        EndpointAddress::Unix(_) => return Ok(endpoint),
    };
    Ok(EndpointUrl { tls: Some(name), ..endpoint })
}

fn port(authority: &Authority, default: u16) -> Result<u16, String> {
    match authority.port_u16() {
        Some(0) => Err("must not have port 0".to_owned()),
        Some(port) => Ok(port),
        None if authority.as_str().ends_with(authority.host()) => Ok(default),
        None => {
            let named = authority.as_str().rsplit(':').next().unwrap_or_default();
            Err(format!("has a bad port \"{named}\""))
        }
    }
}

fn unix(text: &str, rest: &str) -> Result<EndpointUrl, String> {
    let (path, base) = match rest.split_once(':') {
        Some((path, base)) => (path, Some(base)),
        None => (rest, None),
    };
    if !path.starts_with('/') || path.ends_with('/') {
        return Err("needs the absolute path of a socket".to_owned());
    }
    UnixAddr::from_pathname(path).map_err(|_| "has a path too long for a Unix socket")?;
    let base = base.map_or(Ok(""), |base| check_base(base).map(|()| base))?;
    Ok(EndpointUrl {
        url: text.to_owned(),
        address: EndpointAddress::Unix(PathBuf::from(path)),
        tls: None,
        authority: HeaderValue::from_static("localhost"),
        base: base.trim_end_matches('/').to_owned(),
    })
}

/// The base stands in request lines, so it must be what a path can be there.
fn check_base(base: &str) -> Result<(), String> {
    if base.contains(['?', '#']) {
        return Err("must not have a query or fragment".to_owned());
    }
    match base.parse::<Uri>() {
        Ok(uri) if base.starts_with('/') && uri.path() == base => Ok(()),
        _ => Err(format!("has the base \"{base}\", which is not a path")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> EndpointUrl {
        EndpointUrl::from_text(text).expect("is an endpoint")
    }

    fn name(host: &str, port: u16) -> EndpointAddress {
        EndpointAddress::Name { host: host.to_owned(), port }
    }

    #[test]
    fn an_endpoint_is_taken_apart() {
        let address = |text: &str| EndpointAddress::Socket(text.parse().expect("is an address"));
        let socket = |path: &str| EndpointAddress::Unix(PathBuf::from(path));
        for (text, address, authority, base) in [
            ("http://[::1]:8000/serverA/", address("[::1]:8000"), "[::1]:8000", "/serverA"),
            ("http://127.0.0.1", address("127.0.0.1:80"), "127.0.0.1", ""),
            ("http://api.test:81/a/b", name("api.test", 81), "api.test:81", "/a/b"),
            ("http://api.test", name("api.test", 80), "api.test", ""),
            ("https://api.test/a", name("api.test", 443), "api.test", "/a"),
            ("https://10.0.0.1:8443", address("10.0.0.1:8443"), "10.0.0.1:8443", ""),
            ("unix:/run/app.sock", socket("/run/app.sock"), "localhost", ""),
            ("unix:/run/app.sock:/", socket("/run/app.sock"), "localhost", ""),
            ("unix:/run/app.sock:/a%20b/", socket("/run/app.sock"), "localhost", "/a%20b"),
        ] {
            let endpoint = endpoint(text);
            assert_eq!(endpoint.url, text);
            assert_eq!(endpoint.address, address, "{text}");
            assert_eq!(
                (endpoint.authority.as_bytes(), endpoint.base.as_str()),
                (authority.as_bytes(), base)
            );
        }
    }

    #[test]
    fn the_certificate_of_an_https_endpoint_is_for_its_host() {
        for (text, expected) in [
            ("https://Api.test:8443/a", Some("Api.test")),
            ("https://10.0.0.1", Some("10.0.0.1")),
            ("https://[::1]:8443", Some("::1")),
            ("http://api.test", None),
            ("unix:/run/app.sock", None),
        ] {
            let named = endpoint(text).tls.map(|name| name.to_str().into_owned());
            assert_eq!(named.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        let too_long = format!("unix:/{}", "a".repeat(200));
        for wrong in [
            "127.0.0.1:8000",
            "wss://a",
            "http://",
            "https://",
            "https://a:0",
            "https://a..b",
            "http://a:0",
            "http://a:99999",
            "http://u@a",
            "http://a/?q",
            "http://a/#f",
            "http://a b",
            "http://a:",
            "unix:",
            "unix:run/app.sock",
            "unix:/run/",
            "unix:/run/app.sock:",
            "unix:/run/app.sock:base",
            "unix:/run/app.sock:/a b",
            "unix:/run/app.sock:/a?q",
            "unix:/run/app.sock:/a#f",
            "unix:/run/a\0b",
            &too_long,
        ] {
            assert!(EndpointUrl::from_text(wrong).is_err(), "{wrong}");
        }
    }
}
