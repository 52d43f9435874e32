//! `retry` of a service, and of a route that overrides some of it: when an attempt is followed by
//! another.

use std::time::Duration;

use actix_http::Method;
use toml::{Spanned, de::DeValue};

use super::{
    error::{Located, Problem},
    expand::expand,
    method::MethodName,
    number::{Percent, Whole},
    section::{Reader, Section},
    size::HeldBody,
    value::{FromText, OneOrMore, Value, expected, unknown_word},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// In all, the first one too; 1 to 10.
    pub attempts: u32,
    pub on: RetryOn,
    pub methods: RetryMethods,
    /// Most retries, in percent of the requests of the service.
    pub budget: u8,
    /// Longest request body that is kept for another attempt, in bytes; up to 16 MiB.
    pub body_limit: usize,
    /// Wait before the second attempt.
    pub backoff: Duration,
}

/// What a route says instead of its service. The budget is the service's alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOverrides {
    pub attempts: Option<u32>,
    pub on: Option<RetryOn>,
    pub methods: Option<RetryMethods>,
    pub body_limit: Option<usize>,
    pub backoff: Option<Duration>,
}

/// What holds for one request: the service's, but for what its route overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRule<'a> {
    pub attempts: u32,
    pub on: RetryOn,
    pub methods: &'a RetryMethods,
    pub body_limit: usize,
    pub backoff: Duration,
}

/// The outcomes that another attempt may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOn(u8);

/// The requests that may be sent again. One of which nothing was sent always may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryMethods {
    /// As RFC 9110 section 9.2.2 defines it.
    Idempotent,
    Any,
    /// Never empty.
    List(Vec<Method>),
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: RetryOn(1 << CONNECT),
            methods: RetryMethods::Idempotent,
            budget: 20,
            body_limit: 64 << 10,
            backoff: Duration::from_millis(25),
        }
    }
}

/// The words of `on`; the place of each is its bit.
const WORDS: [&str; 6] = ["connect", "reset", "timeout", "502", "503", "504"];
const CONNECT: u8 = 0;
const RESET: u8 = 1;
const TIMEOUT: u8 = 2;

impl RetryOn {
    /// No connection could be opened.
    pub fn connect(self) -> bool {
        self.has(CONNECT)
    }

    /// The connection broke before the response head.
    pub fn reset(self) -> bool {
        self.has(RESET)
    }

    /// No response head came in time.
    pub fn timeout(self) -> bool {
        self.has(TIMEOUT)
    }

    /// The endpoint answered with `status`: never but for 502, 503 and 504.
    pub fn status(self, status: u16) -> bool {
        match status {
            502 => self.has(3),
            503 => self.has(4),
            504 => self.has(5),
            _ => false,
        }
    }

    fn has(self, bit: u8) -> bool {
        self.0 & (1 << bit) != 0
    }
}

impl RetryConfig {
    pub fn overridden<'a>(&'a self, by: &'a RetryOverrides) -> RetryRule<'a> {
        RetryRule {
            attempts: by.attempts.unwrap_or(self.attempts),
            on: by.on.unwrap_or(self.on),
            methods: by.methods.as_ref().unwrap_or(&self.methods),
            body_limit: by.body_limit.unwrap_or(self.body_limit),
            backoff: by.backoff.unwrap_or(self.backoff),
        }
    }

    pub(super) fn read(section: Option<Section<'_>>) -> Self {
        let default = Self::default();
        let Some(mut section) = section else {
            return default;
        };
        let given = RetryOverrides::keys(&mut section);
        let budget = section.or::<Percent<0>>("budget", Percent(default.budget)).0;
        section.finish();
        Self {
            attempts: given.attempts.unwrap_or(default.attempts),
            on: given.on.unwrap_or(default.on),
            methods: given.methods.unwrap_or(default.methods),
            budget,
            body_limit: given.body_limit.unwrap_or(default.body_limit),
            backoff: given.backoff.unwrap_or(default.backoff),
        }
    }
}

