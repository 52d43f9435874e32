//! The breaker against its state diagram, alone and with threads that race.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::service::race::race;

const CONFIG: BreakerConfig = BreakerConfig {
    failure_ratio: 0.5,
    window: Duration::from_secs(10),
    min_requests: 4,
    open: Duration::from_secs(5),
};

/// Opened at 0 by four failures.
fn open() -> Breaker {
    let breaker = Breaker::new(&CONFIG);
    for _ in 0..3 {
        assert_eq!(breaker.report(Millis(0), Admission::Yes, true), None);
    }
    assert_eq!(breaker.report(Millis(0), Admission::Yes, true), Some(Transition::Opened));
    breaker
}

/// Asks for a trial and reports it.
fn trial(breaker: &Breaker, now: u64, failed: bool) -> Option<Transition> {
    let admission = breaker.admits(Millis(now));
    assert!(matches!(admission, Admission::Trial(_)), "{admission:?}");
    breaker.report(Millis(now), admission, failed)
}

#[test]
fn half_of_enough_requests_failing_opens_it() {
    let breaker = Breaker::new(&CONFIG);
    let outcomes = [true, false, false, false, true];
    for failed in outcomes {
        assert_eq!(breaker.report(Millis(0), breaker.admits(Millis(0)), failed), None);
    }
    let last = breaker.report(Millis(0), breaker.admits(Millis(0)), true);
    assert_eq!(last, Some(Transition::Opened));
    assert_eq!(breaker.admits(Millis(4999)), Admission::No);
    assert_eq!(breaker.report(Millis(1), Admission::Yes, true), None, "admitted before");
}

#[test]
fn one_trial_at_a_time_and_three_close_it() {
    let breaker = open();
    assert!(breaker.refuses(Millis(4999)) && !breaker.refuses(Millis(5000)));
    let first = breaker.admits(Millis(5000));
    assert_eq!(breaker.admits(Millis(5000)), Admission::No);
    assert_eq!(breaker.phase(), Phase::HalfOpen);
    assert_eq!(breaker.report(Millis(5001), first, false), None);
    assert_eq!(trial(&breaker, 5001, false), None);
    assert_eq!(trial(&breaker, 5001, false), Some(Transition::Closed));
    assert_eq!(breaker.admits(Millis(5001)), Admission::Yes);
    assert_eq!(breaker.report(Millis(5001), Admission::Yes, true), None, "it counts anew");
}

#[test]
fn a_failed_trial_opens_it_again() {
    let breaker = open();
    assert_eq!(trial(&breaker, 5000, false), None);
    assert_eq!(trial(&breaker, 6000, true), Some(Transition::Reopened));
    assert!(breaker.refuses(Millis(10_999)));
    assert_eq!(trial(&breaker, 11_000, false), None);
    assert_eq!(trial(&breaker, 11_000, false), None);
    assert_eq!(breaker.phase(), Phase::HalfOpen, "the first of before does not count");
}

#[test]
fn a_trial_that_takes_longer_than_it_is_open_counts_when_it_ends() {
    let breaker = open();
    let mut told = Vec::new();
    let mut running = Vec::new();
    // One begins each 5 s, and each takes 7.5 s.
    for round in 1..=4 {
        let began = 5000 * round;
        running.push(breaker.admits(Millis(began)));
        assert_eq!(breaker.admits(Millis(began + 1)), Admission::No, "one at a time");
        if running.len() == 2 {
            told.push(breaker.report(Millis(began + 2500), running.remove(0), false));
        }
    }
    assert_eq!(told, [None, None, Some(Transition::Closed)]);
    let last = running.remove(0);
    assert_eq!(breaker.report(Millis(27_500), last, true), None, "it is closed");
}

#[test]
fn a_trial_of_before_it_opened_again_says_nothing() {
    let breaker = open();
    let slow = breaker.admits(Millis(5000));
    assert_eq!(breaker.admits(Millis(9999)), Admission::No);
    let next = breaker.admits(Millis(10_000));
    assert_eq!(breaker.report(Millis(10_001), next, true), Some(Transition::Reopened));
    let other = breaker.admits(Millis(15_001));
    assert_eq!(breaker.report(Millis(15_002), slow, false), None);
    for last in [15_002, 15_003] {
        assert_eq!(breaker.phase(), Phase::HalfOpen);
        assert_eq!(breaker.admits(Millis(last)), Admission::No, "the other is under way");
    }
    assert_eq!(breaker.report(Millis(15_004), other, false), None);
    assert_eq!(trial(&breaker, 15_005, false), None);
    assert_eq!(trial(&breaker, 15_006, false), Some(Transition::Closed));
}

#[test]
fn a_slow_trial_that_fails_opens_it_again() {
    let breaker = open();
    let slow = breaker.admits(Millis(5000));
    let _running = breaker.admits(Millis(10_000));
    assert_eq!(breaker.report(Millis(10_001), slow, true), Some(Transition::Reopened));
    assert!(breaker.refuses(Millis(15_000)));
}

