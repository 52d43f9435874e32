//! Looks at what is ready now, whatever the task has done before: tokio lets a task have 128 reads and
//! the like in one turn, and from then on says of everything that it is not ready. Where that is taken
//! for an answer ("nothing has come, so the connection is open"), it must be true.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Waker},
};

use tokio::task::{coop::has_budget_remaining, unconstrained};

/// Polls once; nobody is woken for what is not ready.
pub fn poll_at_once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    if has_budget_remaining() {
        return poll(&mut Context::from_waker(Waker::noop()));
    }
    pin!(unconstrained(poll_fn(poll))).poll(&mut Context::from_waker(Waker::noop()))
}

#[cfg(test)]
mod tests {
    use tokio::task::coop::poll_proceed;

    use super::*;

    #[test]
    fn a_task_that_has_used_its_turn_up_sees_what_is_ready() {
        actix_rt::System::new().block_on(async {
            while has_budget_remaining() {
                tokio::task::consume_budget().await;
            }
            let poll =
                |cx: &mut Context<'_>| poll_proceed(cx).map(|progress| progress.made_progress());
            assert!(poll_at_once(poll).is_ready());
        });
    }
}
