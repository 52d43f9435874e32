//! Whom a request comes from, and what the upstream is told about it.
//!
//! `X-Forwarded-*` is believed from trusted proxies only: a client can write anything into it.

use std::net::IpAddr;

use actix_http::header::{HeaderMap, HeaderName};
use ipnet::IpNet;

pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whose forwarding fields are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    unix_peers: bool,
}

impl TrustedProxies {
    pub fn new(networks: &[IpNet], unix_peers: bool) -> Self {
        Self { networks: networks.to_vec(), unix_peers }
    }

    /// Whether this peer is believed; over a Unix socket it has no address.
    pub fn believes(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix_peers, |address| self.contains(address))
    }

    fn contains(&self, address: IpAddr) -> bool {
        !self.networks.is_empty() && {
            let address = address.to_canonical();
            self.networks.iter().any(|network| network.contains(&address))
        }
    }

    /// The client: the peer itself, or the rightmost address in `X-Forwarded-For` that is no
    /// trusted proxy. What stands left of it, or is no address, proves nothing.
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.believes(peer) {
            return peer;
        }
        let mut client = peer;
        let fields: Vec<&[u8]> =
            headers.get_all(X_FORWARDED_FOR).map(|value| value.as_bytes()).collect();
        let entries = fields.iter().rev().flat_map(|field| field.rsplit(|byte| *byte == b','));
        for entry in entries {
            let Some(address) = parse_address(entry.trim_ascii()) else {
                return client;
            };
            client = Some(address);
            if !self.contains(address) {
                return client;
            }
        }
        client
    }
}

/// An address, with brackets or port if need be.
fn parse_address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let address = text.parse::<IpAddr>().ok().or_else(bare).or_else(with_port)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_http::header::HeaderValue;

    use super::*;

    fn client(peer: &str, fields: &[&str]) -> String {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("is one"));
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(field).expect("is a value"));
        }
        let peer = (peer != "unix").then(|| peer.parse().expect("is an address"));
        let client = TrustedProxies::new(&networks, true).client(peer, &headers);
        client.map_or_else(|| "unix".to_owned(), |client| client.to_string())
    }

    #[test]
    fn peers_over_unix_sockets_are_believed_only_if_that_is_said() {
        let local = TrustedProxies::new(&[], true);
        let networks = ["0.0.0.0/0", "::/0"].map(|network| network.parse().expect("is one"));
        assert!(local.believes(None) && !local.believes(Some([127, 0, 0, 1].into())));
        assert!(!TrustedProxies::new(&networks, false).believes(None));
    }

    #[test]
    fn the_client_is_the_rightmost_untrusted_address() {
        for (peer, fields, expected) in [
            ("1.2.3.4", &["9.9.9.9"][..], "1.2.3.4"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["9.9.9.9"], "9.9.9.9"),
            ("10.0.0.1", &["6.6.6.6, 9.9.9.9, 10.0.0.2"], "9.9.9.9"),
            ("10.0.0.1", &["6.6.6.6", "9.9.9.9 , 10.0.0.2"], "9.9.9.9"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["9.9.9.9, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["9.9.9.9:4711"], "9.9.9.9"),
            ("::ffff:10.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("unix", &[], "unix"),
            ("unix", &["unknown"], "unix"),
            ("unix", &["6.6.6.6, 9.9.9.9, 10.0.0.2"], "9.9.9.9"),
        ] {
            assert_eq!(client(peer, fields), expected, "{peer} {fields:?}");
        }
    }
}
