//! Outlier ejection, as [Envoy's][envoy]: an endpoint that keeps failing real requests gets none for
//! a while. Passive, so it needs no probe; unlike a breaker it is bounded to a share of the service,
//! for when all endpoints fail, the fault is elsewhere. A run of 5xx that one client provokes may be
//! the fault of what that client asks for: such a run ejects only if another client has seen one, too.
//!
//! What is known of one endpoint, but for its success rate, is one word, changed by compare-exchange alone, so exactly one
//! thread sees each ejection and each return. Nothing here knows of metrics or logs.
//!
//! [envoy]: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier

mod asker;

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

pub use self::asker::Asker;
use self::asker::{FirstAsker, Seen};
use super::window::Window;
use crate::{clock::Millis, config::OutlierConfig};

/// An ejection lasts at most this many times the first.
const MOST_TIMES: u64 = 30;

/// The ejections of one service, held by all its endpoints.
#[derive(Debug)]
pub struct Ejections {
    rules: OutlierConfig,
    endpoints: AtomicU32,
    /// Those out, and those whose return nobody has seen yet.
    ejected: AtomicU32,
}

/// What requests have shown of one endpoint. Dropped, it leaves the service and gives its place
/// among the ejected back; the share of those left may then be above the maximum.
#[derive(Debug)]
pub struct Outlier {
    ejections: Arc<Ejections>,
    word: AtomicU64,
    first_asker: FirstAsker,
    /// Counts only where there is a success rate to keep.
    window: Window,
}

/// What one observer is told, for log and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ejected { cause: Cause, until: Millis },
    Returned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    ConsecutiveFailures,
    SuccessRate,
}

impl Cause {
    /// In the log and in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::SuccessRate => "success_rate",
        }
    }
}

impl Ejections {
    pub fn new(rules: OutlierConfig) -> Arc<Self> {
        Arc::new(Self { rules, endpoints: AtomicU32::new(0), ejected: AtomicU32::new(0) })
    }

    pub fn rules(&self) -> &OutlierConfig {
        &self.rules
    }

    #[cfg(test)]
    fn ejected(&self) -> u32 {
        self.ejected.load(Relaxed)
    }

    /// How many may be out at once: the share of the endpoints, but of several always one.
    fn most(&self) -> u32 {
        let (endpoints, percent) = (self.endpoints.load(Relaxed), self.rules.max_ejected);
        let share = u64::from(endpoints) * u64::from(percent) / 100;
        let least = u32::from(percent > 0 && endpoints > 1);
        u32::try_from(share).unwrap_or(u32::MAX).max(least)
    }

    /// Takes a place among the ejected, if there is one.
    fn claim(&self) -> bool {
        let most = self.most();
        let claimed = |ejected| (ejected < most).then_some(ejected + 1);
        self.ejected.fetch_update(Relaxed, Relaxed, claimed).is_ok()
    }

    fn release(&self) {
        self.ejected.fetch_sub(1, Relaxed);
    }
}

impl Outlier {
    pub fn new(ejections: &Arc<Ejections>) -> Self {
        ejections.endpoints.fetch_add(1, Relaxed);
        let window = Window::new(ejections.rules.window);
        let first_asker = FirstAsker::default();
        Self { ejections: Arc::clone(ejections), word: AtomicU64::new(0), first_asker, window }
    }

    pub fn is_of(&self, ejections: &Arc<Ejections>) -> bool {
        Arc::ptr_eq(&self.ejections, ejections)
    }

    /// Whether it gets no requests. One load.
    pub fn is_ejected(&self, now: Millis) -> bool {
        self.standing().is_ejected(now)
    }

    /// When its ejection ends; `None` if it is not ejected. One load.
    pub fn ejected_until(&self, now: Millis) -> Option<Millis> {
        let standing = self.standing();
        standing.is_ejected(now).then_some(standing.until)
    }

    /// Whether an ejection has passed since anybody asked; true for one caller. To be asked where
    /// endpoints are picked: until then an ejection that has passed still holds its place in the
    /// share. One load where there is nothing to tell.
    pub fn returned(&self, now: Millis) -> bool {
        let returned = self.change(|standing| standing.returned(now)).is_some();
        if returned {
            self.ejections.release();
        }
        returned
    }

    /// Whether `observe` has any use for a success. One load.
    pub fn wants_success(&self) -> bool {
        self.ejections.rules.success_rate.is_some() || self.standing().needs_a_look()
    }

    /// Takes the end of a request. One load for a success where nothing is wrong, unless a success
    /// rate is kept. What is sent before an ejection and ends in it is not counted; the observation
    /// that is told of a return counts, but does not eject by itself.
    pub fn observe(&self, now: Millis, failed: bool, asker: Asker) -> Option<Verdict> {
        let keeps_rate = self.ejections.rules.success_rate.is_some();
        let standing = self.standing();
        if standing.is_ejected(now) || !(failed || keeps_rate || standing.needs_a_look()) {
            return None;
        }
        let returned = self.returned(now);
        let count = |standing: Standing| match failed {
            true => standing.failed(self.first_asker.and(standing.seen, asker)),
            false => standing.succeeded(),
        };
        let counted = self.change(count).unwrap_or(standing);
        if keeps_rate {
            self.window.record(now, failed);
        }
        if returned {
            return Some(Verdict::Returned);
        }
        // What a success has left of a run is another thread's to judge.
        let run = Some(counted).filter(|_| failed);
        self.eject(self.cause(now, run)?, counted, now)
    }

