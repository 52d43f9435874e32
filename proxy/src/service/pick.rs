//! Which endpoints may get a request, and which of them does. Eligible are those that are up, not
//! ejected, not refused by their breaker and below their limit; backups only while none of the others
//! is. Where all that are up are ejected, they get requests all the same, up to their limit: the fault
//! is likely not theirs (Envoy's "fail open").
//!
//! While every endpoint is well, a pick looks at one byte of each and no more.

use std::{
    rc::Rc,
    sync::atomic::Ordering::{AcqRel, Relaxed, Release},
};

use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    InFlight, Service,
    breaker::{Admission, Phase},
    endpoint::Standing,
};
use crate::{
    balance::{Ask, Candidate, Candidates, WEIGHT_UNIT, Weights},
    clock::Millis,
    error::Reason,
    worker::Worker,
};

/// Kept on the stack; a service with more endpoints than that takes an allocation while one of
/// them is not well.
type List = SmallVec<[Candidate; 16]>;
type Places = SmallVec<[usize; 4]>;

/// Those that may be picked, and what stands against the others.
#[derive(Default)]
struct Eligible {
    list: List,
    is_tried: bool,
    is_ejected: bool,
    is_refused: bool,
    is_full: bool,
    /// Whether one of those that are ejected is below its limit.
    is_ejected_with_room: bool,
}

impl Service {
    /// Gives a request that began at `began` to an endpoint, another than those at the places in
    /// `tried` if there is one.
    ///
    /// # Errors
    /// `no_eligible_endpoint`, `circuit_open`, or `queue_full` if all are at their limit.
    pub fn pick(
        &self,
        ask: &Ask,
        tried: &[usize],
        worker: &Rc<Worker>,
        began: Instant,
    ) -> Result<InFlight, Reason> {
        if !tried.is_empty() || !self.is_plain() {
            return self.pick_among(ask, tried, worker, began);
        }
        let candidates = Candidates::new(&self.primaries, &self.endpoints, self.weights);
        let chosen = self.balancer.choose(&candidates, ask, &mut worker.rng.borrow_mut());
        let place = self.primaries[chosen].place as usize;
        self.endpoints[place].load.start();
        Ok(InFlight::new(worker, self.index, place, Admission::Yes, began))
    }

    /// Gives a request to the endpoint at `place`, if that is eligible.
    pub fn pick_at(
        &self,
        place: usize,
        worker: &Rc<Worker>,
        began: Instant,
        now: Millis,
    ) -> Option<InFlight> {
        if self.look_at(place, now) != Standing::Eligible {
            return None;
        }
        let admission = self.take(place, now)?;
        Some(InFlight::new(worker, self.index, place, admission, began))
    }

    /// Whether it is of use to come for an endpoint now: not if all there are have all the requests
    /// that they may have.
    pub fn has_room(&self, now: Millis) -> bool {
        if self.per_endpoint().is_none() {
            return true;
        }
        let eligible = self.eligible(now, &[]);
        !eligible.list.is_empty() || eligible.reason() != Reason::QueueFull
    }

    /// When the next endpoint becomes eligible by time alone: at the end of an ejection, or of the time
    /// that a breaker is open. Nobody tells of that; whatever else makes one eligible does.
    pub fn next_eligible(&self, now: Millis) -> Option<Millis> {
        self.endpoints.iter().filter_map(|endpoint| endpoint.eligible_at(now)).min()
    }

    fn is_plain(&self) -> bool {
        let is_plain = |one: &Candidate| self.marks[one.place as usize].load(Relaxed) == 0;
        self.per_endpoint().is_none() && self.primaries.iter().all(is_plain)
    }

    fn pick_among(
        &self,
        ask: &Ask,
        tried: &[usize],
        worker: &Rc<Worker>,
        began: Instant,
    ) -> Result<InFlight, Reason> {
        // Those that another request was quicker to take.
        let mut lost = Places::new();
        // Each round ends it or takes an endpoint out.
        for _ in 0..=self.endpoints.len() {
            let without: Places = tried.iter().chain(&lost).copied().collect();
            let mut eligible = self.eligible(ask.now, &without);
            if eligible.list.is_empty() && !tried.is_empty() {
                eligible = self.eligible(ask.now, &lost);
            }
            let opens = eligible.fails_open();
            if opens {
                eligible.list = self.ejected(ask.now, &lost);
            }
            self.tell_open(opens);
            let list = &eligible.list;
            if list.is_empty() {
                // Those that are ejected have just been filled by others.
                return Err(if opens { Reason::QueueFull } else { eligible.reason() });
            }
            let candidates = Candidates::new(list, &self.endpoints, Weights::of(list));
            let chosen = self.balancer.choose(&candidates, ask, &mut worker.rng.borrow_mut());
            let place = list[chosen].place as usize;
            match self.take(place, ask.now) {
                Some(admission) => {
                    return Ok(InFlight::new(worker, self.index, place, admission, began));
                }
                None => lost.push(place),
            }
        }
        Err(Reason::CircuitOpen)
    }

