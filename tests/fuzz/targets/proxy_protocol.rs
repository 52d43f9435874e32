//! The PROXY protocol. No bytes make the parser wait beyond its bound; a part of a header is read
//! as the whole or waits for more; and the address is the one that a plain reading finds, which
//! comes out the same when it is sent on in either version.

#![no_main]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use proxy::server::fuzz::{Preface, read_preface};
use proxy_fuzz::pieces;

const LONGEST_V1: usize = 107;
const LONGEST_V2: usize = 4096;
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// All cuts up to here, and those that the input names.
const EVERY_CUT: usize = 64;

fuzz_target!(|input: &[u8]| {
    let (pieces, wire) = pieces(input);
    let verdict = read_preface(wire);
    let named = pieces.iter().scan(0, |end, piece| {
        *end += piece.len();
        Some(*end)
    });
    for cut in named.chain(0..wire.len().min(EVERY_CUT)) {
        check_part(read_preface(&wire[..cut]), cut, verdict);
    }
    let bound = if wire.starts_with(b"PROXY ") { LONGEST_V1 } else { LONGEST_V2 };
    match verdict {
        Preface::Malformed => {}
        Preface::Partial => assert!(wire.len() < bound, "waits beyond the bound"),
        Preface::Whole { length, client } => {
            assert!(length <= wire.len() && length <= bound);
            check_part(read_preface(&wire[..length - 1]), length - 1, verdict);
            assert_eq!(client, read_plainly(&wire[..length]));
            if let Some(client) = client {
                check_way_on(client);
            }
        }
    }
});

fn check_part(part: Preface, cut: usize, whole: Preface) {
    match whole {
        Preface::Whole { length, .. } if cut >= length => assert_eq!(part, whole, "at {cut}"),
        Preface::Malformed if part == Preface::Malformed => {}
        _ => assert_eq!(part, Preface::Partial, "at {cut} of {whole:?}"),
    }
}

/// The client of a header that was accepted.
fn read_plainly(header: &[u8]) -> Option<SocketAddr> {
    let (ip, port): (IpAddr, u16) = if let Some(rest) = header.strip_prefix(V2) {
        let two = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        assert_eq!(header.len(), V2.len() + 4 + usize::from(two(2)));
        match (rest[0], rest[1]) {
            (0x21, 0x11) => ([rest[4], rest[5], rest[6], rest[7]].into(), two(12)),
            (0x21, 0x21) => {
                let groups: Vec<u16> = (0..8).map(|group| two(4 + 2 * group)).collect();
                (<[u16; 8]>::try_from(groups).expect("has eight").into(), two(36))
            }
            _ => return None,
        }
    } else {
        let line = std::str::from_utf8(header).expect("is text").strip_suffix("\r\n");
        let words: Vec<&str> = line.expect("is a line").split(' ').collect();
        if words[1] == "UNKNOWN" {
            return None;
        }
        let [_, family, source, target, port, target_port] = words[..] else { panic!("{words:?}") };
        let ip: IpAddr = source.parse().expect("is an address");
        let is_6: bool = target.parse::<IpAddr>().expect("is an address").is_ipv6();
        assert!(ip.is_ipv6() == is_6 && family == if is_6 { "TCP6" } else { "TCP4" });
        assert!(target_port.parse::<u16>().is_ok());
        (ip, port.parse().expect("is a port"))
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

/// What the next proxy would be told of this client.
fn check_way_on(client: SocketAddr) {
    let (ip, port) = (client.ip(), client.port());
    let family = if ip.is_ipv4() { "TCP4" } else { "TCP6" };
    let line = format!("PROXY {family} {ip} {ip} {port} 443\r\n").into_bytes();
    let (family, address) = match ip {
        IpAddr::V4(ip) => (0x11, ip.octets().to_vec()),
        IpAddr::V6(ip) => (0x21, Ipv6Addr::octets(&ip).to_vec()),
    };
    let block = [&address[..], &address, &port.to_be_bytes(), &[1, 187]].concat();
    let length = u16::try_from(block.len()).expect("is short").to_be_bytes();
    let binary = [V2, &[0x21, family], &length, &block].concat();
    for header in [line, binary] {
        let expected = Preface::Whole { length: header.len(), client: Some(client) };
        assert_eq!(read_preface(&header), expected, "{}", header.escape_ascii());
    }
}