    fn cause(&self, now: Millis, run: Option<Standing>) -> Option<Cause> {
        let rules = &self.ejections.rules;
        let ejects = |most: u32, run: Standing| {
            // One failure cannot be that of two clients: who asks for it wants it so.
            let is_seen_by_enough = rules.one_client || most == 1 || run.seen == Seen::Several;
            run.consecutive >= most && is_seen_by_enough
        };
        if rules.consecutive_failures.zip(run).is_some_and(|(most, run)| ejects(most, run)) {
            return Some(Cause::ConsecutiveFailures);
        }
        let rate = rules.success_rate?;
        let (requests, failures) = self.window.totals(now);
        let is_low = (requests - failures) * 100 < requests * u64::from(rate);
        (is_low && requests >= u64::from(rules.min_requests)).then_some(Cause::SuccessRate)
    }

    /// The place is claimed before the endpoint is out, so that the share is never exceeded.
    fn eject(&self, cause: Cause, seen: Standing, now: Millis) -> Option<Verdict> {
        if !self.ejections.claim() {
            return None;
        }
        let interval = Millis::count(self.ejections.rules.ejection);
        // A thread that was held up must not eject again for what was paid for.
        let is_seen = |standing: &Standing| standing.until == seen.until;
        let eject = |standing| Some(standing).filter(is_seen)?.ejected(now, interval);
        let ejected = self.change(eject);
        let Some(ejected) = ejected else {
            self.ejections.release();
            return None;
        };
        self.window.clear();
        Some(Verdict::Ejected { cause, until: ejected.until })
    }

    fn standing(&self) -> Standing {
        Standing::of(self.word.load(Relaxed))
    }

    /// The new standing, if `next` makes one and this thread is the one to set it.
    fn change(&self, next: impl Fn(Standing) -> Option<Standing>) -> Option<Standing> {
        let mut word = self.word.load(Relaxed);
        loop {
            let next = next(Standing::of(word))?;
            match self.word.compare_exchange_weak(word, next.word(), Relaxed, Relaxed) {
                Ok(_) => return Some(next),
                Err(now) => word = now,
            }
        }
    }
}

impl Drop for Outlier {
    fn drop(&mut self) {
        self.ejections.endpoints.fetch_sub(1, Relaxed);
        if self.standing().is_out {
            self.ejections.release();
        }
    }
}

/// Failures in a row that a word counts.
const FULL: u32 = OutlierConfig::LONGEST_RUN;

/// The last millisecond that a word holds, in 34 years of one process.
const LAST: u64 = (1 << 40) - 1;

/// One endpoint's word: `until` in 40 bits, then 2, 5, 1 and 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    /// When the last ejection ends, or ended.
    until: Millis,
    /// Ejections so far, less one for each interval since `until`; at most [`MOST_TIMES`].
    ejections: u64,
    /// Ejected, and its return not yet told.
    is_out: bool,
    /// Failures in a row; none while out.
    consecutive: u32,
    /// Whose requests these were.
    seen: Seen,
}

impl Standing {
    fn of(word: u64) -> Self {
        Self {
            until: Millis(word >> 24),
            seen: Seen::of(word >> 22),
            ejections: word >> 17 & 31,
            is_out: word >> 16 & 1 == 1,
            consecutive: word as u32 & FULL,
        }
    }

    fn word(self) -> u64 {
        let is_out = u64::from(self.is_out);
        let (seen, run) = (self.seen as u64, u64::from(self.consecutive));
        self.until.0 << 24 | seen << 22 | self.ejections << 17 | is_out << 16 | run
    }

    fn is_ejected(self, now: Millis) -> bool {
        self.is_out && now < self.until
    }

    fn needs_a_look(self) -> bool {
        self.is_out || self.consecutive > 0
    }

    fn returned(self, now: Millis) -> Option<Self> {
        (self.is_out && now >= self.until).then_some(Self { is_out: false, ..self })
    }

    /// `seen`: by whom failures of the run have been, with this one.
    fn failed(self, seen: Seen) -> Option<Self> {
        self.counted((self.consecutive + 1).min(FULL), seen)
    }

    fn succeeded(self) -> Option<Self> {
        self.counted(0, Seen::Nobody)
    }

    fn counted(self, consecutive: u32, seen: Seen) -> Option<Self> {
        let next = Self { consecutive, seen, ..self };
        (!self.is_out && next != self).then_some(next)
    }

    fn ejected(self, now: Millis, interval: u64) -> Option<Self> {
        let forgiven = now.after(self.until) / interval;
        let ejections = (self.ejections.saturating_sub(forgiven) + 1).min(MOST_TIMES);
        let until = now.plus(interval.saturating_mul(ejections)).min(Millis(LAST));
        (!self.is_out).then_some(Self {
            until,
            ejections,
            is_out: true,
            consecutive: 0,
            seen: Seen::Nobody,
        })
    }
}

#[cfg(test)]
mod tests;
