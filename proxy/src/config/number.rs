//! Numbers within bounds: whole ones, percent, and ratios.

use toml::{Spanned, de::DeValue};

use super::{
    error::Problem,
    section::Reader,
    value::{Value, expected},
};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole<const MIN: u32, const MAX: u32>(pub(super) u32);

/// How many of something that can be a connection: no system gives file descriptors for more.
pub(super) type Count = Whole<1, 1_000_000>;

/// A whole number from `MIN` to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Percent<const MIN: u8>(pub(super) u8);

/// Above 0, at most 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio(pub(super) f64);

impl<const MIN: u32, const MAX: u32> Value for Whole<MIN, MAX> {
    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        let number = u64::read(reader, value)?;
        let within = u32::try_from(number).ok().filter(|number| (MIN..=MAX).contains(number));
        let problem = || Problem::new(format!("expected {MIN} to {MAX}, found {number}"));
        within.map(Self).ok_or_else(problem)
    }
}

impl<const MIN: u8> Value for Percent<MIN> {
    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        let number = u64::read(reader, value)?;
        let within = u8::try_from(number).ok().filter(|number| (MIN..=100).contains(number));
        let problem = || Problem::new(format!("expected {MIN} to 100 percent, found {number}"));
        within.map(Self).ok_or_else(problem)
    }
}

impl Value for Ratio {
    fn read(_: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        const EXPECTED: &str = "a ratio above 0, at most 1, such as 0.5";
        let number = match value.get_ref() {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => None,
        };
        let within = number.filter(|number: &f64| *number > 0.0 && *number <= 1.0);
        within.map(Self).ok_or_else(|| expected(EXPECTED, value))
    }
}
