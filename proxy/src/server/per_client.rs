//! How many connections each client address has.
//!
//! Sharded mutexes, taken at accept and at close and never for a request; the longest hold is one
//! look-up. Atomics would not do: an entry must go when it reaches zero, or addresses would pile
//! up. So the table is bounded by the connections there are.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
};

const SHARDS: usize = 16;

pub(super) struct PerClient {
    most: usize,
    /// Keyed by a secret, as strangers choose what is hashed.
    hasher: RandomState,
    shards: [Mutex<HashMap<Client, usize>>; SHARDS],
}

/// An IPv4 address, or the /64 that an IPv6 client can choose from as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client(IpAddr);

impl Client {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IpAddr::V4(address)),
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Self(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
        }
    }
}

impl PerClient {
    pub(super) fn new(most: usize) -> Self {
        Self { most, hasher: RandomState::new(), shards: Default::default() }
    }

    /// Counts one more of `client`, unless it has as many as it may.
    pub(super) fn open_one(&self, client: Client) -> bool {
        let mut counts = self.shard(client);
        let count = counts.entry(client).or_default();
        let is_allowed = *count < self.most;
        *count += usize::from(is_allowed);
        is_allowed
    }

    pub(super) fn close_one(&self, client: Client) {
        let mut counts = self.shard(client);
        if let Entry::Occupied(mut entry) = counts.entry(client) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    fn shard(&self, client: Client) -> MutexGuard<'_, HashMap<Client, usize>> {
        let shard = usize::from(self.hasher.hash_one(client).to_le_bytes()[0]) % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Client {
        Client::of(address.parse().expect("is an address"))
    }

    #[test]
    fn a_client_has_as_many_as_it_may_and_others_do_not_count() {
        let table = PerClient::new(2);
        let (one, other) = (client("192.0.2.1"), client("192.0.2.2"));
        assert!(table.open_one(one) && table.open_one(one));
        assert!(!table.open_one(one));
        assert!(table.open_one(other));
        table.close_one(one);
        assert!(table.open_one(one));
    }

    #[test]
    fn an_ipv6_client_is_its_network_and_a_mapped_one_its_ipv4_address() {
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
    }

    #[test]
    fn addresses_without_connections_are_forgotten() {
        let table = PerClient::new(1);
        let clients = (0..100).map(|last| client(&format!("192.0.2.{last}")));
        for one in clients.clone() {
            assert!(table.open_one(one));
        }
        clients.for_each(|one| table.close_one(one));
        let left = |shard: &Mutex<HashMap<Client, usize>>| shard.lock().expect("no panic").len();
        assert_eq!(table.shards.iter().map(left).sum::<usize>(), 0);
    }
}
