//! Durations as text: a whole number and one of `ms`, `s`, `m`, `h`.

use std::time::Duration;

use super::{error::Problem, value::FromText};

/// The longest duration a setting can have; timers and arithmetic are safe below it.
pub(super) const LONGEST_MS: u64 = 7 * 24 * HOUR_MS;
const HOUR_MS: u64 = 3_600_000;

impl FromText for Duration {
    const EXPECTED: &'static str = "a duration such as \"250ms\", \"5s\" or \"1m\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let refused = || Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED));
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
        let number: u64 = text[..digits].parse().map_err(|_| refused())?;
        let unit_ms = match &text[digits..] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => HOUR_MS,
            _ => return Err(refused()),
        };
        let ms = number.checked_mul(unit_ms).filter(|ms| *ms <= LONGEST_MS);
        ms.map(Duration::from_millis)
            .ok_or_else(|| Problem::new(format!("\"{text}\" is longer than 7 days")))
    }
}

/// A duration above zero: a timeout of zero would fail every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeout(pub(super) Duration);

impl FromText for Timeout {
    const EXPECTED: &'static str = Duration::EXPECTED;

    fn from_text(text: &str) -> Result<Self, Problem> {
        match Duration::from_text(text)? {
            Duration::ZERO => Err(Problem::new("a timeout of zero would fail every request")),
            duration => Ok(Self(duration)),
        }
    }
}

/// A duration from `MIN_MS` to `MAX_MS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Within<const MIN_MS: u64, const MAX_MS: u64>(pub(super) Duration);

pub(super) type AboveZero = Within<1, LONGEST_MS>;

/// What outcomes are counted over: long enough for a few, short enough to mean something now.
pub(super) type WindowSpan = Within<1000, 300_000>;

impl<const MIN_MS: u64, const MAX_MS: u64> FromText for Within<MIN_MS, MAX_MS> {
    const EXPECTED: &'static str = Duration::EXPECTED;

    fn from_text(text: &str) -> Result<Self, Problem> {
        let (least, most) = (Duration::from_millis(MIN_MS), Duration::from_millis(MAX_MS));
        let duration = Duration::from_text(text)?;
        if (least..=most).contains(&duration) {
            return Ok(Self(duration));
        }
        let (least, most) = (written(MIN_MS), written(MAX_MS));
        Err(Problem::new(format!("expected {least} to {most}, found \"{text}\"")))
    }
}

/// In the largest unit that needs no fraction.
fn written(ms: u64) -> String {
    let units = [(HOUR_MS, "h"), (60_000, "m"), (1000, "s")];
    let whole = units.into_iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or((1, "ms"));
    format!("{}{name}", ms / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_units_are_read() {
        for (text, ms) in [("250ms", 250), ("5s", 5000), ("1m", 60_000), ("2h", 7_200_000)] {
            assert_eq!(Duration::from_text(text), Ok(Duration::from_millis(ms)));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "5", "s", "-1s", "1.5s", "5 s", "5S", "8000000h", "99999999999999999999s"]
        {
            assert!(Duration::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bounds_are_within_and_what_is_beyond_is_told_them() {
        for text in ["1s", "5m", "299999ms"] {
            assert!(WindowSpan::from_text(text).is_ok(), "{text}");
        }
        for text in ["999ms", "300001ms", "0s"] {
            let problem = WindowSpan::from_text(text).expect_err("is beyond");
            assert_eq!(problem.message, format!("expected 1s to 5m, found \"{text}\""));
        }
        let problem = AboveZero::from_text("0s").expect_err("is zero");
        assert_eq!(problem.message, "expected 1ms to 168h, found \"0s\"");
    }

    #[test]
    fn a_timeout_is_never_zero() {
        assert!(Timeout::from_text("0s").is_err());
    }
}
