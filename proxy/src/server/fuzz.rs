//! The door of this room for the fuzz targets (`tests/fuzz`); no other build has it.

use std::net::SocketAddr;

use super::proxy_protocol::{Malformed, Parsed, parse};

/// What a listener makes of the first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preface {
    Partial,
    Whole { length: usize, client: Option<SocketAddr> },
    Malformed,
}

pub fn read_preface(bytes: &[u8]) -> Preface {
    match parse(bytes) {
        Ok(Parsed::Partial) => Preface::Partial,
        Ok(Parsed::Whole { length, client }) => Preface::Whole { length, client },
        Err(Malformed) => Preface::Malformed,
    }
}
