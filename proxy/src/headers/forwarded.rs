//! Whom a request comes from, and what the upstream is told about it.
//!
//! `X-Forwarded-*`, or `Forwarded` instead, is believed from trusted proxies only: a client can write
//! anything into it. Never both: a proxy that writes one passes on what clients have put into the
//! other.

use std::net::IpAddr;

use actix_http::header::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::rfc7239::{self, Element};

pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whose forwarding fields are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    unix_peers: bool,
    reads_forwarded: bool,
}

/// What `Forwarded` of a trusted peer says.
#[derive(Debug, Default)]
pub struct Chain<'a> {
    /// In their order; what is malformed, and what stands before it, is left out.
    pub elements: Vec<Element<'a>>,
    /// How many of the last ones were written by trusted proxies.
    believed: usize,
}

impl TrustedProxies {
    pub fn new(networks: &[IpNet], unix_peers: bool) -> Self {
        Self { networks: networks.to_vec(), unix_peers, reads_forwarded: false }
    }

    /// Whether it is `Forwarded` that is believed, and not `X-Forwarded-*`.
    #[must_use]
    pub fn reading(self, forwarded: bool) -> Self {
        Self { reads_forwarded: forwarded, ..self }
    }

    /// Whether this peer is believed; over a Unix socket it has no address.
    pub fn believes(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix_peers, |address| self.contains(address))
    }

    /// Whether a trusted proxy says that the client has come by `https`.
    pub fn says_https(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
        if !self.believes(peer) {
            return false;
        }
        if let Some(chain) = self.chain(peer, headers) {
            return chain.proto() == Some("https");
        }
        let given = headers.get(X_FORWARDED_PROTO).map_or(&b""[..], |value| value.as_bytes());
        let first = given.split(|byte| *byte == b',').next().unwrap_or_default();
        first.trim_ascii().eq_ignore_ascii_case(b"https")
    }

    fn contains(&self, address: IpAddr) -> bool {
        !self.networks.is_empty() && {
            let address = address.to_canonical();
            self.networks.iter().any(|network| network.contains(&address))
        }
    }

    /// The client: the peer itself, or the rightmost address in the field that is no trusted proxy. What stands left of it, or is no address, proves nothing.
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.believes(peer) {
            return peer;
        }
        if self.reads_forwarded {
            let addresses = rfc7239::elements(headers).map(|element| element.client);
            return self.last_stranger(peer, addresses);
        }
        let fields: Vec<&[u8]> =
            headers.get_all(X_FORWARDED_FOR).map(|value| value.as_bytes()).collect();
        let entries = fields.iter().rev().flat_map(|field| field.rsplit(|byte| *byte == b','));
        self.last_stranger(peer, entries.map(|entry| parse_address(entry.trim_ascii())))
    }

    /// `entries` are read as long as those before them are trusted.
    fn last_stranger(
        &self,
        peer: Option<IpAddr>,
        entries: impl Iterator<Item = Option<IpAddr>>,
    ) -> Option<IpAddr> {
        let mut client = peer;
        for entry in entries {
            let Some(address) = entry else { break };
            client = Some(address);
            if !self.contains(address) {
                break;
            }
        }
        client
    }

    /// What is believed instead of `X-Forwarded-*`; `None` if these are.
    pub fn chain<'a>(&self, peer: Option<IpAddr>, headers: &'a HeaderMap) -> Option<Chain<'a>> {
        if !self.reads_forwarded {
            return None;
        }
        if !self.believes(peer) {
            return Some(Chain::default());
        }
        let mut elements: Vec<Element<'_>> = rfc7239::elements(headers).collect();
        let is_relayed = |one: &Element<'_>| one.client.is_some_and(|one| self.contains(one));
        // The peer has written the last one, and whom a believed one names has written that before.
        let relayed = elements.iter().take_while(|one| is_relayed(one)).count();
        let believed = elements.len().min(relayed + 1);
        elements.reverse();
        Some(Chain { elements, believed })
    }
}

impl Chain<'_> {
    /// What the client asked for, as the first believed proxy that says it has it.
    pub fn host(&self) -> Option<&[u8]> {
        self.believed().find_map(|element| element.host.as_deref())
    }

    pub fn proto(&self) -> Option<&'static str> {
        self.believed().find_map(|element| element.proto)
    }

    fn believed(&self) -> impl Iterator<Item = &Element<'_>> {
        self.elements.iter().skip(self.elements.len() - self.believed)
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
    fn of_forwarded_the_first_believed_element_that_says_it_is_taken() {
        let networks = ["10.0.0.0/8".parse().expect("is one")];
        let trusted = TrustedProxies::new(&networks, false).reading(true);
        let read = |peer: [u8; 4], field: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(rfc7239::FORWARDED, HeaderValue::from_static(field));
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static("6.6.6.6"));
            let client = trusted.client(Some(peer.into()), &headers).expect("has an address");
            let chain = trusted.chain(Some(peer.into()), &headers).expect("is read");
            let host = chain.host().map(|host| String::from_utf8_lossy(host).into_owned());
            (client.to_string(), host, chain.proto(), chain.elements.len())
        };
        let host = |host: &str| Some(host.to_owned());
        let (near, far) = ([10, 0, 0, 1], [1, 2, 3, 4]);
        for (peer, field, expected) in [
            (far, "for=9.9.9.9;host=a.test", ("1.2.3.4", None, None, 0)),
            (near, "for=9.9.9.9;proto=https", ("9.9.9.9", None, Some("https"), 1)),
            (near, "for=6.6.6.6;host=evil.test, for=9.9.9.9", ("9.9.9.9", None, None, 2)),
            (
                near,
                "for=6.6.6.6;host=evil.test, for=9.9.9.9;host=a.test, for=10.0.0.2;proto=http",
                ("9.9.9.9", host("a.test"), Some("http"), 3),
            ),
            (near, "for=6.6.6.6, for=unknown;host=a.test", ("10.0.0.1", host("a.test"), None, 2)),
            (near, "for=6.6.6.6;host=\"evil.test", ("10.0.0.1", None, None, 0)),
        ] {
            let (client, host, proto, elements) = expected;
            assert_eq!(read(peer, field), (client.to_owned(), host, proto, elements), "{field}");
        }
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
