//! Waits for a place in a service that limits how many requests it has at once.

use std::{
    cell::Cell,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    clock::Deadline,
    error::Reason,
    limits::{Limits, Waiting},
    worker::{Hop, Permit, Worker},
};

/// A place, at once or from the queue.
///
/// # Errors
/// `queue_full`, `queue_timeout`, or `total_timeout` if `end` came first.
pub(super) async fn admit(
    worker: &Worker,
    hop: &Rc<Hop>,
    limits: &Limits,
    end: Option<Instant>,
) -> Result<Permit, Reason> {
    if hop.has_room(hop.clock.now()) && limits.try_enter() {
        return Ok(Permit::new(hop));
    }
    let began = Instant::now();
    let waiting = limits.wait().ok_or(Reason::QueueFull)?;
    let until = began + hop.service.queue_timeout;
    let mut deadline = worker.deadlines.start(end.map_or(until, |end| end.min(until)));
    let mut queued = Queued { worker, hop, waiting, next_look: None };
    let entered = poll_fn(|cx| match queued.poll(cx) {
        Poll::Ready(()) => Poll::Ready(Ok(Permit::new(hop))),
        Poll::Pending => deadline.poll_passed(cx).map(|()| Err(Reason::QueueTimeout)),
    })
    .await;
    worker.shard.queue_waited(hop.service.id, began.elapsed());
    match entered {
        Err(_) if end.is_some_and(|end| end <= until) => Err(Reason::TotalTimeout),
        entered => entered,
    }
}

/// A request in the queue. Whatever makes an endpoint eligible wakes the first of them, but for time,
/// which wakes nobody: who finds no room looks again when it has passed.
struct Queued<'a> {
    worker: &'a Worker,
    hop: &'a Hop,
    waiting: Waiting<'a>,
    next_look: Option<Deadline>,
}

impl Queued<'_> {
    /// Ready with a place.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Only the first of the queue asks.
            let next = Cell::new(None);
            let has_room = || {
                let now = self.hop.clock.now();
                let has_room = self.hop.has_room(now);
                if !has_room {
                    next.set(self.hop.service.next_eligible(now).map(|at| at.after(now)));
                }
                has_room
            };
            if self.waiting.poll_enter(has_room, cx).is_ready() {
                return Poll::Ready(());
            }
            self.next_look = next.take().map(|pause| {
                self.worker.deadlines.start(Instant::now() + Duration::from_millis(pause))
            });
            let Some(next_look) = &mut self.next_look else { return Poll::Pending };
            ready!(next_look.poll_passed(cx));
        }
    }
}
