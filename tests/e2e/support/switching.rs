//! A switch to WebSocket, offered and taken.

use super::{Exchange, Origin, ServerTls};

/// A request that offers it.
pub const OFFER: &str = "GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\n\
                         Upgrade: WebSocket\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\nSec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n\r\n";

/// An origin that switches and then does what `talk` says.
pub fn switching(talk: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Origin {
    Origin::start(switch(talk))
}

/// The same over TLS.
pub fn switching_tls(
    tls: &ServerTls<'_>,
    talk: impl Fn(&mut Exchange) + Send + Sync + 'static,
) -> Origin {
    Origin::start_tls(tls, switch(talk))
}

fn switch(talk: impl Fn(&mut Exchange)) -> impl Fn(&mut Exchange) {
    move |exchange| {
        while exchange.request().is_some() {
            exchange.write(SWITCH);
            talk(exchange);
        }
    }
}
