//! The PROXY protocol, versions 1 and 2: what a load balancer says about a connection before its
//! first byte (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! Pure: bytes in, an address out. Addresses alone are read; of version 2 the further fields are
//! skipped, their checksum included.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A header of version 1 with its CRLF: section 2.1.
const LONGEST_V1: usize = 107;
/// A header of version 2 with its further fields; these are a few hundred bytes in practice.
const LONGEST_V2: usize = 4096;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const V2_FIXED: usize = 16;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// More bytes are needed.
    Partial,
    Whole {
        /// What comes behind so many bytes is no header.
        length: usize,
        /// Whose connection it is; `None` if the header does not say, as for the health checks of
        /// a load balancer.
        client: Option<SocketAddr>,
    },
}

/// Not a PROXY header, or one that breaks its own rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads the header that `bytes` begin with.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    if begins(bytes, V1) {
        parse_v1(bytes)
    } else if begins(bytes, V2) {
        parse_v2(bytes)
    } else {
        Err(Malformed)
    }
}

/// Whether `bytes` begin with the signature as far as they go.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    let length = bytes.len().min(signature.len());
    bytes[..length] == signature[..length]
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let window = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if bytes.len() < LONGEST_V1 { Ok(Parsed::Partial) } else { Err(Malformed) };
    };
    let line = window[..end].strip_suffix(b"\r").ok_or(Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let client = client_of_line(line.strip_prefix("PROXY ").ok_or(Malformed)?)?;
    Ok(Parsed::Whole { length: end + 1, client })
}

/// What stands behind "PROXY ": `TCP4 192.0.2.1 192.0.2.2 4711 80`.
fn client_of_line(line: &str) -> Result<Option<SocketAddr>, Malformed> {
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // Whatever follows is to be ignored.
        return Ok(None);
    }
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let source = address().ok_or(Malformed)?;
    address().ok_or(Malformed)?;
    let source_port = words.next().and_then(port).ok_or(Malformed)?;
    words.next().and_then(port).ok_or(Malformed)?;
    match words.next() {
        Some(_) => Err(Malformed),
        None => Ok(Some(canonical(source, source_port))),
    }
}

/// Digits alone, without a zero before them.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let has_zero = word.len() > 1 && word.starts_with('0');
    (is_plain && !has_zero).then(|| word.parse().ok()).flatten()
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED>() else {
        return Ok(Parsed::Partial);
    };
    let [.., version_and_command, family_and_protocol, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed),
    };
    if family_and_protocol >> 4 > 3 || family_and_protocol & 0xf > 2 {
        return Err(Malformed);
    }
    if V2_FIXED + length > LONGEST_V2 {
        return Err(Malformed);
    }
    let Some(block) = rest.get(..length) else {
        return Ok(Parsed::Partial);
    };
    let client = if is_local { None } else { client_of_block(family_and_protocol, block)? };
    Ok(Parsed::Whole { length: V2_FIXED + length, client })
}

fn client_of_block(family: u8, block: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    match family {
        TCP4 => {
            let [a, b, c, d, _, _, _, _, high, low, _, _] =
                *block.first_chunk::<12>().ok_or(Malformed)?;
            let address = Ipv4Addr::new(a, b, c, d).into();
            Ok(Some(canonical(address, u16::from_be_bytes([high, low]))))
        }
        TCP6 => {
            let block = block.first_chunk::<36>().ok_or(Malformed)?;
            let address = block.first_chunk::<16>().ok_or(Malformed)?;
            let port = u16::from_be_bytes([block[32], block[33]]);
            Ok(Some(canonical(Ipv6Addr::from(*address).into(), port)))
        }
        // Datagrams, Unix sockets, and what the sender could not name.
        _ => Ok(None),
    }
}

