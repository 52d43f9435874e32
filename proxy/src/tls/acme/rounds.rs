//! Looks at the names again and again, and orders what is due: one name after the other, and only
//! while no other process does.
//!
//! Knows the CA by a trait alone, so that its tests need none.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    certificate::{Kept, compose},
    decide::{Next, pause},
    error::AcmeError,
    failure::{Failure, challenge_word},
    named::Named,
    order::Issued,
    renewal_info::Advice,
    state::{Lock, State, StateError},
};
use crate::{config::AcmeConfig, telemetry::metrics::AcmeOrders};

/// The longest time between two looks at the files: by then, a file that somebody has removed is
/// missed, and a clock that was set is noticed.
const LOOK: Duration = Duration::from_secs(60);
/// While another process orders.
const BUSY: Duration = Duration::from_secs(5);
const SHORTEST: Duration = Duration::from_secs(1);
/// Names in one line of the log.
const MOST_LOGGED: usize = 10;

/// What a CA does for us. Every call ends within a bound.
pub(super) trait Authority {
    type Account;

    async fn open(&self, state: &State, lock: &Lock) -> Result<Self::Account, AcmeError>;

    async fn order(
        &self,
        account: &Self::Account,
        name: &str,
        lock: &Lock,
    ) -> Result<Issued, AcmeError>;

    /// When it would like these certificates renewed, as far as it can be asked; where in their
    /// windows says a number from 0 to 1 each.
    async fn advise(&self, state: &State, certificates: &[(Kept, f64)]) -> Vec<Advice>;
}

pub(super) struct Rounds<A> {
    pub(super) authority: A,
    pub(super) config: AcmeConfig,
    pub(super) names: Vec<Named>,
    pub(super) orders: Arc<AcmeOrders>,
    pub(super) clock: fn() -> SystemTime,
    /// From 0 to 1, another one each time.
    pub(super) chance: fn() -> f64,
    /// False once nothing new is to be begun.
    pub(super) goes_on: watch::Receiver<bool>,
    pub(super) is_first: bool,
    /// Rounds in a row that the state could not be used.
    pub(super) troubles: u32,
}

impl<A: Authority> Rounds<A> {
    /// Goes on until it is told not to.
    pub(super) async fn run(mut self) {
        let mut goes_on = self.goes_on.clone();
        while *goes_on.borrow() {
            let pause = self.round().await;
            tokio::select! {
                () = sleep(pause) => {}
                // An error means that nobody is there any more to tell.
                _ = goes_on.wait_for(|goes_on| !goes_on) => return,
            }
        }
    }

    /// One look, and what follows from it; returns how long nothing is to be done.
    async fn round(&mut self) -> Duration {
        match self.look_and_order().await {
            Ok(pause) => {
                self.troubles = 0;
                pause
            }
            Err(error) => {
                self.troubles = self.troubles.saturating_add(1);
                self.orders.state_failures.add(1);
                let pause = pause(self.troubles, None, (self.chance)());
                let error = AcmeError::State(error);
                let hint = error.hint(self.config.challenge);
                tracing::error!(
                    error = error.text(),
                    hint,
                    retry_in_s = pause.as_secs(),
                    "acme state unusable"
                );
                pause
            }
        }
    }

    async fn look_and_order(&mut self) -> Result<Duration, StateError> {
        let state = State::open(&self.config.state.path)?;
        let is_anything_due = !self.look(&state).is_empty();
        if is_anything_due || self.is_first {
            let Some(lock) = state.try_lock()? else {
                tracing::debug!("another process orders certificates");
                return Ok(BUSY.mul_f64(0.75 + (self.chance)() / 2.0));
            };
            lock.clear()?;
            // Another process may have ordered before the lock was ours.
            let due = self.look(&state);
            if self.is_first {
                self.is_first = false;
                self.say_what_waits();
            }
            self.order_all(&state, &lock, due).await;
        }
        self.ask_for_advice(&state).await;
        Ok(self.until_next())
    }

    /// The indexes of the names that are due.
    fn look(&mut self, state: &State) -> Vec<usize> {
        let now = (self.clock)();
        let mut due = Vec::new();
        for (index, named) in self.names.iter_mut().enumerate() {
            if let Err(error) = named.look(state, &self.config, now, self.is_first) {
                // The other names need not wait for it.
                self.orders.state_failures.add(1);
                let (name, error) = (&*named.name, crate::error::chain(&error));
                tracing::error!(name, error, "acme leaves a name out whose files cannot be read");
            } else if named.next(now) == Next::Order {
                due.push(index);
            }
        }
        due
    }

