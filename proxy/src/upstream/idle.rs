//! `timeouts.idle`: how long an endpoint may let the proxy wait between two bytes. It runs only
//! while the proxy waits for the endpoint; a client that is slow does not count.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use crate::clock::{Deadline, Deadlines};

pub(super) struct Idle {
    limit: Duration,
    deadlines: Rc<Deadlines>,
    /// Since when nothing has come; `None` if something came since it was last waited for.
    waits_since: Option<Instant>,
    /// Bytes in motion do not touch it: when it passes, `waits_since` is looked at.
    slot: Option<Deadline>,
}

impl Idle {
    pub(super) fn new(limit: Duration, deadlines: &Rc<Deadlines>) -> Self {
        Self { limit, deadlines: Rc::clone(deadlines), waits_since: None, slot: None }
    }

    /// The endpoint has taken or sent something.
    pub(super) fn moved(&mut self) {
        self.waits_since = None;
    }

    /// Called while there is nothing to do but wait. Ready once that has lasted too long.
    pub(super) fn poll_waited(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        loop {
            if let Some(slot) = &mut self.slot {
                ready!(slot.poll_passed(cx));
            }
            if since.elapsed() >= self.limit {
                return Poll::Ready(());
            }
            self.slot = Some(self.deadlines.start(since + self.limit));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn only_waiting_counts_and_every_byte_starts_it_anew() {
        actix_rt::System::new().block_on(async {
            tokio::time::pause();
            let (deadlines, keeper) = Deadlines::new();
            actix_rt::spawn(keeper);
            let second = Duration::from_secs(1);
            let mut idle = Idle::new(second * 5, &deadlines);
            let started = Instant::now();
            for _ in 0..3 {
                let waited = poll_fn(|cx| idle.poll_waited(cx));
                assert!(tokio::time::timeout(second * 4, waited).await.is_err());
                idle.moved();
                // A client that does not read.
                tokio::time::sleep(second * 60).await;
            }
            let began = Instant::now();
            assert!(began - started >= second * 192);
            poll_fn(|cx| idle.poll_waited(cx)).await;
            let late = began.elapsed() - second * 5;
            assert!(late < Duration::from_millis(5), "{late:?} late");
        });
    }
}
