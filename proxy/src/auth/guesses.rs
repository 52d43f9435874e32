//! How many wrong guesses a client address has (an IPv6 client being its /64): each costs, and who
//! has spent all of them is not checked any more until time has passed, right or wrong. Requests
//! without credentials are no guesses, and right ones cost nothing.
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
            self.table.take(
                self.key(asked),
                &self.quota,
                asked.worker.gateway.nanos_at(Instant::now()),
            );
        }
        checked
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
