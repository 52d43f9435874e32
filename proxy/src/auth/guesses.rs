//! How many wrong guesses a client address has (an IPv6 client being its /64): each costs, and who
//! has spent all of them is not checked any more until time has passed, right or wrong. Requests
//! without credentials are no guesses, and right ones cost nothing. A password that is being checked
//! when the client leaves counts as wrong.
//!
//! Bounds: the table's; what happens there when many addresses guess is said there.

use tokio::time::Instant;

use super::{Asked, Authenticator, Checked, Refused};
use crate::{
    config::FailureLimit,
    downstream::ClientNetwork,
    rate_limit::{
        gcra::Quota,
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

    /// What `authenticator` says, unless the client has guessed too often.
    pub(super) async fn guard(&self, asked: Asked<'_>, authenticator: &Authenticator) -> Checked {
        self.allow(asked)?;
        let checked = authenticator.check(asked).known().await;
        if matches!(&checked, Err(Refused::NotAuthenticated { is_guess: true, .. })) {
            self.count(asked);
        }
        checked
    }

    /// To be told when it is known what came of the guess.
    pub(super) fn begin<'a>(&'a self, asked: Asked<'a>) -> Guess<'a> {
        Guess { guesses: self, asked, is_judged: false }
    }

    fn count(&self, asked: Asked<'_>) {
        let now = asked.worker.gateway.nanos_at(Instant::now());
        self.table.take(self.key(asked), &self.quota, now);
    }

    /// Whether the client may still guess.
    pub(super) fn allow(&self, asked: Asked<'_>) -> Result<(), Refused> {
        let now = asked.worker.gateway.nanos_at(Instant::now());
        match self.table.is_exhausted(self.key(asked), &self.quota, now) {
            None => Ok(()),
            Some(wait) => Err(Refused::TooManyGuesses { retry_after: wait }),
        }
    }

    /// Peers over a Unix socket count as one.
    fn key(&self, asked: Asked<'_>) -> Key {
        self.table.key(asked.record.client.get().map(ClientNetwork::of))
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
