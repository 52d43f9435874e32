//! What a client's compression remembers (RFC 7541 section 2.3), as far as it matters: of each entry, what
//! its name is for and what is wrong with it. How large entries are is for h2 to count: whoever asks for
//! one that is forgotten breaks the connection there.

use std::collections::VecDeque;

/// Entries that fit into the table of 4096 bytes, none of which is smaller than 32.
const MOST: usize = 4096 / 32;
/// Entries in the static table (appendix A).
const STATIC: usize = 61;

/// What the name of a field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Authority,
    Method,
    Path,
    Scheme,
    Field,
    /// No request has such a field; the length of its name.
    Wrong(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// h2 has another field of the same size in its place.
    Malformed,
    /// A path that h2 has another one of the same size for.
    Odd(Box<[u8]>),
}

#[derive(Debug)]
struct Entry {
    name: Name,
    flaw: Flaw,
}

/// Bound: [`MOST`] entries, and 4096 bytes of odd paths.
#[derive(Debug, Default)]
pub(super) struct Table {
    last: VecDeque<Entry>,
}

impl Table {
    pub(super) fn name(&self, index: usize) -> Name {
        match index {
            1 => Name::Authority,
            2 | 3 => Name::Method,
            4 | 5 => Name::Path,
            6 | 7 => Name::Scheme,
            // `:status`
            8..=14 => Name::Wrong(7),
            0 | 15..=STATIC => Name::Field,
            _ => self.entry(index).map_or(Name::Field, |entry| entry.name),
        }
    }

    pub(super) fn flaw(&self, index: usize) -> &Flaw {
        self.entry(index).map_or(&Flaw::None, |entry| &entry.flaw)
    }

    fn entry(&self, index: usize) -> Option<&Entry> {
        self.last.get(index.checked_sub(STATIC + 1)?)
    }

    pub(super) fn remember(&mut self, name: Name, flaw: Flaw) {
        self.last.truncate(MOST - 1);
        let is_odd = matches!(flaw, Flaw::Odd(_));
        self.last.push_front(Entry { name, flaw });
        if is_odd {
            self.forget();
        }
    }

    /// Older ones than fit into the table are not there any more.
    fn forget(&mut self) {
        let mut left: usize = 4096;
        for entry in &mut self.last {
            let Flaw::Odd(path) = &entry.flaw else { continue };
            left = left.saturating_sub(path.len() + 32);
            if left == 0 {
                entry.flaw = Flaw::Malformed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_has_the_first_number_and_old_ones_are_forgotten() {
        let mut table = Table::default();
        table.remember(Name::Path, Flaw::Malformed);
        table.remember(Name::Wrong(3), Flaw::None);
        assert_eq!((table.name(62), table.name(63)), (Name::Wrong(3), Name::Path));
        assert_eq!((table.flaw(62), table.flaw(63)), (&Flaw::None, &Flaw::Malformed));
        (0..MOST - 1).for_each(|_| table.remember(Name::Field, Flaw::None));
        assert_eq!((table.last.len(), table.name(61 + MOST)), (MOST, Name::Wrong(3)));
        assert_eq!(table.name(62 + MOST), Name::Field);
    }

    #[test]
    fn odd_paths_are_kept_as_long_as_they_may_be_asked_for() {
        let mut table = Table::default();
        let path = |length: usize| Flaw::Odd(vec![b'"'; length].into());
        (0..MOST).for_each(|_| table.remember(Name::Path, path(1000)));
        let kept = table.last.iter().filter(|entry| entry.flaw == path(1000)).count();
        assert_eq!(kept, 3);
        table.remember(Name::Path, path(60_000));
        assert_eq!(table.flaw(62), &Flaw::Malformed, "was never in the table");
    }
}
