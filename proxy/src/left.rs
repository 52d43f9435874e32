//! Things that have left the configuration, with what they have counted: one that comes back goes on
//! where it was, so that no counter goes back.
//!
//! Bounds: 15 minutes, and those that have left last, as many as whoever keeps them says.

use std::{collections::HashSet, hash::Hash, sync::Arc};

use crate::{clock::Millis, ids::KEPT_MS};

pub struct Left<T>(Vec<(Millis, Arc<T>)>);

impl<T> Default for Left<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Left<T> {
    /// Those that had left before, and those of `gone`; without those of `present`. At most `most`.
    pub fn build<I: Eq + Hash>(
        before: Option<&Self>,
        gone: impl Iterator<Item = Arc<T>>,
        present: &HashSet<I>,
        id: impl Fn(&T) -> I,
        now: Millis,
        most: usize,
    ) -> Self {
        let earlier = before.iter().flat_map(|before| &before.0);
        let earlier = earlier.filter(|(at, _)| now.after(*at) < KEPT_MS).cloned();
        let mut all: Vec<(Millis, Arc<T>)> = earlier.chain(gone.map(|one| (now, one))).collect();
        all.retain(|(_, one)| !present.contains(&id(one)));
        let too_many = all.len().saturating_sub(most);
        all.drain(..too_many);
        Self(all)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.0.iter().map(|(_, one)| one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(before: &Left<u32>, gone: &[u32], present: &[u32], now: u64) -> (Left<u32>, Vec<u32>) {
        let present = present.iter().copied().collect();
        let gone = gone.iter().map(|one| Arc::new(*one));
        let left = Left::build(Some(before), gone, &present, |one| *one, Millis(now), 3);
        let all = left.iter().map(|one| **one).collect();
        (left, all)
    }

    #[test]
    fn who_left_is_kept_for_a_while_and_the_last_of_many() {
        let (first, all) = left(&Left::default(), &[1, 2], &[], 0);
        assert_eq!(all, [1, 2]);
        let (second, all) = left(&first, &[3, 4], &[], 1);
        assert_eq!(all, [2, 3, 4], "three at most");
        let (_, all) = left(&second, &[], &[3], 2);
        assert_eq!(all, [2, 4], "one has come back");
        let (_, all) = left(&second, &[], &[], KEPT_MS);
        assert_eq!(all, [3, 4], "the first has left long ago");
    }
}
