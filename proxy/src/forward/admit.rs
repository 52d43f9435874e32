//! Waits for a place in a service that limits how many requests it has at once.

use std::{future::poll_fn, rc::Rc, task::Poll};

use tokio::time::Instant;

use crate::{
    error::Reason,
    limits::Limits,
    service::{Permit, Service},
    worker::Worker,
};

/// A place, at once or from the queue.
///
/// # Errors
/// `queue_full`, `queue_timeout`, or `total_timeout` if `end` came first.
pub(super) async fn admit(
    worker: &Rc<Worker>,
    service: &Service,
    limits: &Limits,
    end: Option<Instant>,
) -> Result<Permit, Reason> {
    if service.has_room(worker.gateway.now()) && limits.try_enter() {
        return Ok(Permit::new(worker, service.index));
    }
    let began = Instant::now();
    let mut waiting = limits.wait().ok_or(Reason::QueueFull)?;
    let until = began + limits.queue_timeout;
    let mut deadline = worker.deadlines.start(end.map_or(until, |end| end.min(until)));
    let has_room = || service.has_room(worker.gateway.now());
    let entered = poll_fn(|cx| match waiting.poll_enter(has_room, cx) {
        Poll::Ready(()) => Poll::Ready(Ok(Permit::new(worker, service.index))),
        Poll::Pending => deadline.poll_passed(cx).map(|()| Err(Reason::QueueTimeout)),
    })
    .await;
    worker.shard.queue_waited(service.index, began.elapsed());
    match entered {
        Err(_) if end.is_some_and(|end| end <= until) => Err(Reason::TotalTimeout),
        entered => entered,
    }
}
