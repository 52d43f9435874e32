//! Places that clients want from one another: none of them takes so many that others find none free.
//!
//! A client may take a place while it has fewer than are left (the dynamic threshold of [Choudhury and
//! Hahne]): one alone has half of the places, two have a third each, and who comes next finds one. Who
//! must wait stands in its own client's line, and the clients have their turns one after the other. If
//! all lines together are full, the longest loses its newest: nobody is turned away for what another
//! sends.
//!
//! One lock for each, taken where a client takes a place, gives it back or stops waiting: the lines,
//! the counts and the turns change together. The longest hold is one look at all clients that have a
//! place or wait.
//!
//! [Choudhury and Hahne]: https://doi.org/10.1109/90.664262

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// The places, and who waits for one.
pub struct Turns<K: Copy + Eq + Hash> {
    state: Arc<Mutex<State<K>>>,
}

/// A place, given back when it is dropped.
pub struct Turn<K: Copy + Eq + Hash> {
    state: Arc<Mutex<State<K>>>,
    client: K,
}

/// Too many wait: of this client, or of all.
#[derive(Debug)]
pub struct Full;

struct State<K: Copy + Eq + Hash> {
    free: usize,
    waiting: usize,
    most_waiting: usize,
    most_of_one: usize,
    next_ticket: u64,
    clients: HashMap<K, Client<K>>,
    /// Those that wait, each once, in the order of their turns.
    turns: VecDeque<K>,
}

struct Client<K: Copy + Eq + Hash> {
    taken: usize,
    line: VecDeque<Ticket<K>>,
}

/// Tickets of a line have rising numbers.
struct Ticket<K: Copy + Eq + Hash> {
    number: u64,
    /// Takes the place to who waits for it.
    give: oneshot::Sender<Turn<K>>,
}

/// A place in a line, left when it is dropped.
struct Waiting<K: Copy + Eq + Hash> {
    state: Arc<Mutex<State<K>>>,
    client: K,
    number: u64,
    given: oneshot::Receiver<Turn<K>>,
}

impl<K: Copy + Eq + Hash> Turns<K> {
    /// So many places; `most_waiting` may wait for them, and `most_of_one` of each client.
    pub fn new(places: usize, most_waiting: usize, most_of_one: usize) -> Self {
        let state = State {
            free: places,
            waiting: 0,
            most_waiting,
            most_of_one,
            next_ticket: 0,
            clients: HashMap::new(),
            turns: VecDeque::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A place for `client`, when it is its turn.
    ///
    /// # Errors
    /// Too many wait.
    pub async fn take(&self, client: K) -> Result<Turn<K>, Full> {
        let mut waiting = {
            let mut state = lock(&self.state);
            if state.take(client) {
                return Ok(Turn { state: Arc::clone(&self.state), client });
            }
            let (number, given) = state.join(client)?;
            Waiting { state: Arc::clone(&self.state), client, number, given }
        };
        (&mut waiting.given).await.map_err(|_| Full)
    }
}

fn lock<K: Copy + Eq + Hash>(state: &Mutex<State<K>>) -> MutexGuard<'_, State<K>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Copy + Eq + Hash> State<K> {
    fn take(&mut self, client: K) -> bool {
        let found = self.clients.get(&client);
        if found.map_or(0, |client| client.taken) >= self.free {
            return false;
        }
        self.clients.entry(client).or_default().taken += 1;
        self.free -= 1;
        true
    }

    fn join(&mut self, client: K) -> Result<(u64, oneshot::Receiver<Turn<K>>), Full> {
        let length = self.clients.get(&client).map_or(0, |client| client.line.len());
        if length >= self.most_of_one {
            return Err(Full);
        }
        if self.waiting >= self.most_waiting {
            self.turn_away(length)?;
        }
        let (give, given) = oneshot::channel();
        let number = self.next_ticket;
        self.next_ticket += 1;
        self.clients.entry(client).or_default().line.push_back(Ticket { number, give });
        self.waiting += 1;
        if length == 0 {
            self.turns.push_back(client);
        }
        Ok((number, given))
    }

    /// Takes the newest from the longest line, if that is longer than one of `length` would be with one
    /// more.
    fn turn_away(&mut self, length: usize) -> Result<(), Full> {
        let longest = self.clients.values_mut().max_by_key(|client| client.line.len());
        let longest = longest.filter(|client| client.line.len() > length + 1).ok_or(Full)?;
        longest.line.pop_back();
        self.waiting -= 1;
        Ok(())
    }

    /// Whose turn it is, with its place.
    fn next(&mut self) -> Option<(K, Ticket<K>)> {
        let free = self.free;
        let is_eligible = |client: &K| self.clients.get(client).is_some_and(|one| one.taken < free);
        let index = self.turns.iter().position(is_eligible)?;
        let key = self.turns.remove(index)?;
        let client = self.clients.get_mut(&key)?;
        let ticket = client.line.pop_front()?;
        client.taken += 1;
        self.free -= 1;
        self.waiting -= 1;
        if !client.line.is_empty() {
            self.turns.push_back(key);
        }
        Some((key, ticket))
    }

    fn leave(&mut self, key: K, number: u64) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        let found = client.line.binary_search_by_key(&number, |ticket| ticket.number);
        if let Ok(index) = found {
            client.line.remove(index);
            self.waiting -= 1;
            if client.line.is_empty() {
                self.turns.retain(|one| *one != key);
            }
        }
        self.forget(key);
    }

