//! Deadlines without a timer per request, and the time that decisions are given.
//!
//! A tokio timer costs a locked wheel operation to set and another to drop, for a deadline that
//! nearly never passes. Here a deadline is a slot in a slab; one task per worker sleeps until the
//! earliest one it knows of, and looks again. Under load, slots come and go without waking it.
//!
//! And `Clock`, with `Millis`, the coarse time that atomics hold.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use slab::Slab;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// Milliseconds of the process's own monotonic clock, from an epoch that all workers share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// The time at `now`; zero before the epoch.
    pub fn since(epoch: Instant, now: Instant) -> Self {
        let passed = now.saturating_duration_since(epoch);
        Self(passed.as_secs() * 1000 + u64::from(passed.subsec_millis()))
    }

    /// Whole milliseconds of `duration`, at least one.
    pub fn count(duration: Duration) -> u64 {
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    pub fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds since `earlier`; 0 if that is later, as the clocks of two workers may say.
    pub fn after(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The clock of the process: all workers and all snapshots share it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    pub fn now(self) -> Millis {
        self.at(Instant::now())
    }

    pub fn at(self, instant: Instant) -> Millis {
        Millis::since(self.epoch, instant)
    }

    pub fn nanos_at(self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.epoch))
    }
}

/// Whole nanoseconds, as far as 64 bits count them: 584 years.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The running deadlines of one worker. Bound: one slot per attempt in flight.
#[derive(Default)]
pub struct Deadlines {
    slots: RefCell<Slab<Slot>>,
    /// When the keeper looks next; `None` while it waits to be told.
    next_look: Cell<Option<Instant>>,
    keeper: Notify,
}

struct Slot {
    at: Instant,
    passed: bool,
    waker: Option<Waker>,
}

/// One deadline, forgotten when dropped.
pub struct Deadline {
    owner: Rc<Deadlines>,
    key: usize,
}

impl Deadlines {
    /// The deadlines, and the task that watches over them for as long as the thread's runtime lives.
    pub fn new() -> (Rc<Self>, impl Future<Output = ()>) {
        let deadlines = Rc::new(Self::default());
        let keeper = keep(Rc::downgrade(&deadlines));
        (deadlines, keeper)
    }

    pub fn start(self: &Rc<Self>, at: Instant) -> Deadline {
        let key = self.slots.borrow_mut().insert(Slot { at, passed: false, waker: None });
        if self.next_look.get().is_none_or(|look| at < look) {
            self.keeper.notify_one();
        }
        Deadline { owner: Rc::clone(self), key }
    }

    /// Wakes what has passed and returns the earliest of the rest.
    fn look(&self, now: Instant) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        for (_, slot) in self.slots.borrow_mut().iter_mut().filter(|(_, slot)| !slot.passed) {
            if slot.at <= now {
                slot.passed = true;
                if let Some(waker) = slot.waker.take() {
                    waker.wake();
                }
            } else {
                earliest = Some(earliest.map_or(slot.at, |known| known.min(slot.at)));
            }
        }
        earliest
    }
}

async fn keep(deadlines: Weak<Deadlines>) {
    while let Some(deadlines) = deadlines.upgrade() {
        let next = deadlines.look(Instant::now());
        deadlines.next_look.set(next);
        match next {
            // Only the time matters: being told and being late lead to the same look.
            Some(at) => drop(timeout_at(at, deadlines.keeper.notified()).await),
            None => deadlines.keeper.notified().await,
        }
    }
}

impl Deadline {
    /// Ready once the deadline has passed.
    pub fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut slots = self.owner.slots.borrow_mut();
        let slot = &mut slots[self.key];
        if slot.passed {
            return Poll::Ready(());
        }
        match &mut slot.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.owner.slots.borrow_mut().remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Runs `test` on paused time with a keeper beside it.
    fn with_deadlines<F: Future<Output = ()> + 'static>(test: impl FnOnce(Rc<Deadlines>) -> F) {
        actix_rt::System::new().block_on(async {
            tokio::time::pause();
            let (deadlines, keeper) = Deadlines::new();
            actix_rt::spawn(keeper);
            test(deadlines).await;
        });
    }

    async fn passed(mut deadline: Deadline) {
        poll_fn(|cx| deadline.poll_passed(cx)).await;
    }

    #[test]
    fn millis_count_from_the_epoch_and_never_below_zero() {
        let epoch = Instant::now();
        let later = epoch + Duration::from_micros(2_999);
        assert_eq!(Millis::since(epoch, later), Millis(2));
        assert_eq!(Millis::since(later, epoch), Millis(0));
        assert_eq!(Millis(7).after(Millis(5)), 2);
        assert_eq!(Millis(5).after(Millis(7)), 0);
    }

    #[test]
    fn a_deadline_passes_at_its_time() {
        with_deadlines(|deadlines| async move {
            let start = Instant::now();
            passed(deadlines.start(start + Duration::from_secs(5))).await;
            let late = start.elapsed() - Duration::from_secs(5);
            assert!(late < Duration::from_millis(5), "{late:?} late");
        });
    }

    #[test]
    fn an_earlier_deadline_set_later_still_passes_first() {
        with_deadlines(|deadlines| async move {
            let start = Instant::now();
            let far = deadlines.start(start + Duration::from_secs(60));
            tokio::task::yield_now().await;
            passed(deadlines.start(start + Duration::from_secs(1))).await;
            assert!(start.elapsed() < Duration::from_secs(2));
            passed(far).await;
            assert!(start.elapsed() >= Duration::from_secs(60));
        });
    }

    #[test]
    fn a_dropped_deadline_leaves_no_slot() {
        with_deadlines(|deadlines| async move {
            let deadline = deadlines.start(Instant::now() + Duration::from_secs(1));
            drop(deadline);
            assert!(deadlines.slots.borrow().is_empty());
        });
    }
}
