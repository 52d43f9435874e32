//! The guard: an IO under actix's HTTP/1 that owns what actix leaves open.
//!
//! It hands over one request head at a time, whole, and the next one only when the request before
//! is answered. So it knows what each connection waits for, and one sweep per worker ends those
//! that wait too long: for a head (every one, not only the first), for a body, for a client that
//! does not read, for a next request. A head that breaks a bound never reaches the parser; a
//! stand-in takes its place and carries the reason to the pipeline, which answers, logs and counts
//! it like any other refusal.

mod chunks;
mod conn;
mod head;
mod input;
mod io;
mod stream;
mod table;

pub use self::{conn::Conn, io::GuardIo, stream::Stream, table::GuardTable};
