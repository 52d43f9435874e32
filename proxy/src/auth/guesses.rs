//! How many wrong guesses a client address has (an IPv6 client being its /64): each costs, and who
//! has spent all of them is not checked any more by that scheme until time has passed, right or wrong.
//! Requests without credentials of the scheme are no guesses, and right ones cost nothing. A password
//! that is being checked when the client leaves counts as wrong.
//!
//! What one scheme calls wrong may be right for another of the same route: a guess costs as soon as a
//! scheme has said so, or who leaves before the last of them speaks would guess for nothing, and is given
//! back when another lets the client in.
//!
//! Bounds: the table's; what happens there when many addresses guess is said there.

use tokio::time::Instant;

use super::{Asked, Refused};
use crate::{
    config::FailureLimit,
    rate_limit::{
        gcra::{Decision, Quota},
        table::{Key, Table, USUAL_KEYS},
    },
};

/// A guess that is being judged; one that nobody waits for any more counts as wrong, or clients that
/// leave could have as many judged as they like.
pub struct Guess<'a> {
    guesses: &'a Guesses,
    asked: Asked<'a>,
    is_judged: bool,
}

/// Those of one scheme, for all workers.
pub struct Guesses {
    quota: Quota,
    table: Table,
}

impl Guesses {
    pub fn new(limit: FailureLimit) -> Self {
        Self {
            quota: Quota::new(limit.requests, limit.per, limit.requests),
            table: Table::new(USUAL_KEYS),
        }
    }

    /// To be told when it is known what came of the guess.
    pub(super) fn begin<'a>(&'a self, asked: Asked<'a>) -> Guess<'a> {
        Guess { guesses: self, asked, is_judged: false }
    }

    /// Counts a wrong one, if there is one left.
    pub(super) fn count(&self, asked: Asked<'_>) -> Option<Decision> {
        let now = asked.worker.clock.nanos_at(Instant::now());
        Some(self.table.take(self.key(asked), &self.quota, now)).filter(|taken| taken.is_allowed)
    }

    /// It was no guess after all.
    pub(super) fn give_back(&self, asked: Asked<'_>, counted: &Decision) {
        let now = asked.worker.clock.nanos_at(Instant::now());
        self.table.give_back(self.key(asked), &self.quota, counted, now);
    }

    /// Whether the client may still guess.
    pub(super) fn allow(&self, asked: Asked<'_>) -> Result<(), Refused> {
        let now = asked.worker.clock.nanos_at(Instant::now());
        match self.table.is_exhausted(self.key(asked), &self.quota, now) {
            None => Ok(()),
            Some(wait) => Err(Refused::TooManyGuesses { retry_after: wait }),
        }
    }

    /// Peers over a Unix socket count as one.
    fn key(&self, asked: Asked<'_>) -> Key {
        self.table.key(asked.client())
    }
}

impl Guess<'_> {
    /// Whoever waits knows now, and counts it if it was wrong.
    pub(super) fn judged(mut self) {
        self.is_judged = true;
    }
}

impl Drop for Guess<'_> {
    fn drop(&mut self) {
        if !self.is_judged {
            self.guesses.count(self.asked);
        }
    }
}