    /// A place at the endpoint, and what its breaker says.
    fn take(&self, place: usize, now: Millis) -> Option<Admission> {
        let endpoint = &self.endpoints[place];
        match self.per_endpoint() {
            Some(most) if !endpoint.load.start_below(most) => return None,
            Some(_) => {}
            None => endpoint.load.start(),
        }
        match endpoint.admits(now) {
            // Another worker has taken the trial.
            Admission::No => {
                endpoint.load.finish();
                None
            }
            admission => Some(admission),
        }
    }

    fn eligible(&self, now: Millis, without: &[usize]) -> Eligible {
        let mut eligible = Eligible::default();
        for is_backup in [false, true] {
            let places = 0..self.endpoints.len();
            for place in places.filter(|place| self.endpoints[*place].is_backup == is_backup) {
                match self.look_at(place, now) {
                    Standing::Eligible if without.contains(&place) => eligible.is_tried = true,
                    Standing::Eligible => eligible.list.push(self.candidate(place, now)),
                    Standing::Ejected => {
                        eligible.is_ejected = true;
                        let is_full = self.endpoints[place].is_full(self.per_endpoint());
                        eligible.is_ejected_with_room |= !is_full;
                    }
                    Standing::Refused => eligible.is_refused = true,
                    Standing::Full => eligible.is_full = true,
                    Standing::Down => {}
                }
            }
            if !eligible.list.is_empty() {
                break;
            }
        }
        eligible
    }

    /// Those that are only ejected.
    fn ejected(&self, now: Millis, without: &[usize]) -> List {
        let is_out = |place: &usize| {
            let (endpoint, most) = (&self.endpoints[*place], self.per_endpoint());
            let is_ejected = endpoint.standing(now, most) == Standing::Ejected;
            is_ejected && !endpoint.is_full(most) && !without.contains(place)
        };
        let places = (0..self.endpoints.len()).filter(is_out);
        places.map(|place| self.candidate(place, now)).collect()
    }

    /// Counts a try at an ejected endpoint, and says when that begins and ends.
    fn tell_open(&self, opens: bool) {
        if opens {
            self.failed_open.fetch_add(1, Relaxed);
        }
        if self.is_open.load(Relaxed) != opens && self.is_open.swap(opens, AcqRel) != opens {
            let service = &self.name;
            if opens {
                tracing::warn!(
                    service,
                    "all endpoints are ejected: they get requests all the same"
                );
            } else {
                tracing::info!(service, "not all endpoints are ejected any more");
            }
        }
    }

    /// Sees who has come back, and lets picks pass by an endpoint that is well again.
    fn look_at(&self, place: usize, now: Millis) -> Standing {
        let endpoint = &self.endpoints[place];
        if endpoint.condition.outlier.returned(now) {
            self.returned(endpoint, now);
        }
        let standing = endpoint.standing(now, self.per_endpoint());
        let mark = &self.marks[place];
        if mark.load(Relaxed) != 0 && self.is_well(place, standing, now) {
            // What happens after the second look marks it anew; what came before it is seen.
            mark.swap(0, AcqRel);
            if !self.is_well(place, endpoint.standing(now, self.per_endpoint()), now) {
                self.mark(place);
            }
        }
        standing
    }

    fn is_well(&self, place: usize, standing: Standing, now: Millis) -> bool {
        let endpoint = &self.endpoints[place];
        matches!(standing, Standing::Eligible | Standing::Full)
            && endpoint.breaker().is_none_or(|phase| phase == Phase::Closed)
            && self.candidate(place, now).weight == endpoint.weight * WEIGHT_UNIT
    }

    fn candidate(&self, place: usize, now: Millis) -> Candidate {
        let endpoint = &self.endpoints[place];
        let weight = endpoint.condition.weight(endpoint.weight, now, self.slow_start);
        Candidate { place: u32::try_from(place).unwrap_or(u32::MAX), weight }
    }

    /// The endpoint's condition has changed: the next picks look closer at it, and whoever waits for an
    /// endpoint looks again. Time that passes is no change: see `next_eligible`.
    pub(super) fn changed(&self, place: usize) {
        self.mark(place);
        self.wake_waiting();
    }

    pub(super) fn wake_waiting(&self) {
        if let Some(limits) = &self.limits {
            limits.endpoint_released();
        }
    }

    fn mark(&self, place: usize) {
        self.marks[place].store(1, Release);
    }
}

impl Eligible {
    /// Whether nothing but ejection stands in the way.
    fn fails_open(&self) -> bool {
        self.list.is_empty() && self.is_ejected_with_room && !self.is_full && !self.is_tried
    }

    /// Why there is none. Those that are ejected are waited for like others if all of them are full.
    fn reason(&self) -> Reason {
        let is_full = self.is_full || (self.is_ejected && !self.is_ejected_with_room);
        if is_full {
            Reason::QueueFull
        } else if self.is_refused {
            Reason::CircuitOpen
        } else {
            Reason::NoEligibleEndpoint
        }
    }
}

#[cfg(test)]
mod tests;
