//! Threads that meet: what tests of racing threads need to be able to fail.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

const THREADS: u64 = 2;

/// Runs `act` for each round on two threads that begin it at the same moment, `check` on one of
/// them when both are done. They spin: a lock would let one go after the other.
pub(super) fn race(rounds: u64, act: impl Fn(u64, u64) + Sync, check: impl Fn(u64) + Sync) {
    let arrived = AtomicU64::new(0);
    let meet = |time: u64| {
        arrived.fetch_add(1, SeqCst);
        let begun = Instant::now();
        while arrived.load(SeqCst) < time * THREADS {
            assert!(begun.elapsed() < Duration::from_secs(30), "the other thread is gone");
            thread::yield_now();
        }
    };
    let (act, check, meet) = (&act, &check, &meet);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for round in 0..rounds {
                    meet(2 * round + 1);
                    act(thread, round);
                    meet(2 * round + 2);
                    if thread == 0 {
                        check(round);
                    }
                }
            });
        }
    });
}
