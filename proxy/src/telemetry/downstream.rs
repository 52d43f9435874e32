//! What a worker counts of its clients' connections before there is a request: TLS handshakes, and
//! the streams of HTTP/2.

use std::sync::Arc;

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::{
    counter::Counter,
    metrics::SharedShard,
    publish::{Written, family},
};

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
    handshakes: [Counter; Handshake::ALL.len()],
    invalid_server_names: Counter,
    streams: Counter,
    resets: [Counter; ResetBy::ALL.len()],
    floods: Counter,
}

impl Handshake {
    const ALL: [Self; 5] = [Self::Tls12, Self::Tls13, Self::Failed, Self::Timeout, Self::Crowded];

    fn labels(self) -> [(&'static str, &'static str); 2] {
        let (result, version) = match self {
            Self::Tls12 => ("ok", "1.2"),
            Self::Tls13 => ("ok", "1.3"),
            Self::Failed => ("failed", "none"),
            Self::Timeout => ("timeout", "none"),
            Self::Crowded => ("crowded", "none"),
        };
        [("result", result), ("version", version)]
    }
}

impl ResetBy {
    const ALL: [Self; 4] = [Self::Client, Self::Proxy, Self::Protocol, Self::Flood];

    const fn word(self) -> &'static str {
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

pub(super) fn write(shards: &[Arc<SharedShard>], encoder: &mut DescriptorEncoder<'_>) -> Written {
    let sum = |cell: &dyn Fn(&DownstreamCells) -> &Counter| {
        shards.iter().map(|shard| cell(&shard.downstream).get()).sum::<u64>()
    };
    let help = "TLS handshakes with clients by result and version";
    let mut handshakes = family(encoder, "proxy_tls_handshakes", help, MetricType::Counter)?;
    for how in Handshake::ALL {
        let count = sum(&|cells| &cells.handshakes[how as usize]);
        handshakes
            .encode_family(&how.labels())?
            .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
    }
    let help = "TLS clients that named a server by what is no host name, and were served without";
    family(encoder, "proxy_tls_invalid_server_names", help, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, u64>(&sum(&|cells| &cells.invalid_server_names), None)?;
    family(encoder, "proxy_http2_streams", "Requests over HTTP/2", MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, u64>(&sum(&|cells| &cells.streams), None)?;
    let help = "Streams of HTTP/2 that were reset before their answer was complete";
    let mut resets = family(encoder, "proxy_http2_resets", help, MetricType::Counter)?;
    for by in ResetBy::ALL {
        let count = sum(&|cells| &cells.resets[by as usize]);
        resets
            .encode_family(&[("by", by.word())])?
            .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
    }
    let help = "Connections of HTTP/2 that were ended because they sent too much for nothing";
    family(encoder, "proxy_http2_floods", help, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, u64>(&sum(&|cells| &cells.floods), None)
}