impl RetryOverrides {
    pub(super) fn read(section: Option<Section<'_>>) -> Self {
        let Some(mut section) = section else {
            return Self::default();
        };
        let problem = Problem::new("\"budget\" is the service's: all its routes share it");
        section.refuse("budget", problem.hint("set it in [services.….retry]"));
        let given = Self::keys(&mut section);
        section.finish();
        given
    }

    /// What services and routes have in common.
    fn keys(section: &mut Section<'_>) -> Self {
        Self {
            attempts: section.get::<Whole<1, 10>>("attempts").map(|given| given.value.0),
            on: read_on(section),
            methods: section.get("methods").map(|given| given.value),
            body_limit: section.get::<HeldBody>("body_limit").map(|given| given.value.0),
            backoff: section.get("backoff").map(|given| given.value),
        }
    }
}

fn read_on(section: &mut Section<'_>) -> Option<RetryOn> {
    let given = section.get::<OneOrMore<Cause>>("on")?;
    if section.is_empty_array("on") {
        let problem = Problem::new("\"on\" is empty and would retry nothing");
        section.report(&given.span, problem.hint("write attempts = 1 for that"));
    }
    Some(RetryOn(given.value.0.iter().fold(0, |bits, cause| bits | cause.value.0)))
}

/// The bit of one word.
struct Cause(u8);

impl FromText for Cause {
    const EXPECTED: &'static str = "a word such as \"connect\" or \"503\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let place = WORDS.iter().position(|word| *word == text);
        place.map(|bit| Self(1 << bit)).ok_or_else(|| match unknown_word(text, &WORDS) {
            // Statuses are near one another in spelling alone.
            problem if text.parse::<u16>().is_ok() => Problem { hint: None, ..problem },
            problem => problem,
        })
    }
}

impl Value for RetryMethods {
    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        const EXPECTED: &str = "\"idempotent\", \"any\" or an array of methods";
        match value.get_ref() {
            DeValue::String(text) => match expand(text, reader.variables)?.as_str() {
                "idempotent" => Ok(Self::Idempotent),
                "any" => Ok(Self::Any),
                other => {
                    let mut problem = unknown_word(other, &["idempotent", "any"]);
                    problem.message = format!("expected {EXPECTED}, found \"{other}\"");
                    Err(problem)
                }
            },
            DeValue::Array(items) if items.is_empty() => {
                let problem = Problem::new("\"methods\" is empty and would retry nothing");
                Err(problem.hint("write attempts = 1 for that"))
            }
            DeValue::Array(_) => {
                let methods = Vec::<Located<MethodName>>::read(reader, value)?;
                Ok(Self::List(methods.into_iter().map(|method| method.value.0).collect()))
            }
            _ => Err(expected(EXPECTED, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ServiceConfig};

    fn service(retry: &str) -> ServiceConfig {
        let text = format!("[services.a]\nendpoints = [\"http://a\"]\n{retry}\n");
        let mut config = Config::load(&text, "test", &|_| None).expect("is valid");
        config.services.remove(0)
    }

    #[test]
    fn each_word_of_on_answers_its_own_query_alone() {
        for (place, word) in WORDS.iter().enumerate() {
            let on = service(&format!("retry = {{ on = [\"{word}\"] }}")).retry.on;
            let status = |status| on.status(status);
            let queries =
                [on.connect(), on.reset(), on.timeout(), status(502), status(503), status(504)];
            for (query, answer) in queries.into_iter().enumerate() {
                assert_eq!(answer, query == place, "{word}: {query}");
            }
            assert!(![200, 404, 500, 501, 505].into_iter().any(status), "{word}");
        }
    }

    #[test]
    fn a_route_overrides_single_settings() {
        let given = RetryConfig::default();
        let by = RetryOverrides {
            methods: Some(RetryMethods::Any),
            backoff: Some(Duration::ZERO),
            ..RetryOverrides::default()
        };
        let rule = given.overridden(&by);
        assert_eq!((rule.methods, rule.backoff), (&RetryMethods::Any, Duration::ZERO));
        assert_eq!((rule.attempts, rule.on, rule.body_limit), (2, given.on, 65_536));
    }
}
