//! `allow_clients` and `deny_clients`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::ClientLists;

/// Whether a client may: its address, the canonical one, is not denied, and is allowed if only some
/// are. One without address, over a Unix socket, is on no list.
#[inline]
pub(super) fn may(lists: &ClientLists, client: Option<IpAddr>) -> bool {
    lists.is_empty() || is_let_in(lists, client)
}

fn is_let_in(lists: &ClientLists, client: Option<IpAddr>) -> bool {
    let client = client.map(|client| client.to_canonical());
    let is_in = |networks: &[IpNet]| {
        client.is_some_and(|client| networks.iter().any(|network| network.contains(&client)))
    };
    !is_in(&lists.deny) && lists.allow.as_ref().is_none_or(|networks| is_in(networks))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().expect("is a network")).collect()
    }

    #[test]
    fn who_is_denied_may_not_and_who_is_not_allowed_neither() {
        let allow = |allowed: &[&str], denied: &[&str]| ClientLists {
            allow: Some(networks(allowed)),
            deny: networks(denied),
        };
        let deny = |denied: &[&str]| ClientLists { allow: None, deny: networks(denied) };
        for (lists, client, expected) in [
            (ClientLists::default(), Some("1.2.3.4"), true),
            (ClientLists::default(), None, true),
            (allow(&["10.0.0.0/8"], &[]), Some("10.1.2.3"), true),
            (allow(&["10.0.0.0/8"], &[]), Some("::ffff:10.1.2.3"), true),
            (allow(&["10.0.0.0/8"], &[]), Some("11.1.2.3"), false),
            (allow(&["10.0.0.0/8"], &[]), Some("::1"), false),
            (allow(&["0.0.0.0/0", "::/0"], &[]), None, false),
            (allow(&["10.0.0.0/8"], &["10.1.0.0/16"]), Some("10.1.2.3"), false),
            (allow(&["10.1.0.0/16"], &["10.0.0.0/8"]), Some("10.1.2.3"), false),
            (deny(&["10.0.0.0/8", "fd00::/8"]), Some("10.1.2.3"), false),
            (deny(&["10.0.0.0/8", "fd00::/8"]), Some("::ffff:10.1.2.3"), false),
            (deny(&["10.0.0.0/8", "fd00::/8"]), Some("fd00::1"), false),
            (deny(&["10.0.0.0/8", "fd00::/8"]), Some("9.9.9.9"), true),
            (deny(&["0.0.0.0/0", "::/0"]), None, true),
        ] {
            let address = client.map(|client| client.parse().expect("is an address"));
            assert_eq!(may(&lists, address), expected, "{client:?} {lists:?}");
        }
    }
}
