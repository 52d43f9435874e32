//! One request of a limit that several processes share: what this process and the store make of it.
//!
//! A request passes if the process's own table lets it, which counts all that pass here, and the store
//! does too, where it decides. So no process ever lets more pass than the limit says, however often the
//! store comes and goes, and a burst of one key asks the store no more often than that. What the store
//! refuses is given back to the table: others may have used up what there was.

use tokio::time::Instant;

use super::{
    gcra::{Decision, Quota},
    key::Parts,
    store::Undecided,
    table::{Table, USUAL_KEYS},
};
use crate::{config::OnFailure, worker::Worker};

/// There is no decision, and without one no request may pass.
#[derive(Debug)]
pub struct Unavailable;

/// What the process knows of one limit.
pub struct Shared {
    /// What the keys in the store begin with.
    prefix: String,
    table: Table,
}

impl Shared {
    pub fn new(limit: &str) -> Self {
        Self { prefix: format!("proxy:rl:{limit}:"), table: Table::new(USUAL_KEYS) }
    }

    /// Counts the request; `None` if it passes without a word about where the client stands.
    ///
    /// # Errors
    /// The store has not decided, and nothing else may.
    pub async fn take(
        &self,
        worker: &Worker,
        quota: &Quota,
        parts: Parts<'_>,
    ) -> Result<Option<Decision>, Unavailable> {
        let store = parts.record.site.shared_limits.as_ref();
        let store = store.expect("a site has a store if a limit is shared");
        let now = || worker.clock.nanos_at(Instant::now());
        let key = self.table.key(parts);
        let own = self.table.take(key, quota, now());
        let theirs = if own.is_allowed {
            store.take(&[&self.prefix, &*parts.digest()].concat(), quota).await.map(Some)
        } else if store.on_failure == OnFailure::Local {
            Ok(None)
        } else {
            // Whether the table may say so hangs on the store.
            store.prove().await.map(|()| None)
        };
        if theirs.is_err() {
            worker.shard.rate_limit_store_failed();
        }
        let told = conclude(own, theirs, store.on_failure);
        if own.is_allowed && !matches!(told, Ok(None | Some(Decision { is_allowed: true, .. }))) {
            self.table.give_back(key, quota, &own, now());
        }
        told
    }
}

/// What the process's own decision and that of the store come to.
fn conclude(
    own: Decision,
    theirs: Result<Option<Decision>, Undecided>,
    on_failure: OnFailure,
) -> Result<Option<Decision>, Unavailable> {
    match (theirs, on_failure) {
        // A store that has lost what it knew knows less than the table.
        (Ok(Some(theirs)), _) if !theirs.is_allowed || theirs.remaining <= own.remaining => {
            Ok(Some(theirs))
        }
        (Ok(_), _) | (Err(_), OnFailure::Local) => Ok(Some(own)),
        (Err(Undecided::Late), _) if !own.is_allowed => Ok(Some(own)),
        (Err(_), OnFailure::Deny) => Err(Unavailable),
        (Err(_), OnFailure::Allow) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use OnFailure::{Allow, Deny, Local};
    use Undecided::{Down, Late};

    use super::*;

    /// What one request of an hour's only one is told, by the table or the store.
    fn decision(is_allowed: bool) -> Decision {
        let quota = Quota::new(1, Duration::from_secs(3600), 1);
        quota.decide(if is_allowed { 0 } else { u64::MAX / 2 }, 1)
    }

    fn passes(own: bool, theirs: Result<bool, Undecided>, on_failure: OnFailure) -> Option<bool> {
        let theirs = theirs.map(|is_allowed| own.then(|| decision(is_allowed)));
        let told = conclude(decision(own), theirs, on_failure).ok()?;
        Some(told.is_none_or(|told| told.is_allowed))
    }

    #[test]
    fn only_a_store_that_is_down_lets_pass_what_the_table_would_not() {
        for on_failure in [Local, Allow, Deny] {
            assert_eq!(passes(true, Ok(true), on_failure), Some(true));
            assert_eq!(passes(true, Ok(false), on_failure), Some(false));
            assert_eq!(passes(false, Ok(true), on_failure), Some(false));
        }
        for (why, on_failure, own_refuses) in [
            (Late, Local, Some(false)),
            (Down, Local, Some(false)),
            (Late, Allow, Some(false)),
            (Down, Allow, Some(true)),
            (Late, Deny, Some(false)),
            (Down, Deny, None),
        ] {
            assert_eq!(passes(false, Err(why), on_failure), own_refuses, "{why:?} {on_failure:?}");
            let own_allows = (on_failure != Deny).then_some(true);
            assert_eq!(passes(true, Err(why), on_failure), own_allows, "{why:?} {on_failure:?}");
        }
    }
}
