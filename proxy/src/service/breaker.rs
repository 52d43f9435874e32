//! Circuit breaker, as [Nygard and Fowler][fowler] describe it: an endpoint of which too large a
//! share of requests fails gets none for a while, then one at a time, and all again after three
//! that went well. Unlike outlier ejection it opens for every endpoint of a service if it must.
//!
//! State and time are one word, changed by compare-exchange, so one thread sees each transition and
//! one gets each trial. Constant memory. Nothing here knows of metrics or logs.
//!
//! A trial that takes longer than `open` is not the last word, and another one begins; but it counts
//! when it ends, as long as the breaker has not opened since. So an endpoint that is slow and well
//! closes it.
//!
//! ```text
//!           too many failed               `open` has passed
//!  closed ──────────────────▶ open ──────────────────────────▶ half-open
//!    ▲                          ▲      a trial failed              │ │
//!    │                          └──────────────────────────────────┘ │
//!    └───────────────────────────────────────────────────────────────┘
//!                    three trials in a row went well
//! ```
//!
//! [fowler]: https://martinfowler.com/bliki/CircuitBreaker.html

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::window::Window;
use crate::{clock::Millis, config::BreakerConfig};

/// Trials in a row that close it.
const TRIALS: u64 = 3;

/// The breaker of one endpoint.
#[derive(Debug)]
pub struct Breaker {
    word: AtomicU64,
    /// Counts while closed.
    window: Window,
    config: BreakerConfig,
    open_ms: u64,
}

/// Whether a request may be sent; to be handed back with its outcome, once.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    Yes,
    /// A request that shows whether the endpoint is well. Nobody else gets one until it is reported, or
    /// for `open`.
    Trial(Trial),
    No,
}

/// When a trial began, and how often the breaker had opened: what it shows is of no use once the
/// breaker has opened again.
#[derive(Debug, PartialEq, Eq)]
pub struct Trial {
    began: Millis,
    opening: u16,
}

/// What one observer is told, for log and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    Opened,
    /// A trial failed.
    Reopened,
    Closed,
}

/// What metrics show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Closed,
    /// Until a trial is asked for, even if `open` has passed.
    Open,
    HalfOpen,
}

impl Breaker {
    pub fn new(config: &BreakerConfig) -> Self {
        Self {
            word: AtomicU64::new(State::Closed { since: Millis(0), openings: 0 }.word()),
            window: Window::new(config.window),
            config: *config,
            open_ms: Millis::count(config.open),
        }
    }

    pub fn is_of(&self, config: &BreakerConfig) -> bool {
        self.config == *config
    }

    /// Whether `admits` would say no: for choosing among endpoints without taking a trial from one
    /// that is not chosen. One load.
    pub fn refuses(&self, now: Millis) -> bool {
        self.state().refuses(now, self.open_ms)
    }

    /// Asked for the endpoint that a request goes to. One load while closed. Who loses the race for
    /// a trial is refused.
    pub fn admits(&self, now: Millis) -> Admission {
        let state = self.state();
        let (well, opening) = match state {
            State::Closed { .. } => return Admission::Yes,
            _ if state.refuses(now, self.open_ms) => return Admission::No,
            State::Open { opening, .. } => (0, opening),
            State::Waiting { well, opening } | State::Trial { well, opening, .. } => {
                (well, opening)
            }
        };
        let is_ours = self.change(state, State::Trial { well, opening, since: now });
        if is_ours { Admission::Trial(Trial { began: now, opening }) } else { Admission::No }
    }

    /// When it stops to refuse by itself; `None` if it does not refuse, or waits for a report.
    pub fn admits_at(&self, now: Millis) -> Option<Millis> {
        match self.state() {
            state if !state.refuses(now, self.open_ms) => None,
            State::Open { since, .. } | State::Trial { since, .. } => {
                Some(since.plus(self.open_ms))
            }
            State::Closed { .. } | State::Waiting { .. } => None,
        }
    }

    /// Takes the outcome of a request. Of what was admitted while closed nothing counts while open or
    /// half-open.
    pub fn report(&self, now: Millis, admission: Admission, failed: bool) -> Option<Transition> {
        match admission {
            Admission::Yes => self.count(now, failed),
            Admission::Trial(trial) => self.judge(now, &trial, failed),
            Admission::No => None,
        }
    }

    /// Gives a trial back that has shown nothing.
    pub fn forget(&self, admission: Admission) {
        let Admission::Trial(trial) = admission else { return };
        if let state @ State::Trial { well, opening, since } = self.state()
            && (since, opening) == (trial.began, trial.opening)
        {
            self.change(state, State::Waiting { well, opening });
        }
    }

