//! The doors of this room for the fuzz targets (`tests/fuzz`); no other build has them.

use bytes::BytesMut;

use super::{
    body,
    response_head::{self, Asked, HeadBounds, HeadError, Parsed, ResponseHead},
};
use crate::framing::Rest;

/// As many as the requests of the proxy itself allow.
const MOST_FIELDS: usize = 1000;

/// What one look at the buffer found.
#[derive(Debug)]
pub enum Head {
    Partial,
    Interim,
    Final { head: ResponseHead, keeps_alive: bool },
}

/// Takes a head from the front of `buffer` if a whole one is there.
pub fn read_head(
    buffer: &mut BytesMut,
    asked: Asked<'_>,
    most_bytes: usize,
) -> Result<Head, HeadError> {
    let most = HeadBounds { bytes: most_bytes, fields: MOST_FIELDS };
    Ok(match response_head::parse(buffer, asked, most)? {
        Parsed::Partial => Head::Partial,
        Parsed::Interim => Head::Interim,
        Parsed::Final(head) => Head::Final { keeps_alive: head.keeps_alive, head },
    })
}

/// A chunked body as an endpoint may send it.
pub fn chunked() -> Rest {
    Rest::chunked(body::CHUNK_BOUNDS)
}
