//! Which endpoints may get a request, and which of them does. Eligible are those that are up, not
//! ejected, not refused by their breaker and below their limit; backups only while none of the others
//! is. Where all that are up are ejected, they get requests all the same, up to their limit: the fault
//! is likely not theirs (Envoy's "fail open").
//!
//! The usual pick takes one of the list that its thread knows. Only who has been tried, or could not
//! take the request after all, is left out by a look at the whole list.

use rand::rngs::SmallRng;
use smallvec::SmallVec;

use super::{EligibleList, Service, breaker::Admission, eligible::List, endpoint::Standing};
use crate::{
    balance::{Ask, Candidate, Weights},
    clock::Millis,
    error::Reason,
};

type Places = SmallVec<[usize; 4]>;

/// An endpoint that counts a request as in flight, until that is ended by `finish`.
#[derive(Debug)]
pub struct Picked {
    pub place: usize,
    /// What its breaker wants back.
    pub admission: Admission,
}

impl Service {
    /// Gives a request to an endpoint, another than those at the places in `tried` if there is one.
    /// `known` is what this thread knows of the service.
    ///
    /// # Errors
    /// `no_eligible_endpoint`, `circuit_open`, or `queue_full` if all are at their limit.
    pub fn pick(
        &self,
        ask: &Ask,
        tried: &[usize],
        known: &mut EligibleList,
        rng: &mut SmallRng,
    ) -> Result<Picked, Reason> {
        self.renew(known, ask.now);
        let List { candidates, weights } = &known.first;
        if candidates.is_empty() {
            return Err(known.reason);
        }
        if known.is_open {
            self.state.count_open();
        }
        if !tried.is_empty() {
            return self.pick_other(ask, tried, Places::new(), known, rng);
        }
        let place = self.set.choose(candidates, *weights, ask, rng);
        match self.take(place, ask.now) {
            Some(admission) => Ok(Picked { place, admission }),
            None => self.pick_other(ask, tried, Places::from_slice(&[place]), known, rng),
        }
    }

    /// Gives a request to the endpoint at `place`, if that is eligible.
    pub fn pick_at(&self, place: usize, now: Millis) -> Option<Picked> {
        let endpoint = self.endpoint(place);
        if endpoint.condition.outlier.returned(now) {
            self.returned(endpoint, now);
            self.changed();
        }
        if endpoint.standing(now) != Standing::Eligible {
            return None;
        }
        Some(Picked { place, admission: self.take(place, now)? })
    }

    /// Whether it is of use to come for an endpoint now: not if all there are have all the requests
    /// that they may have.
    pub fn has_room(&self, known: &mut EligibleList, now: Millis) -> bool {
        if self.per_endpoint.is_none() {
            return true;
        }
        self.renew(known, now);
        let all = || known.first.candidates.iter().chain(&known.reserve.candidates);
        // Who comes where there is none is told so.
        known.first.candidates.is_empty() || all().any(|one| !self.is_full(one))
    }

    /// When the next endpoint becomes eligible by time alone: at the end of an ejection, or of the time
    /// that a breaker is open. Nobody tells of that; whatever else makes one eligible does.
    pub fn next_eligible(&self, now: Millis) -> Option<Millis> {
        self.endpoints().iter().filter_map(|endpoint| endpoint.eligible_at(now)).min()
    }

    /// `lost` are those that another request was quicker to take.
    #[cold]
    fn pick_other(
        &self,
        ask: &Ask,
        tried: &[usize],
        mut lost: Places,
        known: &EligibleList,
        rng: &mut SmallRng,
    ) -> Result<Picked, Reason> {
        // Each round ends it or takes an endpoint out.
        for _ in 0..=self.endpoints().len() {
            let without: Places = tried.iter().chain(&lost).copied().collect();
            let mut list = self.left_of(known, &without);
            if list.is_empty() && !tried.is_empty() {
                list = self.left_of(known, &lost);
            }
            if list.is_empty() {
                break;
            }
            let place = self.set.choose(&list, Weights::of(&list), ask, rng);
            match self.take(place, ask.now) {
                Some(admission) => return Ok(Picked { place, admission }),
                None => lost.push(place),
            }
        }
        let mut all = known.first.candidates.iter().chain(&known.reserve.candidates);
        let is_full = all.any(|one| self.is_full(one));
        Err(if is_full { Reason::QueueFull } else { Reason::CircuitOpen })
    }

    /// Those that can take a request; of the reserve if none of the others can.
    fn left_of(&self, known: &EligibleList, without: &[usize]) -> Vec<Candidate> {
        let is_left =
            |one: &&Candidate| !without.contains(&(one.place as usize)) && !self.is_full(one);
        let left = |list: &List| list.candidates.iter().filter(is_left).copied().collect();
        let first: Vec<Candidate> = left(&known.first);
        if first.is_empty() { left(&known.reserve) } else { first }
    }

    /// A place at the endpoint, and what its breaker says.
    fn take(&self, place: usize, now: Millis) -> Option<Admission> {
        let endpoint = self.endpoint(place);
        match self.per_endpoint {
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
            trial @ Admission::Trial(_) => {
                self.state.changed();
                Some(trial)
            }
            Admission::Yes => Some(Admission::Yes),
        }
    }

    fn is_full(&self, one: &Candidate) -> bool {
        let in_flight = || self.endpoint(one.place as usize).load.in_flight();
        self.per_endpoint.is_some_and(|most| in_flight() >= most)
    }

    /// The condition of an endpoint has changed: threads look at all of them anew, and whoever waits
    /// for an endpoint looks again. Time that passes is no change: see `next_eligible`.
    pub(super) fn changed(&self) {
        self.state.changed();
        self.wake_waiting();
    }

    pub(super) fn wake_waiting(&self) {
        if let Some(limits) = &self.limits {
            limits.endpoint_released();
        }
    }
}

#[cfg(test)]
mod tests;