    /// Else it would not be clear why nothing is done.
    fn say_what_waits(&self) {
        let now = (self.clock)();
        for named in &self.names {
            if let Some((failure, pause)) = named.waits(now) {
                let (error, name) = (&*failure.error, &*named.name);
                tracing::warn!(
                    name,
                    error,
                    retry_in_s = pause.as_secs(),
                    "acme order waits after a failure"
                );
            }
        }
    }

    async fn order_all(&mut self, state: &State, lock: &Lock, due: Vec<usize>) {
        if due.is_empty() || !*self.goes_on.borrow() {
            return;
        }
        let account = match self.authority.open(state, lock).await {
            Ok(account) => account,
            Err(error) => return self.failed(&due, &error, state, lock),
        };
        for (place, &index) in due.iter().enumerate() {
            if !*self.goes_on.borrow() {
                return;
            }
            if let Err(error) = self.order(&account, index, state, lock).await {
                if error.forgets_account() {
                    // If it stays, the next order says so again.
                    let _ = lock.remove(&state.account());
                }
                let is_for_all = error.concerns_all_names();
                let end = if is_for_all { due.len() } else { place + 1 };
                self.failed(&due[place..end], &error, state, lock);
                if is_for_all {
                    return;
                }
            }
        }
    }

    async fn order(
        &mut self,
        account: &A::Account,
        index: usize,
        state: &State,
        lock: &Lock,
    ) -> Result<(), AcmeError> {
        let named = &mut self.names[index];
        let (name, directory) = (&*named.name, &*self.config.directory);
        let challenge = challenge_word(self.config.challenge);
        let why = named.why();
        tracing::info!(name, challenge, directory, why, "acme order begun");
        let begun = Instant::now();
        let issued = self.authority.order(account, name, lock).await?;
        let now = (self.clock)();
        let (text, kept) = compose(name, directory, &issued.key, &issued.chain, now)?;
        let not_after = httpdate::fmt_http_date(kept.validity.not_after);
        named.renewed(&text, kept, now, state, lock)?;
        self.orders.ok.add(1);
        tracing::info!(name = named.name, not_after, took = ?begun.elapsed(), "acme order done");
        Ok(())
    }

    /// The orders of these names have failed, or could not even begin.
    fn failed(&mut self, due: &[usize], error: &AcmeError, state: &State, lock: &Lock) {
        let (now, text) = ((self.clock)(), error.text());
        let mut soonest = Duration::MAX;
        for &index in due {
            let named = &mut self.names[index];
            let failures = named.failures().saturating_add(1);
            let pause = pause(failures, error.retry_after(), (self.chance)());
            soonest = soonest.min(pause);
            let failure = Failure::new(&self.config, failures, now, pause, text.clone());
            named.failed(failure, state, lock);
            self.orders.failed.add(1);
        }
        let names = due.iter().take(MOST_LOGGED).map(|index| &*self.names[*index].name);
        let names = names.collect::<Vec<_>>().join(", ");
        tracing::error!(
            names,
            and_more = due.len().saturating_sub(MOST_LOGGED),
            challenge = challenge_word(self.config.challenge),
            directory = self.config.directory,
            error = text,
            hint = error.hint(self.config.challenge),
            retry_in_s = soonest.as_secs(),
            "acme order failed"
        );
    }

    async fn ask_for_advice(&mut self, state: &State) {
        let now = (self.clock)();
        let asked = self
            .names
            .iter()
            .filter_map(|named| named.to_ask_about(now).map(|kept| (kept.clone(), named.spread)));
        let asked: Vec<(Kept, f64)> = asked.collect();
        if asked.is_empty() || !*self.goes_on.borrow() {
            return;
        }
        for advice in self.authority.advise(state, &asked).await {
            let is_about = |named: &&mut Named| {
                named.to_ask_about(now).is_some_and(|kept| kept.leaf == advice.of)
            };
            if let Some(named) = self.names.iter_mut().find(is_about) {
                named.advise(advice);
            }
        }
    }

    fn until_next(&self) -> Duration {
        let now = (self.clock)();
        let pauses = self.names.iter().map(|named| match named.next(now) {
            Next::Order => Duration::ZERO,
            Next::At(at) => at.duration_since(now).unwrap_or_default(),
        });
        pauses.min().unwrap_or(LOOK).clamp(SHORTEST, LOOK)
    }
}

#[cfg(test)]
mod tests;
