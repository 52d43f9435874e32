//! Which endpoints may get a request, and which of them does. Eligible are those that are up, not
//! ejected, not refused by their breaker and below their limit; backups only while none of the others
//! is. Where all that are up are ejected, they get requests all the same: the fault is likely not
//! theirs (Envoy's "fail open").
//!
//! While every endpoint is well, a pick looks at one byte of each and no more.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use smallvec::SmallVec;

use super::{
    Service,
    breaker::{Admission, Phase},
    endpoint::Standing,
};
use crate::{
    balance::{Ask, Candidate, Candidates, Weights},
    clock::Millis,
    error::Reason,
    worker::Worker,
};

/// Kept on the stack; a service with more endpoints than that takes an allocation while one of
/// them is not well.
type List = SmallVec<[Candidate; 16]>;

/// The endpoint that a request was given to.
pub struct Picked {
    pub place: usize,
    pub(super) admission: Admission,
}

/// What stands against the endpoints that are not eligible.
#[derive(Default)]
struct Refusals {
    is_ejected: bool,
    is_refused: bool,
    is_full: bool,
}

impl Service {
    /// An endpoint for the next try, another than those at the places in `tried` if there is one.
    ///
    /// # Errors
    /// `no_eligible_endpoint`, `circuit_open`, or `queue_full` if all are at their limit.
    pub fn pick(&self, ask: &Ask, tried: &[usize], worker: &Worker) -> Result<Picked, Reason> {
        if tried.is_empty() && self.is_plain() {
            let candidates = Candidates::new(&self.primaries, &self.endpoints, self.weights);
            let rng = &mut worker.rng.borrow_mut();
            let chosen = self.balancer.choose(&candidates, ask, rng);
            let place = self.primaries[chosen].place as usize;
            return Ok(Picked { place, admission: Admission::Yes });
        }
        self.pick_among(ask, tried, worker)
    }

    /// Whether at least one endpoint could be picked now.
    pub fn has_room(&self, now: Millis) -> bool {
        let mut refusals = Refusals::default();
        !self.eligible(now, &[], &mut refusals).is_empty() || !refusals.is_full
    }

    fn is_plain(&self) -> bool {
        self.per_endpoint().is_none() && self.marks.iter().all(|mark| mark.load(Relaxed) == 0)
    }

    fn pick_among(&self, ask: &Ask, tried: &[usize], worker: &Worker) -> Result<Picked, Reason> {
        let mut passed_over = SmallVec::<[usize; 4]>::from_slice(tried);
        // Each round ends it or takes an endpoint out.
        for _ in 0..=self.endpoints.len() {
            let mut refusals = Refusals::default();
            let mut list = self.eligible(ask.now, &passed_over, &mut refusals);
            if list.is_empty() && !passed_over.is_empty() && passed_over.len() == tried.len() {
                list = self.eligible(ask.now, &[], &mut refusals);
            }
            if list.is_empty() {
                return Err(refusals.reason());
            }
            let candidates = Candidates::new(&list, &self.endpoints, Weights::of(&list));
            let rng = &mut worker.rng.borrow_mut();
            let place = list[self.balancer.choose(&candidates, ask, rng)].place as usize;
            match self.endpoints[place].admits(ask.now) {
                // Another worker has taken the trial.
                Admission::No => passed_over.push(place),
                admission => return Ok(Picked { place, admission }),
            }
        }
        Err(Reason::CircuitOpen)
    }

    fn eligible(&self, now: Millis, without: &[usize], refusals: &mut Refusals) -> List {
        let list = self.those(now, without, |place| !self.endpoints[place].is_backup, refusals);
        if !list.is_empty() {
            return list;
        }
        let list = self.those(now, without, |place| self.endpoints[place].is_backup, refusals);
        if !list.is_empty() || !refusals.is_ejected {
            return list;
        }
        self.failed_open.fetch_add(1, Relaxed);
        let is_out = |place: usize| {
            let endpoint = &self.endpoints[place];
            endpoint.standing(now, self.per_endpoint()) == Standing::Ejected
        };
        let places = (0..self.endpoints.len()).filter(|place| !without.contains(place));
        places.filter(|place| is_out(*place)).map(|place| self.candidate(place, now)).collect()
    }

    fn those(
        &self,
        now: Millis,
        without: &[usize],
        is_meant: impl Fn(usize) -> bool,
        refusals: &mut Refusals,
    ) -> List {
        let mut list = List::new();
        for place in (0..self.endpoints.len()).filter(|place| is_meant(*place)) {
            let standing = self.look_at(place, now);
            if without.contains(&place) {
                continue;
            }
            match standing {
                Standing::Eligible => list.push(self.candidate(place, now)),
                Standing::Ejected => refusals.is_ejected = true,
                Standing::Refused => refusals.is_refused = true,
                Standing::Full => refusals.is_full = true,
                Standing::Down => {}
            }
        }
        list
    }

    /// Sees who has come back. The mark is taken off before the look, so that what happens after
    /// it stays marked.
    fn look_at(&self, place: usize, now: Millis) -> Standing {
        let endpoint = &self.endpoints[place];
        self.marks[place].store(0, SeqCst);
        if endpoint.condition.outlier.returned(now) {
            self.returned(endpoint, now);
        }
        let standing = endpoint.standing(now, self.per_endpoint());
        let full = endpoint.weight * crate::balance::WEIGHT_UNIT;
        let is_closed = endpoint.breaker().is_none_or(|phase| phase == Phase::Closed);
        let is_plain = is_closed && self.candidate(place, now).weight == full;
        if !matches!(standing, Standing::Eligible | Standing::Full) || !is_plain {
            self.mark(place);
        }
        standing
    }

    fn candidate(&self, place: usize, now: Millis) -> Candidate {
        let endpoint = &self.endpoints[place];
        let weight = endpoint.condition.weight(endpoint.weight, now, self.slow_start);
        Candidate { place: u32::try_from(place).unwrap_or(u32::MAX), weight }
    }

    /// The next picks look closer at the endpoint.
    pub(super) fn mark(&self, place: usize) {
        self.marks[place].store(1, SeqCst);
    }
}

impl Refusals {
    fn reason(&self) -> Reason {
        if self.is_full {
            Reason::QueueFull
        } else if self.is_refused {
            Reason::CircuitOpen
        } else {
            Reason::NoEligibleEndpoint
        }
    }
}
