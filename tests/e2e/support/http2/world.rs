//! An origin that answers "ok", and a proxy before it.

use super::Http2;
use crate::support::{Origin, Proxy};

pub struct World {
    pub origin: Origin,
    pub proxy: Proxy,
}

impl World {
    pub fn start() -> Self {
        let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Self { proxy: Proxy::start(&origin.config()), origin }
    }

    pub fn client(&self) -> Http2 {
        Http2::connect(self.proxy.address)
    }
}
