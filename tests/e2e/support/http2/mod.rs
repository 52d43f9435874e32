//! HTTP/2 spoken by hand (RFC 9113, RFC 7541), without the library that the proxy uses: frames and
//! header blocks of any bytes, and a client that holds the proxy to the protocol while it reads.

mod client;
mod fields;
pub mod frame;
mod hpack;
mod huffman;
mod reply;
mod windows;
mod world;

pub use self::{
    client::{Credit, Ending, Http2},
    fields::Fields,
    hpack::{Decoder, integer, literal},
    huffman::encode,
    reply::{Outcome, Reply},
    world::World,
};
