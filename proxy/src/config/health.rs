//! `health` of a service: active checks of its endpoints.

use std::{ops::RangeInclusive, time::Duration};

use actix_http::{
    header::{HeaderName, HeaderValue},
    uri::PathAndQuery,
};

use super::{
    duration::{LONGEST_MS, Timeout, Within},
    error::Problem,
    header_rules::{FieldValue, HeaderRules, check_own},
    number::Whole,
    section::Section,
    services::HostName,
    value::{FromText, unknown_word},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    pub check: HealthCheck,
    pub interval: Duration,
    /// Not longer than `interval`.
    pub timeout: Duration,
    /// Checks in a row that must pass before an endpoint is up again.
    pub healthy: u32,
    /// Checks in a row that must fail before it is down.
    pub unhealthy: u32,
}

/// What an endpoint must do to pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheck {
    /// Answer a GET.
    Http {
        /// From "/", put behind the endpoint's own; may have a query.
        path: String,
        /// Never empty.
        status: Vec<RangeInclusive<u16>>,
        /// A text that must occur in the first 64 KiB of the response body.
        body: Option<String>,
        /// What `Host` says; `None`: what it says to the service's requests.
        host: Option<HeaderValue>,
        /// Further fields.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
    /// Take a connection.
    Tcp,
}

const DEFAULT_PATH: &str = "/health";
const DEFAULT_STATUS: RangeInclusive<u16> = 200..=399;
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
/// So much of a body is searched.
const MOST_SEARCHED: usize = 64 << 10;

/// A shorter interval would be a load of its own.
type Interval = Within<10, LONGEST_MS>;
type Threshold = Whole<1, 1000>;

impl HealthConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let check = HealthCheck::read(&mut section);
        let (interval, timeout) = read_times(&mut section);
        let healthy = section.or::<Threshold>("healthy", Whole(2)).0;
        let unhealthy = section.or::<Threshold>("unhealthy", Whole(3)).0;
        section.finish();
        Self { check, interval, timeout, healthy, unhealthy }
    }
}

/// Interval and timeout. A timeout that nobody wrote is no longer than the interval.
fn read_times(section: &mut Section<'_>) -> (Duration, Duration) {
    let interval = section.get::<Interval>("interval").map(|given| given.value.0);
    let timeout = section.get::<Timeout>("timeout");
    let is_known = interval.is_some() || !section.has("interval");
    let interval = interval.unwrap_or(DEFAULT_INTERVAL);
    if let Some(given) = timeout.as_ref().filter(|given| is_known && given.value.0 > interval) {
        let problem = Problem::new("\"timeout\" must not be longer than \"interval\"");
        let hint = if section.has("interval") { None } else { Some("which is 5s by default") };
        section.report(&given.span, Problem { hint: hint.map(str::to_owned), ..problem });
    }
    let timeout = timeout.map_or(DEFAULT_TIMEOUT.min(interval), |given| given.value.0);
    (interval, timeout)
}

impl HealthCheck {
    fn read(section: &mut Section<'_>) -> Self {
        let kind = section.or("type", Kind::Http);
        let path = section.get::<ProbePath>("path");
        let status = section.get::<Statuses>("status");
        let body = section.get::<SearchedText>("body");
        let host = section.get::<HostName>("host");
        let headers = section.section("headers");
        let headers =
            headers.map(|table| HeaderRules::fields(table, check_own, |FieldValue(value)| value));
        match kind {
            Kind::Http => Self::Http {
                path: path.map_or_else(|| DEFAULT_PATH.to_owned(), |path| path.value.0),
                status: status.map_or_else(|| vec![DEFAULT_STATUS], |status| status.value.0),
                body: body.map(|body| body.value.0),
                host: host.map(|host| host.value.0),
                headers: headers.unwrap_or_default(),
            },
            Kind::Tcp => {
                for key in ["path", "status", "body", "host", "headers"]
                    .into_iter()
                    .filter(|key| section.has(key))
                {
                    let problem = Problem::new(format!("\"{key}\" needs type = \"http\""));
                    section.report(&section.key_span(key), problem);
                }
                Self::Tcp
            }
        }
    }
}

enum Kind {
    Http,
    Tcp,
}

impl FromText for Kind {
    const EXPECTED: &'static str = "\"http\" or \"tcp\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "http" => Ok(Self::Http),
            "tcp" => Ok(Self::Tcp),
            other => Err(unknown_word(other, &["http", "tcp"])),
        }
    }
}

/// What can stand in a request line behind the path of an endpoint.
struct ProbePath(String);

impl FromText for ProbePath {
    const EXPECTED: &'static str = "a path such as \"/health\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let is_target = text.starts_with('/')
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && text.parse::<PathAndQuery>().is_ok_and(|parsed| parsed.as_str() == text);
        if is_target {
            return Ok(Self(text.to_owned()));
        }
        Err(Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)))
    }
}

/// Statuses and ranges of them: `200-399`, or `200,204-206`.
struct Statuses(Vec<RangeInclusive<u16>>);

impl FromText for Statuses {
    const EXPECTED: &'static str =
        "statuses from 200 to 599 such as \"200-399\" or \"200,204-206\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let ranges: Option<Vec<_>> =
            text.split(',').map(|part| status_range(part.trim())).collect();
        ranges
            .map(Self)
            .ok_or_else(|| Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)))
    }
}

fn status_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (status(first)?, status(last)?);
    (first <= last).then_some(first..=last)
}

/// Three digits, and no sign before them.
fn status(text: &str) -> Option<u16> {
    let is_number = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten();
    number.filter(|status| (200..=599).contains(status))
}

struct SearchedText(String);

impl FromText for SearchedText {
    const EXPECTED: &'static str = "a text that the body must contain";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text.len() {
            0 => Err(Problem::new("an empty text would be found in every body")),
            1..=MOST_SEARCHED => Ok(Self(text.to_owned())),
            _ => Err(Problem::new("only the first 64KiB of a body are searched")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_single_ones_and_ranges() {
        let read = |text| Statuses::from_text(text).map(|statuses| statuses.0);
        assert_eq!(read("200-399"), Ok(vec![200..=399]));
        assert_eq!(read("200, 204-206"), Ok(vec![200..=200, 204..=206]));
        for wrong in ["", "200-", "-200", "399-200", "2xx", "199", "600", "200,,204", "+20", "0200"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_probe_path_is_what_can_stand_in_a_request_line() {
        for path in ["/", "/health", "/a%20b?full=1"] {
            assert!(ProbePath::from_text(path).is_ok(), "{path}");
        }
        for wrong in ["", "health", "/a b", "/a#b", "/ä", "/\r\nx", "http://a/"] {
            assert!(ProbePath::from_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_text_that_is_longer_than_what_is_searched_is_refused() {
        assert!(SearchedText::from_text(&"a".repeat(MOST_SEARCHED)).is_ok());
        assert!(SearchedText::from_text(&"a".repeat(MOST_SEARCHED + 1)).is_err());
    }
}