fn canonical(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8]) -> Option<String> {
        match parse(bytes) {
            Ok(Parsed::Whole { length, client }) => {
                assert_eq!(length, bytes.len(), "{bytes:?}");
                Some(client.map_or_else(|| "-".to_owned(), |client| client.to_string()))
            }
            Ok(Parsed::Partial) => Some("partial".to_owned()),
            Err(Malformed) => None,
        }
    }

    fn v2(version_and_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).expect("is short");
        let mut bytes = [V2, &[version_and_command, family], &length.to_be_bytes()[..]].concat();
        bytes.extend_from_slice(block);
        bytes
    }

    const V4_BLOCK: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 0, 80];

    fn v6_block(source: &str) -> Vec<u8> {
        let address: Ipv6Addr = source.parse().expect("is one");
        [&address.octets()[..], &[0; 16], &[0x12, 0x67, 0, 80]].concat()
    }

    #[test]
    fn version_1_names_the_client_or_nobody() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
        assert_eq!(longest.len(), LONGEST_V1);
        for (line, client) in [
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535"),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n", "192.0.2.1:4711"),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 0 443\r\n", "[2001:db8::1]:0"),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 4711 80\r\n", "192.0.2.1:4711"),
            ("PROXY UNKNOWN\r\n", "-"),
            ("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "-"),
            (&longest, "-"),
        ] {
            assert_eq!(whole(line.as_bytes()).as_deref(), Some(client), "{line}");
        }
    }

    #[test]
    fn version_1_is_taken_at_its_word() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "proxy TCP4 192.0.2.1 192.0.2.2 4711 80\r\n",
            "PROXY  TCP4 192.0.2.1 192.0.2.2 4711 80\r\n",
            "PROXY TCP4 192.0.2.1  192.0.2.2 4711 80\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80 \r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 4711\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 04711 80\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +4711 80\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.2 4711 80\r\n",
            "PROXY TCP4 192.0.2 192.0.2.2 4711 80\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 4711 80\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 4711 80\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 4711 80\r\n",
            "PROXY UNKNOWN \u{fffd}\n",
            "PROXY \r\n",
        ] {
            assert_eq!(whole(line.as_bytes()), None, "{line}");
        }
        let too_long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(92));
        assert_eq!(whole(too_long.as_bytes()), None);
    }

    #[test]
    fn version_2_names_the_client_or_nobody() {
        let with_more = [&V4_BLOCK[..], &[0x03, 0, 4, 1, 2, 3, 4]].concat();
        let longest = [&V4_BLOCK[..], &vec![0; LONGEST_V2 - V2_FIXED - 12]].concat();
        for (bytes, client) in [
            (v2(0x21, 0x11, &V4_BLOCK), "192.0.2.1:4711"),
            (v2(0x21, 0x11, &with_more), "192.0.2.1:4711"),
            (v2(0x21, 0x11, &longest), "192.0.2.1:4711"),
            (v2(0x21, 0x21, &v6_block("2001:db8::1")), "[2001:db8::1]:4711"),
            (v2(0x21, 0x21, &v6_block("::ffff:192.0.2.1")), "192.0.2.1:4711"),
            // A health check of the load balancer itself: any addresses are to be ignored.
            (v2(0x20, 0x00, &[]), "-"),
            (v2(0x20, 0x11, &V4_BLOCK), "-"),
            (v2(0x20, 0x11, &[1, 2]), "-"),
            // UNSPEC, datagrams, a Unix socket.
            (v2(0x21, 0x00, &[]), "-"),
            (v2(0x21, 0x12, &V4_BLOCK), "-"),
            (v2(0x21, 0x31, &[0; 216]), "-"),
        ] {
            assert_eq!(whole(&bytes).as_deref(), Some(client), "{bytes:?}");
        }
    }

    #[test]
    fn version_2_is_taken_at_its_word() {
        for bytes in [
            v2(0x11, 0x11, &V4_BLOCK),
            v2(0x22, 0x11, &V4_BLOCK),
            v2(0x21, 0x41, &V4_BLOCK),
            v2(0x21, 0x13, &V4_BLOCK),
            v2(0x21, 0x11, &V4_BLOCK[..11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x11, &vec![0; LONGEST_V2 - V2_FIXED + 1]),
            b"\r\n\r\n\0\r\nQUIT\r".to_vec(),
        ] {
            assert_eq!(whole(&bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn any_part_of_a_header_is_partial_and_what_follows_is_left() {
        for header in [
            b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n".to_vec(),
            v2(0x21, 0x11, &V4_BLOCK),
            v2(0x21, 0x21, &v6_block("2001:db8::1")),
        ] {
            for length in 0..header.len() {
                assert_eq!(parse(&header[..length]), Ok(Parsed::Partial), "{length} {header:?}");
            }
            let alone = parse(&header);
            let followed = parse(&[&header[..], b"GET / HTTP/1.1\r\n"].concat());
            assert_eq!(alone, followed);
        }
    }

    proptest! {
        /// Behind a true signature too, where the parser has something to do.
        #[test]
        fn no_bytes_make_it_panic_or_wait_for_more_than_the_bound(
            start in prop::sample::select(vec![&b""[..], V1, b"PROXY TCP4 ", b"PROXY TCP6 ", V2]),
            rest in prop::collection::vec(any::<u8>(), 0..5000),
        ) {
            let bytes = [start, &rest].concat();
            match parse(&bytes) {
                Ok(Parsed::Partial) => prop_assert!(bytes.len() < LONGEST_V2),
                Ok(Parsed::Whole { length, .. }) => {
                    prop_assert!(length <= bytes.len() && length <= LONGEST_V2);
                }
                Err(Malformed) => {}
            }
        }

        #[test]
        fn an_address_comes_out_as_it_went_in(source: Ipv4Addr, target: Ipv4Addr, port: u16) {
            let line = format!("PROXY TCP4 {source} {target} {port} 80\r\n");
            let client = Some(SocketAddr::new(source.into(), port));
            let expected = Ok(Parsed::Whole { length: line.len(), client });
            prop_assert_eq!(parse(line.as_bytes()), expected);
        }
    }
}
