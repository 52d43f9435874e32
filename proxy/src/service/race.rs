//! Two threads that meet at each step: without it a test of a race passes by luck.

use std::{
    hint::black_box,
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
        for spins in 1_u32.. {
            if arrived.load(SeqCst) >= time * THREADS {
                return;
            }
            if spins.is_multiple_of(1000) {
                assert!(begun.elapsed() < Duration::from_secs(30), "the other thread is gone");
                thread::yield_now();
            }
        }
    };
    let (act, check, meet) = (&act, &check, &meet);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for round in 0..rounds {
                    meet(2 * round + 1);
                    // A few nanoseconds later in each round, so that any two steps meet.
                    for wait in 0..thread * (round % 64) {
                        black_box(wait);
                    }
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
