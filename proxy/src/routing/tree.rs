//! Patterns of paths as a tree of their segments, best first.
//!
//! Before a placeholder text is tried, then text around a placeholder, the longest first, then a
//! placeholder alone, then `{*rest}`; where a branch leads nowhere, the next one is. A lookup costs what
//! the path has segments, however many patterns there are: a node is left by hash, never by a list.

use std::{collections::HashMap, hash::BuildHasherDefault};

use super::{Span, Values, work::step};
use crate::telemetry::series::KeyHasher;

/// The texts are the file's, so nobody can aim for collisions.
type Known<T> = HashMap<Box<str>, T, BuildHasherDefault<KeyHasher>>;

/// A number for each pattern.
#[derive(Default)]
pub(super) struct PathTree {
    root: Node,
}

/// What can follow a "/".
#[derive(Default)]
struct Node {
    /// Of the pattern that ends before it.
    end: Option<usize>,
    texts: Known<Node>,
    /// By what stands before the placeholder.
    placeholders: Affixes<Placeholders>,
}

#[derive(Default)]
struct Placeholders {
    /// `{name}`, by what stands behind it.
    one: Affixes<Node>,
    /// `{*name}`.
    rest: Option<usize>,
}

/// By text at the start or the end of a segment.
struct Affixes<T> {
    /// Of the texts, in bytes; the longest first.
    lengths: Vec<usize>,
    known: Known<T>,
}

impl PathTree {
    /// One pattern alone.
    pub(super) fn of(key: &str) -> Self {
        let mut tree = Self::default();
        *tree.number(key) = Some(0);
        tree
    }

    /// The number of a pattern, `None` until it is put there. `key` numbers its placeholders.
    pub(super) fn number(&mut self, key: &str) -> &mut Option<usize> {
        let mut node = &mut self.root;
        for segment in key.split('/').skip(1) {
            node = match placeholder(segment) {
                None => node.texts.entry(segment.into()).or_default(),
                Some((before, behind, false)) => node.placeholders.entry(before).one.entry(behind),
                Some((before, _, true)) => return &mut node.placeholders.entry(before).rest,
            };
        }
        &mut node.end
    }

    /// What `visit` first has for a pattern that matches `path`; it gets them best first, each with what
    /// its placeholders stand for.
    pub(super) fn find<T>(
        &self,
        path: &str,
        mut visit: impl FnMut(usize, &Values) -> Option<T>,
    ) -> Option<T> {
        if !path.starts_with('/') {
            return None;
        }
        self.root.find(path, 1, &mut Values::new(), &mut visit)
    }
}

impl Node {
    /// `start` is where the segment begins; behind the end of the path if there is none.
    fn find<T>(
        &self,
        path: &str,
        start: usize,
        values: &mut Values,
        visit: &mut impl FnMut(usize, &Values) -> Option<T>,
    ) -> Option<T> {
        let Some(ahead) = path.get(start..) else {
            return self.end.and_then(|number| visit(number, values));
        };
        step();
        let segment = memchr::memchr(b'/', ahead.as_bytes()).map_or(ahead, |end| &ahead[..end]);
        if !self.texts.is_empty()
            && let Some(node) = self.texts.get(segment)
            && let Some(found) = node.find(path, start + segment.len() + 1, values, visit)
        {
            return Some(found);
        }
        self.placeholders.starts(segment).find_map(|(before, placeholders)| {
            let start = start + before;
            placeholders.find(path, start, &segment[before..], values, visit)
        })
    }
}

impl Placeholders {
    /// `start` is where the placeholder begins, `segment` what is left of its segment. It stands for at
    /// least one byte.
    fn find<T>(
        &self,
        path: &str,
        start: usize,
        segment: &str,
        values: &mut Values,
        visit: &mut impl FnMut(usize, &Values) -> Option<T>,
    ) -> Option<T> {
        let end = start + segment.len();
        for (behind, node) in self.one.ends(segment) {
            if behind < segment.len() {
                values.push(Span::new(start, end - behind));
                let found = node.find(path, end + 1, values, visit);
                values.pop();
                if found.is_some() {
                    return found;
                }
            }
        }
        let number = self.rest.filter(|_| start < path.len())?;
        values.push(Span::new(start, path.len()));
        let found = visit(number, values);
        values.pop();
        found
    }
}

impl<T> Default for Affixes<T> {
    fn default() -> Self {
        Self { lengths: Vec::new(), known: Known::default() }
    }
}

impl<T: Default> Affixes<T> {
    fn entry(&mut self, text: &str) -> &mut T {
        if let Err(place) = self.lengths.binary_search_by(|length| text.len().cmp(length)) {
            self.lengths.insert(place, text.len());
        }
        self.known.entry(text.into()).or_default()
    }

    /// Those that `segment` begins with, each with its length, the longest first.
    fn starts(&self, segment: &str) -> impl Iterator<Item = (usize, &T)> {
        let known = |length| {
            step();
            self.known.get(segment.get(..length)?)
        };
        self.lengths.iter().filter_map(move |length| Some((*length, known(*length)?)))
    }

    /// Those that `segment` ends with.
    fn ends(&self, segment: &str) -> impl Iterator<Item = (usize, &T)> {
        let known = |length| {
            step();
            self.known.get(segment.get(segment.len().checked_sub(length)?..)?)
        };
        self.lengths.iter().filter_map(move |length| Some((*length, known(*length)?)))
    }
}

/// What stands before and behind the placeholder of a segment, and whether it takes all that follows.
fn placeholder(segment: &str) -> Option<(&str, &str, bool)> {
    let (before, inside) = segment.split_once('{')?;
    let (name, behind) = inside.split_once('}')?;
    Some((before, behind, name.starts_with('*')))
}

#[cfg(test)]
mod tests;
