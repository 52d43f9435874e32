//! Windows of flow control (RFC 9113 section 5.2).

use std::collections::BTreeMap;

/// How many bytes may go one way, by stream; 0 is the connection. May be negative.
pub(super) struct Windows {
    initial: i64,
    of: BTreeMap<u32, i64>,
}

impl Windows {
    pub(super) fn new(initial: u32) -> Self {
        Self { initial: initial.into(), of: BTreeMap::from([(0, 65_535)]) }
    }

    pub(super) fn add(&mut self, stream: u32, more: i64) {
        *self.of.entry(stream).or_insert(self.initial) += more;
    }

    pub(super) fn left(&self, stream: u32) -> i64 {
        let of = |stream| self.of.get(&stream).copied().unwrap_or(self.initial);
        of(0).min(of(stream))
    }

    pub(super) fn set_initial(&mut self, initial: u32) {
        let more = i64::from(initial) - self.initial;
        self.of.iter_mut().filter(|(stream, _)| **stream > 0).for_each(|(_, left)| *left += more);
        self.initial = initial.into();
    }
}
