//! How many requests a service has in flight at once, and who waits for a place: a bounded queue,
//! first come first served. When it is full the newest is turned away, for those who have waited
//! longest are nearest to their answer; what waits too long is turned away too.
//!
//! Numbers are shared by all workers. The queue's lock is taken only where somebody waits.

pub mod adaptive;
pub mod per_key;
mod queue;
pub mod turns;

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed, Ordering::SeqCst},
    task::{Context, Poll},
};

use self::{
    adaptive::AdaptiveLimit,
    queue::{Place, Queue},
};
use crate::{clock::Millis, config::LimitsConfig};

/// The limits of one service, for all workers. Their bounds follow the configuration; what is counted
/// and who waits stay.
pub struct Limits {
    in_flight: AtomicU32,
    most: AtomicU32,
    is_adaptive: AtomicBool,
    adaptive: AdaptiveLimit,
    queue: Queue,
}

/// A request that waits for a place; it leaves the queue when dropped.
pub struct Waiting<'a> {
    limits: &'a Limits,
    place: Place<'a>,
}

impl Limits {
    pub fn new(config: &LimitsConfig) -> Self {
        let most = config.max_in_flight.unwrap_or(u32::MAX);
        Self {
            in_flight: AtomicU32::new(0),
            most: AtomicU32::new(most),
            is_adaptive: AtomicBool::new(config.adaptive),
            adaptive: AdaptiveLimit::new(most),
            queue: Queue::new(config.queue),
        }
    }

    /// Takes other bounds. Who is in flight or waits beyond them stays.
    pub fn adapt(&self, config: &LimitsConfig) {
        let most = config.max_in_flight.unwrap_or(u32::MAX);
        self.most.store(most, Relaxed);
        self.is_adaptive.store(config.adaptive, Relaxed);
        self.adaptive.bound(most);
        self.queue.bound(config.queue);
        self.queue.wake_first();
    }

    /// A place, unless all are taken or somebody waits for one already. To be given back with
    /// `release`.
    pub fn try_enter(&self) -> bool {
        self.queue.is_empty() && self.claim()
    }

    /// Joins the queue; `None` if it is full.
    pub fn wait(&self) -> Option<Waiting<'_>> {
        Some(Waiting { limits: self, place: self.queue.join()? })
    }

    /// Ends what `try_enter` or a wait began.
    pub fn release(&self) {
        self.in_flight.fetch_sub(1, SeqCst);
        self.queue.wake_first();
    }

    /// A place at an endpoint has become free, or an endpoint eligible.
    pub fn endpoint_released(&self) {
        self.queue.wake_first();
    }

    /// Takes the time of an answer into account.
    pub fn observe(&self, now: Millis, latency_us: u32) {
        if self.is_adaptive.load(Relaxed) {
            let before = self.adaptive.limit();
            self.adaptive.observe(now, latency_us.into(), self.in_flight());
            if self.adaptive.limit() > before {
                self.queue.wake_first();
            }
        }
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Requests that wait.
    pub fn waiting(&self) -> u32 {
        self.queue.len()
    }

    /// As many as may be in flight now; `None` without a limit.
    pub fn limit(&self) -> Option<u32> {
        let is_adaptive = self.is_adaptive.load(Relaxed);
        let adapted = if is_adaptive { self.adaptive.limit() } else { u32::MAX };
        Some(adapted.min(self.most.load(Relaxed))).filter(|limit| *limit < u32::MAX)
    }

    fn claim(&self) -> bool {
        let limit = self.limit().unwrap_or(u32::MAX);
        let claimed = |taken| (taken < limit).then_some(taken + 1);
        self.in_flight.fetch_update(SeqCst, SeqCst, claimed).is_ok()
    }
}

impl Waiting<'_> {
    /// Ready with a place; `has_room` is asked whether one would be of use.
    pub fn poll_enter(&mut self, has_room: impl Fn() -> bool, cx: &mut Context<'_>) -> Poll<()> {
        // Before looking: who gives a place back after the look will wake.
        if !self.place.is_first(cx) {
            return Poll::Pending;
        }
        if has_room() && self.limits.claim() { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicUsize},
        task::{Wake, Waker},
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn limits(most: u32, queue: u32) -> Limits {
        let config = LimitsConfig { max_in_flight: Some(most), queue, ..LimitsConfig::default() };
        Limits::new(&config)
    }

    fn polled(waiting: &mut Waiting<'_>, woken: &Arc<Woken>) -> bool {
        let waker = Waker::from(Arc::clone(woken));
        waiting.poll_enter(|| true, &mut Context::from_waker(&waker)).is_ready()
    }

    #[test]
    fn places_are_given_in_the_order_of_arrival_and_never_more_than_there_are() {
        let limits = limits(1, 2);
        assert!(limits.try_enter());
        let (mut first, mut second) =
            (limits.wait().expect("has room"), limits.wait().expect("has room"));
        assert!(limits.wait().is_none(), "the newest is turned away");
        let (one, two) = (Arc::<Woken>::default(), Arc::<Woken>::default());
        assert!(!polled(&mut first, &one) && !polled(&mut second, &two));
        limits.release();
        assert_eq!((one.0.load(SeqCst), two.0.load(SeqCst)), (1, 0));
        assert!(!limits.try_enter(), "nobody passes the queue");
        assert!(!polled(&mut second, &two), "nor within it");
        assert!(polled(&mut first, &one));
        drop(first);
        assert_eq!(limits.in_flight(), 1);
        limits.release();
        assert!(polled(&mut second, &two));
        drop(second);
        limits.release();
        assert_eq!((limits.in_flight(), limits.waiting()), (0, 0));
        assert!(limits.try_enter());
    }

    #[test]
    fn who_gives_up_lets_the_next_one_move_up() {
        let limits = limits(1, 8);
        assert!(limits.try_enter());
        let (mut first, mut second) =
            (limits.wait().expect("has room"), limits.wait().expect("has room"));
        let (one, two) = (Arc::<Woken>::default(), Arc::<Woken>::default());
        assert!(!polled(&mut first, &one) && !polled(&mut second, &two));
        limits.release();
        // Woken, and gone before it could look.
        drop(first);
        assert_eq!(two.0.load(SeqCst), 1);
        assert!(polled(&mut second, &two));
    }

    #[test]
    fn a_limit_that_grows_lets_those_in_who_wait() {
        let config = LimitsConfig { adaptive: true, queue: 1, ..LimitsConfig::default() };
        let limits = Limits::new(&config);
        while limits.try_enter() {}
        let (mut waiting, woken) = (limits.wait().expect("has room"), Arc::<Woken>::default());
        assert!(!polled(&mut waiting, &woken));
        let grown = (0..10_000).find(|sample| {
            limits.observe(Millis(sample * 20), 1000);
            woken.0.load(SeqCst) > 0
        });
        assert!(grown.is_some() && polled(&mut waiting, &woken));
    }

    #[test]
    fn a_place_that_would_be_of_no_use_is_left() {
        let limits = limits(2, 8);
        let mut waiting = limits.wait().expect("has room");
        let waker = Waker::noop();
        let mut cx = Context::from_waker(waker);
        assert!(waiting.poll_enter(|| false, &mut cx).is_pending());
        assert_eq!(limits.in_flight(), 0);
        assert!(waiting.poll_enter(|| true, &mut cx).is_ready());
    }
}
