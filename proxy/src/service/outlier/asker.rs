//! Whose requests the failures of a run were: nobody's yet, one client's, or those of several.
//!
//! That is two bits of an endpoint's word. Who the one client is stands beside it, written by the
//! thread that begins a run: if two begin one at once, the second is told apart at its next failure.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

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
pub(super) enum Seen {
    Nobody,
    One,
    Several,
}

impl Seen {
    /// Of a word that holds them in its lowest two bits.
    pub(super) fn of(word: u64) -> Self {
        match word & 3 {
            0 => Self::Nobody,
            1 => Self::One,
            _ => Self::Several,
        }
    }
}

/// The client that has begun the run of an endpoint, as a hash of its network.
#[derive(Debug, Default)]
pub(super) struct FirstAsker(AtomicU64);

impl FirstAsker {
    /// Those who have seen a failure, with this one.
    pub(super) fn and(&self, seen: Seen, asker: Asker) -> Seen {
        // Peers of a Unix socket are not told apart.
        let Asker::Client(Some(address)) = asker else { return Seen::Several };
        let client = hash(address);
        match seen {
            Seen::Nobody => {
                self.0.store(client, Relaxed);
                Seen::One
            }
            Seen::One if self.0.load(Relaxed) == client => Seen::One,
            Seen::One | Seen::Several => Seen::Several,
        }
    }
}

fn hash(address: IpAddr) -> u64 {
    match ClientNetwork::of(address).address() {
        IpAddr::V4(address) => xxh3_64(&address.octets()),
        IpAddr::V6(address) => xxh3_64(&address.octets()),
    }
}
