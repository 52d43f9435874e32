//! The only helpers of the end-to-end tests: programs, clients, origins, and one way to wait.
//!
//! Each test has a world of its own: ports are chosen by the system, programs die with the test.

mod authority;
mod behind_sockets;
mod client;
mod ended;
pub mod hostile;
pub mod http2;
mod issuer;
mod launch;
mod named_routes;
mod origin;
mod pool;
mod port;
mod program;
mod redis_stub;
mod secured;
mod sink;
mod skip;
mod swapping;
mod switching;
mod unix_door;
mod wait;
mod wire;

pub use self::{
    authority::{Authority, Certified},
    behind_sockets::BehindSockets,
    client::{Answer, Client, Request},
    ended::Ended,
    issuer::{KeyServer, SigningKey, seconds},
    launch::Launch,
    named_routes::{named_routes, route_of},
    origin::{Exchange, Head, Origin},
    pool::pool_of,
    port::ClosedPort,
    program::{Mock, Program, Proxy, demo_config, proxy_binary},
    redis_stub::RedisStub,
    secured::{Secured, Shaking, TlsFiles},
    sink::{Sink, StalledPipe},
    skip::skip,
    swapping::{Swapping, with_generation},
    switching::{OFFER, switching, switching_tls},
    unix_door::UnixDoor,
    wait::{PATIENCE, eventually},
    wire::ServerTls,
};
