//! `hsts` of a listener: the value of `Strict-Transport-Security` (RFC 6797 section 6.1).

use actix_http::header::HeaderValue;

use crate::config::{
    error::{Located, Problem},
    section::{Section, ValueOrTable},
    value::{FromText, OrOff},
};

const KEY: &str = "hsts";
const DAY_SECS: u64 = 86_400;
const LONGEST_DAYS: u64 = 730;
/// What hstspreload.org asks for.
const PRELOADED_DAYS: u64 = 365;

/// "off", how long, or a table that says more. `None` for "off".
pub(super) fn read(section: &mut Section<'_>) -> Option<HeaderValue> {
    match section.value_or_table::<OrOff<MaxAge>>(KEY)? {
        ValueOrTable::Value(value) => value.value.0.map(|age| field(age, false, false)),
        ValueOrTable::Table(table) => read_table(table),
    }
}

/// `None` if it is wrong and reported.
fn read_table(mut section: Section<'_>) -> Option<HeaderValue> {
    let age = section.require::<MaxAge>("max_age");
    let subdomains = section.get::<bool>("include_subdomains");
    let preload = section.get::<bool>("preload");
    if let Some(preload) = preload.as_ref().filter(|preload| preload.value) {
        let lacks_subdomains = match &subdomains {
            Some(subdomains) => !subdomains.value,
            None => !section.has("include_subdomains"),
        };
        let is_short = age.as_ref().is_some_and(|age| age.value.secs < PRELOADED_DAYS * DAY_SECS);
        if lacks_subdomains || is_short {
            report_not_preloaded(&section, preload, lacks_subdomains, is_short);
        }
    }
    section.finish();
    let is_on = |flag: Option<Located<bool>>| flag.is_some_and(|flag| flag.value);
    age.map(|age| field(age.value, is_on(subdomains), is_on(preload)))
}

fn report_not_preloaded(
    section: &Section<'_>,
    preload: &Located<bool>,
    lacks_subdomains: bool,
    is_short: bool,
) {
    let subdomains = lacks_subdomains.then_some("include_subdomains = true");
    let age = is_short.then_some("a max_age of 365d or more");
    let needs: Vec<&str> = subdomains.into_iter().chain(age).collect();
    let problem = Problem::new(format!("\"preload\" needs {}", needs.join(" and ")));
    section
        .report(&preload.span, problem.hint("browsers' lists take no other, see hstspreload.org"));
}

fn field(age: MaxAge, subdomains: bool, preload: bool) -> HeaderValue {
    let subdomains = if subdomains { "; includeSubDomains" } else { "" };
    let preload = if preload { "; preload" } else { "" };
    let value = format!("max-age={}{subdomains}{preload}", age.secs);
    HeaderValue::try_from(value).expect("a number and words are a field value")
}

/// How long browsers keep to `https`: whole seconds, and far longer than any timer of ours runs.
/// Zero has them forget it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MaxAge {
    secs: u64,
}

impl FromText for MaxAge {
    const EXPECTED: &'static str = "a duration such as \"365d\", \"12h\" or \"300s\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let refused = || Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED));
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
        let number: u64 = text[..digits].parse().map_err(|_| refused())?;
        let unit_secs = match &text[digits..] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => DAY_SECS,
            _ => return Err(refused()),
        };
        let secs = number.checked_mul(unit_secs).filter(|secs| *secs <= LONGEST_DAYS * DAY_SECS);
        let too_long = || Problem::new(format!("\"{text}\" is longer than {LONGEST_DAYS} days"));
        secs.map(|secs| Self { secs }).ok_or_else(too_long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_in_whole_seconds_of_two_years_at_most() {
        for (text, secs) in
            [("0s", 0), ("300s", 300), ("5m", 300), ("12h", 43_200), ("730d", 63_072_000)]
        {
            assert_eq!(MaxAge::from_text(text), Ok(MaxAge { secs }));
        }
        for wrong in ["", "365", "d", "-1d", "1.5d", "1w", "500ms", "731d", "17521h"] {
            assert!(MaxAge::from_text(wrong).is_err(), "{wrong}");
        }
        assert!(MaxAge::from_text("18446744073709551615d").is_err());
    }

    #[test]
    fn the_field_says_what_is_on() {
        let age = MaxAge { secs: 300 };
        assert_eq!(field(age, false, false), "max-age=300");
        assert_eq!(field(age, true, false), "max-age=300; includeSubDomains");
        assert_eq!(field(age, true, true), "max-age=300; includeSubDomains; preload");
    }
}