    pub fn phase(&self) -> Phase {
        match self.state() {
            State::Closed { .. } => Phase::Closed,
            State::Open { .. } => Phase::Open,
            State::Waiting { .. } | State::Trial { .. } => Phase::HalfOpen,
        }
    }

    fn count(&self, now: Millis, failed: bool) -> Option<Transition> {
        let state = self.state();
        let State::Closed { openings, .. } = state else { return None };
        self.window.record(now, failed);
        let (requests, failures) = self.window.totals(now);
        // Counts of ten slots of 24 bits: exact as f64.
        let is_high = failures as f64 >= self.config.failure_ratio * requests as f64;
        let opens = failures > 0 && is_high && requests >= u64::from(self.config.min_requests);
        let open = State::Open { since: now, opening: openings.wrapping_add(1) };
        (opens && self.change(state, open)).then_some(Transition::Opened)
    }

    /// Reports that come at the same moment are taken one after the other: none is lost.
    fn judge(&self, now: Millis, trial: &Trial, failed: bool) -> Option<Transition> {
        loop {
            let state = self.state();
            let (next, told) = state.judged(now, trial, failed)?;
            if let State::Closed { .. } = next {
                // What failed before it opened may still be in the window.
                self.window.clear();
            }
            if self.change(state, next) {
                return told;
            }
        }
    }

    fn state(&self) -> State {
        State::of(self.word.load(Relaxed))
    }

    /// Whether this thread made the change.
    fn change(&self, from: State, to: State) -> bool {
        self.word.compare_exchange(from.word(), to.word(), Relaxed, Relaxed).is_ok()
    }
}

/// A breaker's word: a time in 44 bits, openings in 16, trials that went well in 2, the state in 2.
/// Closed and open carry theirs so that a thread held up does not take one for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        since: Millis,
        openings: u16,
    },
    Open {
        since: Millis,
        opening: u16,
    },
    /// Half-open, and the last trial has ended.
    Waiting {
        well: u64,
        opening: u16,
    },
    /// The last trial began at `since`.
    Trial {
        well: u64,
        opening: u16,
        since: Millis,
    },
}

impl State {
    fn of(word: u64) -> Self {
        let (since, openings, well) = (Millis(word >> 20), (word >> 4) as u16, word >> 2 & 3);
        match word & 3 {
            0 => Self::Closed { since, openings },
            1 => Self::Open { since, opening: openings },
            2 => Self::Waiting { well, opening: openings },
            _ => Self::Trial { well, opening: openings, since },
        }
    }

    fn word(self) -> u64 {
        let (since, openings, well, state) = match self {
            Self::Closed { since, openings } => (since, openings, 0, 0),
            Self::Open { since, opening } => (since, opening, 0, 1),
            Self::Waiting { well, opening } => (Millis(0), opening, well, 2),
            Self::Trial { well, opening, since } => (since, opening, well, 3),
        };
        since.0 << 20 | u64::from(openings) << 4 | well << 2 | state
    }

    fn refuses(self, now: Millis, open_ms: u64) -> bool {
        match self {
            Self::Closed { .. } | Self::Waiting { .. } => false,
            Self::Open { since, .. } | Self::Trial { since, .. } => now.after(since) < open_ms,
        }
    }

    /// What becomes of it when a trial ends; `None` if that says nothing any more.
    fn judged(
        self,
        now: Millis,
        trial: &Trial,
        failed: bool,
    ) -> Option<(Self, Option<Transition>)> {
        let (well, opening, running) = match self {
            Self::Waiting { well, opening } => (well, opening, None),
            Self::Trial { well, opening, since } => (well, opening, Some(since)),
            Self::Closed { .. } | Self::Open { .. } => return None,
        };
        if opening != trial.opening {
            return None;
        }
        let running = running.filter(|since| *since != trial.began);
        Some(match (failed, running) {
            (true, _) => {
                let open = Self::Open { since: now, opening: opening.wrapping_add(1) };
                (open, Some(Transition::Reopened))
            }
            (false, _) if well + 1 >= TRIALS => {
                (Self::Closed { since: now, openings: opening }, Some(Transition::Closed))
            }
            (false, Some(since)) => (Self::Trial { well: well + 1, opening, since }, None),
            (false, None) => (Self::Waiting { well: well + 1, opening }, None),
        })
    }
}

#[cfg(test)]
mod tests;
