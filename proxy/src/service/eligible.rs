//! The endpoints of a service that may get requests, as one thread knows them. A list stands until a
//! condition changes, which the service's version tells, or until time makes a change: the end of an
//! ejection or of an open breaker, a step of slow start. So a pick looks at one number instead of at
//! every endpoint, whether or not all of them are well (docs/adr/0011).
//!
//! Bounds: 8 bytes an endpoint, a service and a thread; a look at all endpoints for each change.

use super::{Service, endpoint::Standing, slow_start};
use crate::{
    balance::{Candidate, Weights},
    clock::Millis,
    error::Reason,
};

/// Who may be picked, as of a version of the service.
pub struct EligibleList {
    /// 0 before the first look.
    version: u64,
    /// From then on time has changed something.
    until: Millis,
    /// Those that are asked first; backups only if they alone are eligible.
    pub(super) first: List,
    /// Backups, for when none of the others can take a request.
    pub(super) reserve: List,
    /// Whether those of `first` are ejected, as there are no others.
    pub(super) is_open: bool,
    /// Why there is nobody, if so.
    pub(super) reason: Reason,
}

/// Candidates by ascending place, and their weights.
pub(super) struct List {
    pub(super) candidates: Vec<Candidate>,
    pub(super) weights: Weights,
}

impl Default for EligibleList {
    fn default() -> Self {
        Self {
            version: 0,
            until: Millis(0),
            first: List::of(Vec::new()),
            reserve: List::of(Vec::new()),
            is_open: false,
            reason: Reason::NoEligibleEndpoint,
        }
    }
}

impl List {
    fn of(candidates: Vec<Candidate>) -> Self {
        Self { weights: Weights::of(&candidates), candidates }
    }
}

/// What one look finds.
#[derive(Default)]
struct Seen {
    /// Those that are no backups, and backups.
    eligible: [Vec<Candidate>; 2],
    ejected: Vec<Candidate>,
    is_refused: bool,
    until: Option<Millis>,
}

impl Service {
    /// Brings `known` up to date.
    pub(super) fn renew(&self, known: &mut EligibleList, now: Millis) {
        if known.version != self.state.version() || now >= known.until {
            self.look_over(known, now);
        }
    }

    #[cold]
    fn look_over(&self, known: &mut EligibleList, now: Millis) {
        self.see_who_is_back(now);
        // Before the look: what changes during it is seen by the next one.
        let version = self.state.version();
        let seen = self.seen(now);
        let [mut first, mut reserve] = seen.eligible;
        if first.is_empty() {
            first = std::mem::take(&mut reserve);
        }
        let is_open = first.is_empty() && !seen.ejected.is_empty();
        if is_open {
            first = seen.ejected;
        }
        let reason = if seen.is_refused { Reason::CircuitOpen } else { Reason::NoEligibleEndpoint };
        *known = EligibleList {
            version,
            until: seen.until.unwrap_or(Millis(u64::MAX)),
            first: List::of(first),
            reserve: List::of(reserve),
            is_open,
            reason,
        };
        self.state.tell_open(&self.name, is_open);
    }

    /// Ejections that are over are told by who sees it first.
    fn see_who_is_back(&self, now: Millis) {
        for endpoint in self.endpoints() {
            if endpoint.condition.outlier.returned(now) {
                self.returned(endpoint, now);
                self.state.changed();
            }
        }
    }

    fn seen(&self, now: Millis) -> Seen {
        let mut seen = Seen::default();
        for (endpoint, place) in self.endpoints().iter().zip(0..) {
            let weight = endpoint.condition.weight(endpoint.weight, now, self.slow_start);
            let candidate = Candidate { place, weight };
            match endpoint.standing(now) {
                Standing::Eligible => {
                    seen.eligible[usize::from(endpoint.is_backup)].push(candidate);
                }
                Standing::Ejected => seen.ejected.push(candidate),
                Standing::Refused => seen.is_refused = true,
                Standing::Down => {}
            }
            let since = endpoint.condition.since();
            let step = since.and_then(|since| slow_start::next_step(since, now, self.slow_start));
            seen.until = [seen.until, endpoint.changes_at(now), step].into_iter().flatten().min();
        }
        seen
    }
}
