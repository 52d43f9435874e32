//! Durations as text: a whole number and one of `ms`, `s`, `m`, `h`.

use std::time::Duration;

use super::{error::Problem, value::FromText};

/// The longest duration a setting can have; timers and arithmetic are safe below it.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

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
            "h" => 3_600_000,
            _ => return Err(refused()),
        };
        let duration = number.checked_mul(unit_ms).map(Duration::from_millis);
        duration
            .filter(|duration| *duration <= LONGEST)
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
    fn a_timeout_is_never_zero() {
        assert!(Timeout::from_text("0s").is_err());
    }
}
