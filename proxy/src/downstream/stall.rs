//! How long a peer may let the proxy wait while it moves nothing: less than 1 KiB within the limit
//! counts as nothing, so that a byte now and then buys no time.

use std::{
    cell::{Cell, RefCell},
    task::Waker,
};

use super::LEAST_PROGRESS;

/// One thing that is waited for again and again: a client that reads, or one that sends.
#[derive(Default)]
pub struct Stall {
    /// The tick in which it began.
    since: Cell<Option<u32>>,
    /// Bytes since then.
    progress: Cell<u64>,
    is_waiting: Cell<bool>,
    is_overdue: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Stall {
    /// Waits from now on, if it does not already.
    pub fn wait(&self, waker: &Waker, now: u32) {
        remember(&self.waker, waker);
        self.is_waiting.set(true);
        if self.since.get().is_none() {
            self.since.set(Some(now));
        }
    }

    /// Some has moved, and more is to come.
    pub fn moved(&self, bytes: usize) {
        self.progress.set(self.progress.get() + bytes as u64);
        self.is_waiting.set(false);
    }

    /// It is not waited for now.
    pub fn rest(&self) {
        self.is_waiting.set(false);
    }

    /// Nothing is waited for any more.
    pub fn end(&self) {
        self.since.set(None);
        self.progress.set(0);
        self.is_waiting.set(false);
        self.is_overdue.set(false);
    }

    /// Starts the count anew, if there is one.
    pub fn restart(&self, now: u32) {
        if self.since.get().is_some() {
            self.since.set(Some(now));
        }
    }

    pub fn is_waiting(&self) -> bool {
        self.is_waiting.get()
    }

    /// Whether it has taken too long.
    pub fn is_overdue(&self) -> bool {
        self.is_overdue.get()
    }

    /// Called once a tick.
    pub fn look_at(&self, now: u32, limit: u32) {
        let Some(since) = self.since.get() else { return };
        if !self.is_waiting.get() {
            // It is not the peer who is slow.
            self.since.set(Some(now));
            self.progress.set(0);
        } else if now.wrapping_sub(since) >= limit {
            if self.progress.replace(0) >= LEAST_PROGRESS {
                self.since.set(Some(now));
            } else {
                self.is_overdue.set(true);
                self.wake();
            }
        }
    }

    pub fn wake(&self) {
        wake(&self.waker);
    }
}

pub fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.borrow().as_ref() {
        waker.wake_by_ref();
    }
}

/// Remembers whom to wake.
pub fn remember(slot: &RefCell<Option<Waker>>, waker: &Waker) {
    match &mut *slot.borrow_mut() {
        Some(known) => known.clone_from(waker),
        none => *none = Some(waker.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 4;

    fn waiting() -> Stall {
        let stall = Stall::default();
        stall.wait(Waker::noop(), 10);
        stall
    }

    #[test]
    fn waiting_without_progress_ends_at_the_limit() {
        let stall = waiting();
        stall.look_at(13, LIMIT);
        assert!(!stall.is_overdue());
        stall.look_at(14, LIMIT);
        assert!(stall.is_overdue());
    }

    #[test]
    fn a_byte_now_and_then_buys_no_time() {
        let stall = waiting();
        for now in 11..14 {
            stall.moved(300);
            stall.wait(Waker::noop(), now);
            stall.look_at(now, LIMIT);
        }
        stall.look_at(14, LIMIT);
        assert!(stall.is_overdue());
    }

    #[test]
    fn a_kib_buys_another_window() {
        let stall = waiting();
        stall.moved(1024);
        stall.wait(Waker::noop(), 11);
        stall.look_at(14, LIMIT);
        assert!(!stall.is_overdue());
        stall.look_at(18, LIMIT);
        assert!(stall.is_overdue());
    }

    #[test]
    fn who_is_not_waited_for_is_not_slow() {
        for rest in [|stall: &Stall| stall.moved(1), Stall::rest] {
            let stall = waiting();
            rest(&stall);
            stall.look_at(30, LIMIT);
            stall.wait(Waker::noop(), 31);
            stall.look_at(33, LIMIT);
            assert!(!stall.is_overdue());
        }
    }
}
