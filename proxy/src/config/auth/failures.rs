//! `failures`: how many wrong guesses a client address has.

use std::time::Duration;

use crate::config::{
    duration::Within,
    error::Problem,
    number::Whole,
    section::{Section, ValueOrTable},
    value::{FromText, unknown_word},
};

/// `requests` at once, then one each `per / requests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureLimit {
    pub requests: u32,
    pub per: Duration,
}

impl Default for FailureLimit {
    fn default() -> Self {
        Self { requests: 20, per: Duration::from_secs(60) }
    }
}

impl FailureLimit {
    /// On by default where people choose the secret.
    pub(super) fn read(section: &mut Section<'_>, kind: &str) -> Option<Self> {
        let given = section.value_or_table::<Off>("failures");
        let pointless = pointless(kind).filter(|_| matches!(&given, Some(ValueOrTable::Table(_))));
        if let Some(why) = pointless {
            let message = format!("\"failures\" is not for \"{kind}\"");
            section.report(&section.key_span("failures"), Problem::new(message).hint(why));
        }
        let mut table = match given {
            None => return (kind == "basic").then(Self::default),
            Some(ValueOrTable::Value(_)) => return None,
            Some(ValueOrTable::Table(table)) => table,
        };
        let default = Self::default();
        let requests = table.or::<Whole<1, 1_000_000>>("requests", Whole(default.requests)).0;
        let per = table.or::<Within<1000, 86_400_000>>("per", Within(default.per)).0;
        table.finish();
        Some(Self { requests, per })
    }
}

/// Why such a scheme has no guesses of its own.
fn pointless(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "mtls" => "nobody can guess a certificate",
        "forward" => "only the server that is asked can tell which credentials are wrong",
        // What one scheme says more than that a guess was wrong would hide that it was.
        "any" => "set it on the schemes that it names",
        _ => return None,
    })
}

struct Off;

impl FromText for Off {
    const EXPECTED: &'static str = "{ requests = 20, per = \"1m\" } or \"off\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        if text == "off" { Ok(Self) } else { Err(unknown_word(text, &["off"])) }
    }
}
