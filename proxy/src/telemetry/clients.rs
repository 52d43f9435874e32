//! Client connections as numbers: written by every worker, but at accept and close alone.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Why a connection was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    TooManyConnections,
    TooManyOfClient,
    ProxyProtocol,
}

#[derive(Debug, Default)]
pub struct ClientConnections {
    open: AtomicUsize,
    rejected: [AtomicU64; Rejection::ALL.len()],
}

impl Rejection {
    pub const ALL: [Self; 3] =
        [Self::TooManyConnections, Self::TooManyOfClient, Self::ProxyProtocol];

    /// The key of the configuration that it comes from.
    pub const fn word(self) -> &'static str {
        match self {
            Self::TooManyConnections => "max_connections",
            Self::TooManyOfClient => "max_connections_per_client",
            Self::ProxyProtocol => "proxy_protocol",
        }
    }
}

impl ClientConnections {
    /// Counts one more, unless there are `most` already.
    pub fn open_one(&self, most: usize) -> bool {
        self.open.fetch_update(Relaxed, Relaxed, |open| (open < most).then_some(open + 1)).is_ok()
    }

    /// How many there are after one has closed.
    pub fn close_one(&self) -> usize {
        self.open.fetch_sub(1, Relaxed) - 1
    }

    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    pub fn reject(&self, why: Rejection) {
        self.rejected[why as usize].fetch_add(1, Relaxed);
    }

    pub fn rejected(&self, why: Rejection) -> u64 {
        self.rejected[why as usize].load(Relaxed)
    }
}
