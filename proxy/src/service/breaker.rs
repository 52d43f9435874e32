//! Circuit breaker, as [Nygard and Fowler][fowler] describe it: an endpoint of which too large a
//! share of requests fails gets none for a while, then one at a time, and all again after three
//! that went well. Unlike outlier ejection it opens for every endpoint of a service if it must.
//!
//! State and time are one word, changed by compare-exchange, so one thread sees each transition and
//! one gets each trial. Constant memory. Nothing here knows of metrics or logs.
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
    failure_ratio: f64,
    min_requests: u64,
    open_ms: u64,
}

/// Whether a request may be sent; to be handed back with its outcome, once.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    Yes,
    /// The one request that shows whether the endpoint is well. Nobody else gets one until it is
    /// reported, or for `open`.
    Trial(Trial),
    No,
}

/// When a trial began: one that was forgotten does not speak for the next.
#[derive(Debug, PartialEq, Eq)]
pub struct Trial(Millis);

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
            word: AtomicU64::new(State::Closed(Millis(0)).word()),
            window: Window::new(config.window),
            failure_ratio: config.failure_ratio,
            min_requests: u64::from(config.min_requests),
            open_ms: Millis::count(config.open),
        }
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
        let well = match state {
            State::Closed(_) => return Admission::Yes,
            _ if state.refuses(now, self.open_ms) => return Admission::No,
            State::Open(_) => 0,
            State::Waiting { well } | State::Trial { well, .. } => well,
        };
        let is_ours = self.change(state, State::Trial { well, since: now });
        if is_ours { Admission::Trial(Trial(now)) } else { Admission::No }
    }

    /// Takes the outcome of a request. Of what was admitted while closed nothing counts while open or
    /// half-open.
    #[expect(clippy::needless_pass_by_value, reason = "an admission is reported once")]
    pub fn report(&self, now: Millis, admission: Admission, failed: bool) -> Option<Transition> {
        match admission {
            Admission::Yes => self.count(now, failed),
            Admission::Trial(Trial(began)) => self.judge(now, began, failed),
            Admission::No => None,
        }
    }

    /// Gives a trial back that has shown nothing.
    pub fn forget(&self, admission: Admission) {
        let state = self.state();
        if let (Admission::Trial(trial), State::Trial { well, since }) = (admission, state)
            && since == trial.0
        {
            self.change(state, State::Waiting { well });
        }
    }

    pub fn phase(&self) -> Phase {
        match self.state() {
            State::Closed(_) => Phase::Closed,
            State::Open(_) => Phase::Open,
            State::Waiting { .. } | State::Trial { .. } => Phase::HalfOpen,
        }
    }

    fn count(&self, now: Millis, failed: bool) -> Option<Transition> {
        let state = self.state();
        if !matches!(state, State::Closed(_)) {
            return None;
        }
        self.window.record(now, failed);
        let (requests, failures) = self.window.totals(now);
        // Counts of ten slots of 24 bits: exact as f64.
        let is_high = failures as f64 >= self.failure_ratio * requests as f64;
        let opens = failures > 0 && is_high && requests >= self.min_requests;
        (opens && self.change(state, State::Open(now))).then_some(Transition::Opened)
    }

    fn judge(&self, now: Millis, began: Millis, failed: bool) -> Option<Transition> {
        let state = self.state();
        let State::Trial { well, since } = state else {
            return None;
        };
        if since != began {
            return None;
        }
        if failed {
            return self.change(state, State::Open(now)).then_some(Transition::Reopened);
        }
        if well + 1 < TRIALS {
            self.change(state, State::Waiting { well: well + 1 });
            return None;
        }
        // What failed before it opened may still be in the window.
        self.window.clear();
        self.change(state, State::Closed(now)).then_some(Transition::Closed)
    }

    fn state(&self) -> State {
        State::of(self.word.load(Relaxed))
    }

    /// Whether this thread made the change.
    fn change(&self, from: State, to: State) -> bool {
        self.word.compare_exchange(from.word(), to.word(), Relaxed, Relaxed).is_ok()
    }
}

/// A breaker's word: a time in 60 bits, trials that went well in 2, the state in 2. Closed and open
/// carry theirs so that a thread held up does not take one for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed(Millis),
    Open(Millis),
    /// Half-open, and no trial is under way.
    Waiting {
        well: u64,
    },
    Trial {
        well: u64,
        since: Millis,
    },
}

impl State {
    fn of(word: u64) -> Self {
        let (time, well) = (Millis(word >> 4), word >> 2 & 3);
        match word & 3 {
            0 => Self::Closed(time),
            1 => Self::Open(time),
            2 => Self::Waiting { well },
            _ => Self::Trial { well, since: time },
        }
    }

    fn word(self) -> u64 {
        match self {
            Self::Closed(since) => since.0 << 4,
            Self::Open(since) => since.0 << 4 | 1,
            Self::Waiting { well } => well << 2 | 2,
            Self::Trial { well, since } => since.0 << 4 | well << 2 | 3,
        }
    }

    fn refuses(self, now: Millis, open_ms: u64) -> bool {
        match self {
            Self::Closed(_) | Self::Waiting { .. } => false,
            Self::Open(since) | Self::Trial { since, .. } => now.after(since) < open_ms,
        }
    }
}

#[cfg(test)]
mod tests;
