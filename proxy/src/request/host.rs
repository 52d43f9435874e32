//! `Host` and the authority of a target (RFC 9110 section 7.2): `uri-host [":" port]`.

/// Whether `host` is a name, an IPv4 address or a bracketed IPv6 address, with a port or without.
/// Narrower than RFC 3986: no user, no comma, no percent-encoding.
pub fn is_valid(host: &[u8]) -> bool {
    let (name, port) = match host {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let (address, port) = (&rest[..end], &rest[end + 1..]);
            let address = std::str::from_utf8(address).ok();
            if address.and_then(|text| text.parse::<std::net::Ipv6Addr>().ok()).is_none() {
                return false;
            }
            return port.is_empty() || port.strip_prefix(b":").is_some_and(is_port);
        }
        _ => match host.iter().position(|byte| *byte == b':') {
            Some(colon) => (&host[..colon], Some(&host[colon + 1..])),
            None => (host, None),
        },
    };
    (1..=255).contains(&name.len()) && is_name(name) && port.is_none_or(is_port)
}

/// No label of it is empty, but for the root behind a last dot.
fn is_name(name: &[u8]) -> bool {
    let mut last = b'.';
    for byte in name {
        if !NAME_BYTES[usize::from(*byte)] || (*byte == b'.' && last == b'.') {
            return false;
        }
        last = *byte;
    }
    true
}

/// A valid host without its port.
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Every request is looked at: a table costs one load a byte.
static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

/// RFC 3986 section 3.2.3: it may be empty, which is the usual one.
fn is_port(port: &[u8]) -> bool {
    let digits = port.iter().map(|byte| (byte.is_ascii_digit()).then(|| u32::from(byte - b'0')));
    let number = digits.take(6).try_fold(0, |number, digit| Some(number * 10 + digit?));
    port.len() <= 5 && number.is_some_and(|number| number <= u32::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_part_of_a_name() {
        for (host, name) in [
            ("a.test:80", "a.test"),
            ("a.test", "a.test"),
            ("a.test:", "a.test"),
            ("[::1]:", "[::1]"),
            ("[::1]:8", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_port() {
        for host in [
            "a.test",
            "A.TEST:80",
            "a_b.test",
            "127.0.0.1:65535",
            "[::1]",
            "[::1]:80",
            "a.test.",
            "a.test:",
            "a.test.:",
            "[::1]:",
        ] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":80",
            "a.test::",
            "a.test:80:",
            "a.test..",
            "a.test..:80",
            "a..test",
            ".a.test",
            ".",
            "..",
            "a.test:99999",
            "a.test:+1",
            "a.test:8x",
            "a b",
            "a,b",
            "u@a",
            "a/b",
            "a?b",
            "a#b",
            "[::1",
            "[a]",
            "[::1]80",
            "::1",
            "a%2e.test",
            "a\\b",
            "ä.test",
        ] {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }
}
