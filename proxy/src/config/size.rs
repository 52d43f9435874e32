//! Sizes as text: a whole number and one of `B`, `KiB`, `MiB`, `GiB`.

use std::fmt;

use super::{error::Problem, value::FromText};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// In the largest unit that needs no fraction.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let is_whole = |shift: u32| self.0 > 0 && self.0.trailing_zeros() >= shift;
        let unit = units.into_iter().find(|(shift, _)| is_whole(*shift));
        let (shift, name) = unit.unwrap_or((0, "B"));
        write!(f, "{}{name}", self.0 >> shift)
    }
}

impl FromText for ByteSize {
    const EXPECTED: &'static str = "a size such as \"512B\", \"64KiB\" or \"10MiB\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let refused = || Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED));
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
        let number: u64 = text[..digits].parse().map_err(|_| refused())?;
        let shift = match &text[digits..] {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(refused()),
        };
        number
            .checked_mul(1 << shift)
            .map(Self)
            .ok_or_else(|| Problem::new(format!("\"{text}\" is more than 64 bits can hold")))
    }
}

/// A bound that can be lifted with the word "unlimited".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit(pub Option<u64>);

impl BodyLimit {
    pub const UNLIMITED: Self = Self(None);

    /// Whether `length` bytes are within the bound.
    pub fn allows(self, length: u64) -> bool {
        self.0.is_none_or(|limit| length <= limit)
    }
}

impl FromText for BodyLimit {
    const EXPECTED: &'static str = "a size such as \"10MiB\", or \"unlimited\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "unlimited" => Ok(Self::UNLIMITED),
            text => ByteSize::from_text(text).map(|size| Self(Some(size.0))),
        }
    }
}

/// So much of a request body is held at most, for another attempt or for a copy.
const MOST_HELD: u64 = 16 << 20;

/// A number of bytes of a body that is held whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldBody(pub(super) usize);

impl FromText for HeldBody {
    const EXPECTED: &'static str = ByteSize::EXPECTED;

    fn from_text(text: &str) -> Result<Self, Problem> {
        let size = ByteSize::from_text(text)?.0;
        let held = usize::try_from(size).ok().filter(|_| size <= MOST_HELD);
        let problem = || Problem::new(format!("expected 16MiB at most, found \"{text}\""));
        held.map(Self).ok_or_else(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_are_powers_of_1024() {
        for (text, bytes) in [("7B", 7), ("64KiB", 65_536), ("1MiB", 1 << 20), ("2GiB", 2 << 30)] {
            assert_eq!(ByteSize::from_text(text), Ok(ByteSize(bytes)));
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "64", "64KB", "64 KiB", "-1B", "1.5MiB", "99999999999GiB"] {
            assert!(ByteSize::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_held_body_has_16_mib_at_most() {
        assert_eq!(HeldBody::from_text("16MiB"), Ok(HeldBody(16 << 20)));
        assert_eq!(HeldBody::from_text("0B"), Ok(HeldBody(0)));
        assert!(HeldBody::from_text("16777217B").is_err());
    }

    #[test]
    fn a_body_limit_allows_up_to_itself() {
        assert!(BodyLimit(Some(10)).allows(10));
        assert!(!BodyLimit(Some(10)).allows(11));
        assert!(BodyLimit::UNLIMITED.allows(u64::MAX));
    }
}
