//! HTTP/1 with clients, under the App (docs/adr/0004 says why it is ours).
//!
//! A connection is one task: it reads a head, hands the request to the App, sends the answer and
//! only then looks at the next head. A body is read by who wants it, straight from the socket. So
//! what a connection waits for is always one thing, and one sweep per worker ends those that wait
//! too long: for a head (every one, not only the first), for a body, for a client that does not
//! read, for a next request. A head that breaks a rule or a bound becomes a stand-in request that
//! carries the reason to the pipeline, which answers, logs and counts it like any other refusal.

mod answer;
mod conn;
mod credentials;
#[cfg(fuzzing)]
pub mod fuzz;
mod head;
mod parse;
mod request_line;
mod send;
mod serve;

pub use self::{conn::Conn, parse::MOST_FIELDS, serve::serve};
