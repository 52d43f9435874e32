//! Whose requests the failures of a run were, in five bits: nobody's, those of the clients of one
//! bucket, or several clients'. Two clients share a bucket once in thirty times: such a run waits for
//! a third, or for a failure of the connection.

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64;

use crate::downstream::ClientNetwork;

/// Who has asked for what failed.
#[derive(Clone, Copy, Debug)]
pub enum Asker {
    /// A client, if it has an address; an IPv6 client is its /64.
    Client(Option<IpAddr>),
    /// It does not matter: there was no whole answer.
    Anybody,
}

/// The askers of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen(u8);

impl Seen {
    pub(super) const NOBODY: Self = Self(0);
    const SEVERAL: Self = Self(31);
    const BUCKETS: u64 = 30;

    /// Of a word that holds them in its lowest five bits.
    pub(super) fn of(word: u64) -> Self {
        Self((word & 31) as u8)
    }

    pub(super) fn bits(self) -> u64 {
        u64::from(self.0)
    }

    pub(super) fn is_by_several(self) -> bool {
        self == Self::SEVERAL
    }

    pub(super) fn and(self, asker: Asker) -> Self {
        let next = match asker {
            // Peers of a Unix socket are not told apart.
            Asker::Anybody | Asker::Client(None) => Self::SEVERAL,
            Asker::Client(Some(address)) => Self::bucket(address),
        };
        if self == Self::NOBODY || self == next { next } else { Self::SEVERAL }
    }

    fn bucket(address: IpAddr) -> Self {
        let hash = match ClientNetwork::of(address).address() {
            IpAddr::V4(address) => xxh3_64(&address.octets()),
            IpAddr::V6(address) => xxh3_64(&address.octets()),
        };
        Self((hash % Self::BUCKETS + 1) as u8)
    }
}
