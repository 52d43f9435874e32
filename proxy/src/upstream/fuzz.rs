//! The doors of this room for the fuzz targets (`tests/fuzz`); no other build has them.

use actix_http::Method;
use bytes::{Bytes, BytesMut};

use super::{
    chunked::{ChunkDecoder, ChunkError, Decoded},
    response_head::{self, HeadError, Parsed, ResponseHead},
};

/// What one look at the buffer found.
#[derive(Debug)]
pub enum Head {
    Partial,
    Interim,
    Final { head: ResponseHead, keeps_alive: bool },
}

#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Data(Bytes),
    Partial,
    End,
}

#[derive(Default)]
pub struct Decoder(ChunkDecoder);

/// Takes a head from the front of `buffer` if a whole one is there.
pub fn read_head(
    buffer: &mut BytesMut,
    method: &Method,
    most_bytes: usize,
) -> Result<Head, HeadError> {
    Ok(match response_head::parse(buffer, method, most_bytes)? {
        Parsed::Partial => Head::Partial,
        Parsed::Interim => Head::Interim,
        Parsed::Final(head) => Head::Final { keeps_alive: head.keeps_alive, head },
    })
}

impl Decoder {
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Piece, ChunkError> {
        Ok(match self.0.decode(buffer)? {
            Decoded::Data(bytes) => Piece::Data(bytes),
            Decoded::Partial => Piece::Partial,
            Decoded::End => Piece::End,
        })
    }
}
