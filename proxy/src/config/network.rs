//! Networks as they are written: `10.0.0.0/8`, `fd00::/8`, or one address.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::{
    error::{Located, Problem},
    section::Section,
    value::FromText,
};

/// Bits before the IPv4 address in one of IPv6 that holds it (RFC 4291 section 2.5.5.2).
const MAPPED: u8 = 96;

pub(super) struct Network(pub(super) IpNet);

impl FromText for Network {
    const EXPECTED: &'static str = "an address or network such as \"10.0.0.0/8\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        parse(text)
            .map(Self)
            .ok_or_else(|| Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)))
    }
}

/// The network, or the one address. Addresses are compared in their canonical form, so a network of
/// IPv4 addresses inside IPv6 is taken for the one it holds.
pub(super) fn parse(text: &str) -> Option<IpNet> {
    let network: Option<IpNet> = text.parse().ok();
    let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    let IpNet::V6(mapped) = network else { return Some(network) };
    let inside = mapped.prefix_len().checked_sub(MAPPED);
    let inside = inside.zip(mapped.addr().to_ipv4_mapped());
    Some(match inside {
        Some((length, address)) => IpNet::V4(Ipv4Net::new(address, length).ok()?),
        None => network,
    })
}

/// `allow_clients` and `deny_clients` of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientLists {
    /// `None`: everybody.
    pub allow: Option<Vec<IpNet>>,
    pub deny: Vec<IpNet>,
}

impl ClientLists {
    pub fn is_empty(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let allow = list(section, "allow_clients");
        if section.is_empty_array("allow_clients") {
            let problem = Problem::new("\"allow_clients\" is empty and would let nobody in");
            let problem = problem.hint("leave it out to let everybody in");
            section.report(&section.key_span("allow_clients"), problem);
        }
        Self { allow, deny: list(section, "deny_clients").unwrap_or_default() }
    }
}

fn list(section: &mut Section<'_>, key: &'static str) -> Option<Vec<IpNet>> {
    let given = section.get::<Vec<Located<Network>>>(key)?;
    Some(given.value.into_iter().map(|network| network.value.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_mapped_addresses_is_the_one_it_holds() {
        for (text, expected) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("192.0.2.1", Some("192.0.2.1/32")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("::1", Some("::1/128")),
            ("::ffff:10.0.0.0/104", Some("10.0.0.0/8")),
            ("::ffff:192.0.2.1", Some("192.0.2.1/32")),
            ("::/0", Some("::/0")),
            ("10.0.0.0/33", None),
            ("10.0.0", None),
            ("all", None),
            ("", None),
        ] {
            let network = parse(text).map(|network| network.to_string());
            assert_eq!(network.as_deref(), expected, "{text}");
        }
    }
}
