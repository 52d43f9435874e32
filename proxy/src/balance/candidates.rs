//! The endpoints that one pick may choose from, with their weights. Who is eligible was decided
//! before; nothing here changes during a pick but the loads.

use std::sync::Arc;

use super::Load;

/// A candidate's weight is its endpoint's configured weight times this, less during slow start.
pub const WEIGHT_UNIT: u32 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// In the service's endpoints.
    pub place: u32,
    /// In `WEIGHT_UNIT`s of the configured weight; not 0.
    pub weight: u32,
}

/// The eligible endpoints of one pick; never empty.
#[derive(Clone, Copy)]
pub struct Candidates<'a> {
    /// By ascending place.
    list: &'a [Candidate],
    /// By place.
    loads: &'a [Arc<Load>],
    weights: Weights,
}

/// What is true of all weights of a list together. Takes a pass over the list to find, so keep it
/// beside a list that is used again.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    is_even: bool,
    total: u64,
}

impl Weights {
    pub fn of(list: &[Candidate]) -> Self {
        Self {
            is_even: list.windows(2).all(|two| two[0].weight == two[1].weight),
            total: list.iter().map(|candidate| u64::from(candidate.weight)).sum(),
        }
    }
}

impl<'a> Candidates<'a> {
    /// `list` is not empty and in the order of the places, which are places in `loads`;
    /// `weights` are those of `list`.
    pub fn new(list: &'a [Candidate], loads: &'a [Arc<Load>], weights: Weights) -> Self {
        debug_assert!(!list.is_empty());
        debug_assert!(list.is_sorted_by(|one, next| one.place < next.place));
        Self { list, loads, weights }
    }

    pub fn list(&self) -> &'a [Candidate] {
        self.list
    }

    /// Whether all weights are the same.
    pub fn is_even(&self) -> bool {
        self.weights.is_even
    }

    /// Of all weights; not 0.
    pub fn total(&self) -> u64 {
        self.weights.total
    }

    pub fn load(&self, index: usize) -> &'a Load {
        &self.loads[self.list[index].place as usize]
    }

    /// Where in the list the endpoint at `place` stands.
    pub fn index_of(&self, place: u32) -> Option<usize> {
        // With everybody eligible the two are one.
        match self.list.get(place as usize) {
            Some(candidate) if candidate.place == place => Some(place as usize),
            _ => self.list.binary_search_by_key(&place, |candidate| candidate.place).ok(),
        }
    }

    /// The candidate at `point` of all weights laid end to end, `point` being below their total.
    pub fn at(&self, mut point: u64) -> usize {
        for (index, candidate) in self.list.iter().enumerate() {
            match point.checked_sub(candidate.weight.into()) {
                Some(rest) => point = rest,
                None => return index,
            }
        }
        self.list.len() - 1
    }
}
