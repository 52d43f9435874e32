//! How a TOML value becomes one of ours, and what is said when it cannot.

use toml::{Spanned, de::DeValue};

use super::{
    error::{Located, Problem},
    expand::{expand, expand_secret},
    section::Reader,
};

/// A type that a key can have.
pub(super) trait Value: Sized {
    /// Whether what is written for it never stands in a message, whatever is wrong with it.
    const IS_SECRET: bool = false;

    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem>;
}

/// A type that is written as a string.
pub(super) trait FromText: Sized {
    /// Completes "expected …".
    const EXPECTED: &'static str;
    /// As of `Value`.
    const IS_SECRET: bool = false;
    fn from_text(text: &str) -> Result<Self, Problem>;
}

impl<T: FromText> Value for T {
    const IS_SECRET: bool = <T as FromText>::IS_SECRET;

    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        let DeValue::String(text) = value.get_ref() else {
            return Err(expected_of::<T>(T::EXPECTED, value));
        };
        let expand = if <T as FromText>::IS_SECRET { expand_secret } else { expand };
        T::from_text(&expand(text, reader.variables)?)
    }
}

impl FromText for String {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str) -> Result<Self, Problem> {
        Ok(text.to_owned())
    }
}

impl Value for bool {
    fn read(_: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        match value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(expected("true or false", value)),
        }
    }
}

impl Value for u64 {
    fn read(_: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        const EXPECTED: &str = "a whole number, 0 or more";
        match value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| expected(EXPECTED, value)),
            _ => Err(expected(EXPECTED, value)),
        }
    }
}

impl<T: Value> Value for Vec<Located<T>> {
    const IS_SECRET: bool = T::IS_SECRET;

    /// A wrong item is reported by itself, and the others are kept.
    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        let DeValue::Array(items) = value.get_ref() else {
            return Err(expected_of::<T>("an array", value));
        };
        let mut read = Vec::with_capacity(items.len());
        for item in items.iter() {
            match T::read(reader, item) {
                Ok(value) => read.push(Located { value, span: item.span() }),
                Err(problem) => reader.report(&item.span(), problem),
            }
        }
        Ok(read)
    }
}

/// One value, or an array of them.
pub(super) struct OneOrMore<T>(pub(super) Vec<Located<T>>);

impl<T: Value> Value for OneOrMore<T> {
    const IS_SECRET: bool = T::IS_SECRET;

    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        if matches!(value.get_ref(), DeValue::Array(_)) {
            return Vec::read(reader, value).map(Self);
        }
        let one = T::read(reader, value)?;
        Ok(Self(vec![Located { value: one, span: value.span() }]))
    }
}

/// A value, or "off".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OrOff<T>(pub(super) Option<T>);

impl<T: Value> Value for OrOff<T> {
    const IS_SECRET: bool = T::IS_SECRET;

    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        if let DeValue::String(text) = value.get_ref()
            && expand(text, reader.variables)? == "off"
        {
            return Ok(Self(None));
        }
        let or_off = |problem: Problem| match problem.hint {
            Some(_) => problem,
            None => problem.hint("or \"off\""),
        };
        T::read(reader, value).map(|value| Self(Some(value))).map_err(or_off)
    }
}

/// "expected X, found Y".
pub(super) fn expected(what: &str, value: &Spanned<DeValue<'_>>) -> Problem {
    let found = match value.get_ref() {
        DeValue::String(text) => format!("the string \"{text}\""),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(value) => format!("{value}"),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    };
    Problem::new(format!("expected {what}, found {found}"))
}

/// The same for what can be a secret.
pub(super) fn expected_of<T: Value>(what: &str, value: &Spanned<DeValue<'_>>) -> Problem {
    if !T::IS_SECRET {
        return expected(what, value);
    }
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    Problem::new(format!("expected {what}, found {found}"))
}

/// The error for a word outside a closed set.
pub(super) fn unknown_word(given: &str, known: &[&str]) -> Problem {
    let quoted: Vec<String> = known.iter().map(|word| format!("\"{word}\"")).collect();
    let mut problem = Problem::new(format!("expected {}, found \"{given}\"", quoted.join(" or ")));
    problem.hint = super::error::did_you_mean(given, known.iter().copied());
    problem
}