#[test]
fn it_says_when_it_admits_the_next() {
    let breaker = open();
    assert_eq!(breaker.admits_at(Millis(100)), Some(Millis(5000)));
    assert_eq!(breaker.admits_at(Millis(5000)), None, "it does");
    let first = breaker.admits(Millis(6000));
    assert_eq!(breaker.admits_at(Millis(6001)), Some(Millis(11_000)));
    assert_eq!(breaker.report(Millis(6002), first, false), None);
    assert_eq!(breaker.admits_at(Millis(6002)), None);
}

#[test]
fn of_racing_threads_one_is_told_and_one_gets_the_trial() {
    let breaker = Breaker::new(&BreakerConfig { min_requests: 1, ..CONFIG });
    let told = AtomicU64::new(0);
    let opens = |now| breaker.report(now, Admission::Yes, true) == Some(Transition::Opened);
    let held = Mutex::new(None);
    let is_trial = |now| {
        let admission = breaker.admits(now);
        let is_trial = matches!(admission, Admission::Trial(_));
        if is_trial {
            *held.lock().expect("no panic") = Some(admission);
        }
        is_trial
    };
    let at = |round: u64| Millis(round * 5000);
    let act = |_, round: u64| {
        let is_told = if round.is_multiple_of(2) { opens(at(round)) } else { is_trial(at(round)) };
        told.fetch_add(u64::from(is_told), SeqCst);
    };
    race(10_000, act, |round| {
        assert_eq!(told.swap(0, SeqCst), 1, "round {round}");
        if round.is_multiple_of(2) {
            return;
        }
        let won = held.lock().expect("no panic").take().expect("one has got it");
        assert_eq!(breaker.report(at(round), won, false), None);
        assert_eq!(trial(&breaker, at(round).0, false), None);
        assert_eq!(trial(&breaker, at(round).0, false), Some(Transition::Closed));
    });
}

/// The state diagram, written plainly for one thread.
struct Model {
    phase: Phase,
    since: u64,
    well: u32,
    /// When the last trial began, until it has ended.
    trial: Option<u64>,
    openings: u16,
    counted: Vec<(u64, bool)>,
}

impl Model {
    fn admits(&mut self, now: u64) -> Admission {
        let is_over = |since: u64| now >= since + 5000;
        let may_try = match self.phase {
            Phase::Closed => return Admission::Yes,
            Phase::Open => is_over(self.since),
            Phase::HalfOpen => self.trial.is_none_or(is_over),
        };
        if !may_try {
            return Admission::No;
        }
        if self.phase == Phase::Open {
            self.well = 0;
        }
        self.phase = Phase::HalfOpen;
        self.trial = Some(now);
        Admission::Trial(Trial { began: Millis(now), opening: self.openings })
    }

    fn report(&mut self, now: u64, admission: &Admission, failed: bool) -> Option<Transition> {
        match (self.phase, admission) {
            (Phase::Closed, Admission::Yes) => self.count(now, failed),
            (Phase::HalfOpen, Admission::Trial(trial)) if trial.opening == self.openings => {
                self.trial = self.trial.filter(|last| *last != trial.began.0);
                self.well += 1;
                match (failed, self.well) {
                    (true, _) => self.enter(now, Phase::Open, Transition::Reopened),
                    (false, 3) => self.enter(now, Phase::Closed, Transition::Closed),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn count(&mut self, now: u64, failed: bool) -> Option<Transition> {
        self.counted.push((now, failed));
        self.counted.retain(|(at, _)| now / 1000 - at / 1000 < 10);
        let failures = self.counted.iter().filter(|(_, failed)| *failed).count();
        let opens = self.counted.len() >= 4 && failures * 2 >= self.counted.len();
        if opens { self.enter(now, Phase::Open, Transition::Opened) } else { None }
    }

    fn enter(&mut self, now: u64, phase: Phase, told: Transition) -> Option<Transition> {
        (self.phase, self.since) = (phase, now);
        self.openings += u16::from(phase == Phase::Open);
        self.counted.clear();
        Some(told)
    }
}

proptest! {
    #[test]
    fn it_moves_along_the_diagram_alone(
        events in proptest::collection::vec((0u64..3000, 0usize..8, 0u8..10), 1..300),
    ) {
        let breaker = Breaker::new(&CONFIG);
        let mut model = Model {
            phase: Phase::Closed,
            since: 0,
            well: 0,
            trial: None,
            openings: 0,
            counted: Vec::new(),
        };
        let (mut now, mut sent) = (0, Vec::new());
        for (pause, which, luck) in events {
            now += pause;
            let refuses = breaker.refuses(Millis(now));
            let admission = breaker.admits(Millis(now));
            prop_assert_eq!(&admission, &model.admits(now));
            prop_assert_eq!(refuses, admission == Admission::No);
            sent.push(admission);
            // Out of order, and some never.
            let admission = sent.swap_remove(which % sent.len());
            if luck < 8 {
                let told = model.report(now, &admission, luck < 4);
                prop_assert_eq!(breaker.report(Millis(now), admission, luck < 4), told);
            }
            prop_assert_eq!(breaker.phase(), model.phase);
        }
    }
}
