//! Connections to endpoints and the HTTP/1.1 exchange over them.
//!
//! awc opens connections; this room speaks over them. awc's own client loses bodies without
//! length, passes cut bodies as whole and mixes up answers after an interim response
//! (docs/adr/0001). All of it belongs to one worker and never leaves its thread, but for the
//! resolver, which is one for the process.

mod body;
pub mod call;
mod connection;
mod dial;
mod exchange;
#[cfg(fuzzing)]
pub mod fuzz;
mod held;
mod idle;
#[cfg(test)]
pub mod lazy;
mod named_origins;
mod origin;
mod own_pools;
mod pool;
pub mod probe;
mod request_body;
pub mod request_head;
mod resolver;
mod response_framing;
mod response_head;
mod room;
mod running_upload;
mod upload;

pub use self::{
    body::ResponseBody,
    connection::Connection,
    dial::Dialer,
    exchange::{Answer, Bounds, SendFailure, send},
    named_origins::{MOST_NAMES, NamedOrigins, name as host_name},
    origin::{Asking, Dialing, Origin, OriginId, Unanswered, Witness},
    own_pools::{Home, OwnPools},
    pool::{Pool, SWEEP_INTERVAL},
    request_body::{RequestBody, RequestFraming},
    resolver::Resolver,
    response_framing::Framing,
    response_head::{Asked, HeadBounds, ResponseHead},
    room::USUAL as USUAL_READ,
};
