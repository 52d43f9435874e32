//! What a worker counts of its clients' connections before there is a request: TLS handshakes, and
//! the streams of HTTP/2.

use super::counter::Counter;

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Tls12,
    Tls13,
    Failed,
    Timeout,
    /// Given up for another: there were too many at a time.
    Crowded,
}

/// Who has reset a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetBy {
    Client,
    Proxy,
    /// The proxy, for what the client did wrong on it.
    Protocol,
    /// The proxy, with the connection: it has sent too much for nothing.
    Flood,
}

#[derive(Default)]
pub struct DownstreamCells {
    pub handshakes: [Counter; Handshake::ALL.len()],
    pub invalid_server_names: Counter,
    pub streams: Counter,
    pub resets: [Counter; ResetBy::ALL.len()],
    pub floods: Counter,
}

impl Handshake {
    pub const ALL: [Self; 5] =
        [Self::Tls12, Self::Tls13, Self::Failed, Self::Timeout, Self::Crowded];

    /// Result and version.
    pub const fn labels(self) -> [&'static str; 2] {
        match self {
            Self::Tls12 => ["ok", "1.2"],
            Self::Tls13 => ["ok", "1.3"],
            Self::Failed => ["failed", "none"],
            Self::Timeout => ["timeout", "none"],
            Self::Crowded => ["crowded", "none"],
        }
    }
}

impl ResetBy {
    pub const ALL: [Self; 4] = [Self::Client, Self::Proxy, Self::Protocol, Self::Flood];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Proxy => "proxy",
            Self::Protocol => "protocol",
            Self::Flood => "flood",
        }
    }
}

impl DownstreamCells {
    pub fn handshake(&self, how: Handshake) {
        self.handshakes[how as usize].add(1);
    }

    /// A client has named a server by what is no name of a host.
    pub fn invalid_server_name(&self) {
        self.invalid_server_names.add(1);
    }

    pub fn stream(&self) {
        self.streams.add(1);
    }

    pub fn reset(&self, by: ResetBy) {
        self.resets[by as usize].add(1);
    }

    /// A connection was ended that sent too much for nothing.
    pub fn flood(&self) {
        self.floods.add(1);
    }
}
