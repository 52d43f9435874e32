//! A port of which the test knows what happens on it.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port that refuses connections: bound, so that nobody else gets it, but never listened on.
pub struct ClosedPort {
    pub address: SocketAddr,
    _socket: Socket,
}

impl ClosedPort {
    pub fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).expect("a port is free");
        let bound = socket.local_addr().expect("is bound");
        Self { address: bound.as_socket().expect("is an address"), _socket: socket }
    }
}
