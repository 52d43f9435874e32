//! Wildcard hosts: what is kept for `*.example.com` is found by `.example.com`.
//!
//! A name is looked up from each of its dots on, the longest first. None is tried that is longer than
//! every suffix, so that a long name costs no more than the file's own.

use std::{borrow::Cow, collections::HashMap, hash::BuildHasherDefault};

use super::work::step;
use crate::telemetry::series::KeyHasher;

/// The suffixes are the file's, so nobody can aim for collisions.
pub(super) struct Suffixes<T> {
    known: HashMap<String, T, BuildHasherDefault<KeyHasher>>,
    /// Of the suffixes, in bytes.
    longest: usize,
}

impl<T> FromIterator<(String, T)> for Suffixes<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(all: I) -> Self {
        let known: HashMap<String, T, _> = all.into_iter().collect();
        let longest = known.keys().map(String::len).max().unwrap_or(0);
        Self { known, longest }
    }
}

impl<T> Suffixes<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What is kept for suffixes of `name`, the longest first. There is something before each of them.
    pub(super) fn of(&self, name: Cow<'_, str>) -> impl Iterator<Item = &T> {
        let first = name.len().saturating_sub(self.longest).max(1);
        (first..name.len()).filter_map(move |dot| {
            let suffix = name.get(dot..).filter(|suffix| suffix.starts_with('.'))?;
            step();
            self.known.get(suffix)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_of_a_name_come_longest_first_and_a_name_is_no_suffix_of_its_own() {
        let known = [".test", ".b.test", ".a.b.test", ".other"];
        let suffixes: Suffixes<usize> =
            known.iter().enumerate().map(|(index, name)| ((*name).to_owned(), index)).collect();
        for (name, expected) in [
            ("x.a.b.test", &[2, 1, 0][..]),
            ("a.b.test", &[1, 0]),
            (".b.test", &[0]),
            (".test", &[]),
            ("test", &[]),
            ("", &[]),
            ("xb.test", &[0]),
            ("\u{e4}.other", &[3]),
        ] {
            let found: Vec<usize> = suffixes.of(name.into()).copied().collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}