    fn give_back(&mut self, key: K) {
        if let Some(client) = self.clients.get_mut(&key) {
            client.taken -= 1;
            self.free += 1;
        }
        self.forget(key);
    }

    fn forget(&mut self, key: K) {
        let is_over = |client: &Client<K>| client.taken == 0 && client.line.is_empty();
        if self.clients.get(&key).is_some_and(is_over) {
            self.clients.remove(&key);
        }
    }
}

impl<K: Copy + Eq + Hash> Default for Client<K> {
    fn default() -> Self {
        Self { taken: 0, line: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        lock(&self.state).give_back(self.client);
        loop {
            let next = lock(&self.state).next();
            let Some((client, ticket)) = next else { return };
            // Who has just left gives it back by dropping it.
            drop(ticket.give.send(Turn { state: Arc::clone(&self.state), client }));
        }
    }
}

impl<K: Copy + Eq + Hash> Drop for Waiting<K> {
    fn drop(&mut self) {
        lock(&self.state).leave(self.client, self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::LocalBoxFuture};

    use super::*;

    type Taking<'a> = LocalBoxFuture<'a, Result<Turn<&'static str>, Full>>;

    /// One that asks, and has been looked at once.
    fn ask<'a>(turns: &'a Turns<&'static str>, client: &'static str) -> Taking<'a> {
        let mut taking = turns.take(client).boxed_local();
        match (&mut taking).now_or_never() {
            Some(taken) => std::future::ready(taken).boxed_local(),
            None => taking,
        }
    }

    fn taken(taking: &mut Taking<'_>) -> Option<Result<Turn<&'static str>, Full>> {
        taking.now_or_never()
    }

    #[test]
    fn one_client_leaves_places_for_others() {
        let turns = Turns::new(8, 100, 100);
        let mut greedy: Vec<_> = (0..50).map(|_| ask(&turns, "greedy")).collect();
        let had: Vec<_> = greedy.iter_mut().filter_map(|taking| taken(taking)).collect();
        assert_eq!(had.len(), 4);
        let honest: Vec<_> =
            ["a", "b", "c"].iter().filter_map(|client| taken(&mut ask(&turns, client))).collect();
        assert!(honest.len() == 3 && honest.iter().all(Result::is_ok));
    }

    #[test]
    fn a_single_place_goes_round() {
        let turns = Turns::new(1, 100, 100);
        let mut first = taken(&mut ask(&turns, "greedy"));
        let mut greedy: Vec<_> = (0..50).map(|_| ask(&turns, "greedy")).collect();
        let mut honest = ask(&turns, "honest");
        assert!(taken(&mut honest).is_none());
        first.take();
        let second = taken(&mut greedy[0]).expect("is next");
        assert!(taken(&mut honest).is_none());
        drop(second);
        assert!(taken(&mut honest).is_some_and(|turn| turn.is_ok()), "not the greedy ones first");
    }

    #[test]
    fn the_longest_line_loses_its_newest() {
        let turns = Turns::new(1, 10, 9);
        let _first = taken(&mut ask(&turns, "other"));
        let mut greedy: Vec<_> = (0..10).map(|_| ask(&turns, "greedy")).collect();
        assert!(taken(&mut greedy[9]).is_some_and(|turn| turn.is_err()), "a client has its bound");
        let mut honest: Vec<_> = ["a", "b", "c"].iter().map(|client| ask(&turns, client)).collect();
        assert!(honest.iter_mut().all(|taking| taken(taking).is_none()));
        for (index, expected) in [(0, None), (6, None), (7, Some(true)), (8, Some(true))] {
            let gone = taken(&mut greedy[index]).map(|turn| turn.is_err());
            assert_eq!(gone, expected, "{index}");
        }
    }

    #[test]
    fn who_leaves_gives_everything_back_and_is_forgotten() {
        let turns = Turns::new(2, 100, 100);
        for _ in 0..100 {
            let mut takings: Vec<_> =
                ["a", "a", "a", "b", "b"].iter().map(|client| ask(&turns, client)).collect();
            let first = taken(&mut takings[0]);
            drop(takings);
            drop(first);
        }
        let state = lock(&turns.state);
        assert_eq!((state.free, state.waiting), (2, 0));
        assert!(state.clients.is_empty() && state.turns.is_empty());
    }
}
