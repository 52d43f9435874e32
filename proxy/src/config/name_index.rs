//! Names that others refer to, and what is known of each: found by hash, however many there are.

use std::{cell::Cell, collections::HashMap};

use super::error::did_you_mean;

/// Names that are compared with wrong ones, for a file as a whole: who has got thousands wrong needs no
/// suggestion for each of them.
const MOST_COMPARISONS: usize = 100_000;

pub(super) struct NameIndex<T = ()> {
    /// In the order of their indexes.
    known: Vec<(String, T)>,
    places: HashMap<String, usize>,
    comparisons: Cell<usize>,
}

impl<T> NameIndex<T> {
    /// Of two that are the same, the first is found.
    pub(super) fn new(names: impl IntoIterator<Item = (String, T)>) -> Self {
        let known: Vec<(String, T)> = names.into_iter().collect();
        let mut places = HashMap::with_capacity(known.len());
        for (place, (name, _)) in known.iter().enumerate() {
            places.entry(name.clone()).or_insert(place);
        }
        Self { known, places, comparisons: Cell::new(0) }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// What is known of the name at `index`.
    pub(super) fn at(&self, index: usize) -> &T {
        &self.known[index].1
    }

    /// "did you mean" for a name that is not known.
    pub(super) fn suggest(&self, given: &str) -> Option<String> {
        let comparisons = self.comparisons.get();
        if comparisons > MOST_COMPARISONS {
            return None;
        }
        self.comparisons.set(comparisons + self.known.len());
        did_you_mean(given, self.known.iter().map(|(name, _)| name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_place_and_a_wrong_one_a_suggestion() {
        let names = ["books", "users", "books"].map(|name| (name.to_owned(), name.len()));
        let index = NameIndex::new(names);
        assert_eq!(
            (index.find("books"), index.find("users"), index.find("x")),
            (Some(0), Some(1), None)
        );
        assert_eq!(*index.at(1), 5);
        assert_eq!(index.suggest("book").as_deref(), Some("did you mean \"books\"?"));
    }

    #[test]
    fn suggestions_for_a_file_of_mistakes_end() {
        let index = NameIndex::new((0..1000).map(|number| (format!("service-{number}"), ())));
        let suggested = (0..1000).filter(|_| index.suggest("service-1x").is_some()).count();
        assert_eq!(suggested, MOST_COMPARISONS / 1000 + 1);
    }
}
