//! What routes, services, endpoints, schemes and rate limits are called inside the process: numbers
//! that are given out by name, live longer than one configuration, and never mean another thing.
//! Metrics, logs and guards hold them; a name is looked up when metrics are read.
//!
//! Bounds: a thing that has gone keeps its id for 15 minutes, and at most 1,000 of each kind that have
//! gone are kept; those that went first are forgotten first.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
};

use crate::clock::Millis;

/// How long the id of a thing that has gone is kept, in milliseconds.
pub const KEPT_MS: u64 = 15 * 60 * 1000;
/// Things of one kind that have gone and are kept.
pub const MOST_GONE: usize = 1000;

/// A number that stands for a thing by its name.
pub trait Id: Copy + Ord + Hash {
    fn numbered(number: u32) -> Self;
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl Id for $name {
            fn numbered(number: u32) -> Self {
                Self(number)
            }
        }
    )*};
}

ids! {
    /// A route, by its name.
    RouteId;
    /// A service, by its name.
    ServiceId;
    /// An endpoint, by its service and its URL.
    EndpointId;
    /// An auth scheme, by its name.
    SchemeId;
    /// A rate limit, by its name.
    LimitId;
}

/// What an endpoint is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointName {
    pub service: String,
    /// As written in the configuration.
    pub url: String,
}

/// All ids of the process. The lock is taken when a snapshot is built and when metrics are read; the
/// sweep of a worker only tries it, and requests never do.
#[derive(Default)]
pub struct Ids(Mutex<Tables>);

/// The ids of each kind.
#[derive(Default)]
pub struct Tables {
    pub routes: Table<RouteId, String>,
    pub services: Table<ServiceId, String>,
    pub endpoints: Table<EndpointId, EndpointName>,
    pub schemes: Table<SchemeId, String>,
    pub limits: Table<LimitId, String>,
    /// Counts what was forgotten.
    forgotten: u64,
}

/// Ids of one kind.
pub struct Table<I, N> {
    next: u32,
    by_name: HashMap<N, I>,
    known: BTreeMap<I, Known<N>>,
    /// How many of them have gone.
    gone: usize,
}

struct Known<N> {
    name: N,
    /// `None` while the thing is there.
    gone_at: Option<Millis>,
}

impl Ids {
    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` while somebody else has them.
    pub fn try_tables(&self) -> Option<MutexGuard<'_, Tables>> {
        match self.0.try_lock() {
            Ok(tables) => Some(tables),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Tables {
    /// Forgets what has gone for long, and says how often something was forgotten so far.
    pub fn forget(&mut self, now: Millis) -> u64 {
        let forgotten = self.routes.forget(now)
            + self.services.forget(now)
            + self.endpoints.forget(now)
            + self.schemes.forget(now)
            + self.limits.forget(now);
        self.forgotten += forgotten as u64;
        self.forgotten
    }
}

impl<I: Id, N: Clone + Eq + Hash> Table<I, N> {
    /// The id of a thing that is there.
    pub fn of(&mut self, name: &N) -> I {
        if let Some(id) = self.by_name.get(name) {
            if let Some(known) = self.known.get_mut(id)
                && known.gone_at.take().is_some()
            {
                self.gone -= 1;
            }
            return *id;
        }
        let id = I::numbered(self.next);
        self.next += 1;
        self.by_name.insert(name.clone(), id);
        self.known.insert(id, Known { name: name.clone(), gone_at: None });
        id
    }

    /// Those of `present` are there; all others are gone, from `now` on at the latest.
    pub fn keep(&mut self, present: impl IntoIterator<Item = I>, now: Millis) {
        let present: HashSet<I> = present.into_iter().collect();
        for (id, known) in &mut self.known {
            if present.contains(id) {
                known.gone_at = None;
            } else {
                known.gone_at.get_or_insert(now);
            }
        }
        self.gone = self.known.len() - present.len();
    }

    /// `None` if it was forgotten.
    pub fn name(&self, id: I) -> Option<&N> {
        self.known.get(&id).map(|known| &known.name)
    }

    pub fn knows(&self, id: I) -> bool {
        self.known.contains_key(&id)
    }

    /// How many were forgotten now.
    fn forget(&mut self, now: Millis) -> usize {
        if self.gone == 0 {
            return 0;
        }
        let mut gone: Vec<(Millis, I)> =
            self.known.iter().filter_map(|(id, known)| Some((known.gone_at?, *id))).collect();
        gone.sort_unstable();
        let too_many = gone.len().saturating_sub(MOST_GONE);
        let is_over = |at: Millis| now.after(at) >= KEPT_MS;
        let over: Vec<I> = gone
            .into_iter()
            .enumerate()
            .filter(|(place, (at, _))| *place < too_many || is_over(*at))
            .map(|(_, (_, id))| id)
            .collect();
        self.gone -= over.len();
        for id in &over {
            if let Some(known) = self.known.remove(id) {
                self.by_name.remove(&known.name);
            }
        }
        over.len()
    }
}

impl<I, N> Default for Table<I, N> {
    fn default() -> Self {
        Self { next: 0, by_name: HashMap::new(), known: BTreeMap::new(), gone: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&str]) -> (Table<ServiceId, String>, Vec<ServiceId>) {
        let mut table = Table::default();
        let ids = names.iter().map(|name| table.of(&(*name).to_owned())).collect();
        (table, ids)
    }

    #[test]
    fn a_name_has_one_id_and_gets_it_back_while_that_is_kept() {
        let (mut table, ids) = table(&["a", "b"]);
        table.keep(ids[1..].iter().copied(), Millis(0));
        assert_eq!(table.forget(Millis(KEPT_MS - 1)), 0);
        assert_eq!(table.of(&"a".to_owned()), ids[0]);
        assert_eq!(table.forget(Millis(3 * KEPT_MS)), 0, "it is there again");
    }

    #[test]
    fn what_was_forgotten_comes_back_as_another() {
        let (mut table, ids) = table(&["a", "b"]);
        table.keep(ids[1..].iter().copied(), Millis(5));
        table.keep(ids[1..].iter().copied(), Millis(KEPT_MS));
        assert_eq!(table.forget(Millis(KEPT_MS + 5)), 1, "since it was gone first");
        assert_eq!(table.name(ids[0]), None);
        let again = table.of(&"a".to_owned());
        assert!(!ids.contains(&again));
        assert_eq!(table.name(again).map(String::as_str), Some("a"));
        assert_eq!(table.name(ids[1]).map(String::as_str), Some("b"));
    }

    #[test]
    fn of_those_that_have_gone_the_eldest_make_room() {
        let mut table = Table::<RouteId, String>::default();
        let ids: Vec<RouteId> =
            (0..MOST_GONE + 3).map(|number| table.of(&number.to_string())).collect();
        table.keep(ids[2..].iter().copied(), Millis(1));
        table.keep([], Millis(2));
        assert_eq!(table.forget(Millis(2)), 3);
        assert!(ids[..3].iter().all(|id| !table.knows(*id)));
        assert!(ids[3..].iter().all(|id| table.knows(*id)));
    }
}
