//! `[rate_limits.…]`: how many requests those may make who have something in common, and what a route
//! has of them.

use std::time::Duration;

use actix_http::header::HeaderName;

use super::{
    duration::Within,
    error::{Located, Problem, did_you_mean},
    header_rules::FieldName,
    name_index::NameIndex,
    number::{Count, Whole},
    section::Section,
    services::check_name,
    value::{FromText, OneOrMore, OrOff, unknown_word},
};

/// Limits that a route can have.
const MOST_OF_ROUTE: usize = 8;
const USUAL_REQUESTS: u32 = 100;
const USUAL_BURST: u32 = 20;
const USUAL_PER: Duration = Duration::from_secs(60);
/// A time window of the fields is in whole seconds.
const SHORTEST_PER_MS: u64 = 1000;
const LONGEST_PER_MS: u64 = RateConfig::LONGEST_PER.as_secs() * 1000;

/// One limit: `rate`, `in_flight`, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitConfig {
    pub name: String,
    /// Never empty.
    pub key: Vec<KeyPart>,
    pub rate: Option<RateConfig>,
    /// Most requests of one key at once.
    pub in_flight: Option<u32>,
}

/// `burst` at once, then one each `per / requests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateConfig {
    pub requests: u32,
    pub per: Duration,
    pub burst: u32,
    pub store: Store,
}

/// Where it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// In the process.
    Local { max_keys: u32 },
    /// By all who share a Redis.
    Redis,
}

/// What requests must have in common to be counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// The client's address, an IPv6 client being its /64.
    ClientIp,
    Header(HeaderName),
    /// What the client's identity says.
    Claim(String),
    Route,
}

type Keys = Whole<{ RateConfig::FEWEST_KEYS }, { RateConfig::MOST_KEYS }>;
type Requests = Whole<1, { RateConfig::MOST_REQUESTS }>;
type AtOnce = Whole<1, { RateConfig::MOST_AT_ONCE }>;

/// What a route must know of a limit.
pub(super) struct LimitUse {
    has_claim: bool,
}

impl RateLimitConfig {
    /// All limits by name; `None` for one that is wrong and reported: its name still counts as known.
    pub(super) fn read_all(
        sections: Vec<(Located<String>, Section<'_>)>,
        has_redis: bool,
    ) -> Vec<((String, LimitUse), Option<Self>)> {
        let read = sections.into_iter().map(|(name, section)| {
            if let Err(problem) = check_name(&name.value) {
                section.report(&name.span, problem);
            }
            let limit = Self::read(&name.value, section, has_redis);
            let key = limit.as_ref().map_or(&[][..], |limit| &limit.key);
            let has_claim = key.iter().any(|part| matches!(part, KeyPart::Claim(_)));
            ((name.value, LimitUse { has_claim }), limit)
        });
        read.collect()
    }

    fn read(name: &str, mut section: Section<'_>, has_redis: bool) -> Option<Self> {
        let key = section.get::<OneOrMore<KeyPart>>("key");
        if section.is_empty_array("key") {
            let message = "\"key\" is empty and would count all requests together";
            let problem = Problem::new(message).hint("\"route\" does, for each route");
            section.report(&section.key_span("key"), problem);
        }
        let key = match key {
            Some(key) => key.value.0.into_iter().map(|part| part.value).collect(),
            None => vec![KeyPart::ClientIp],
        };
        let in_flight = section.or("in_flight", OrOff::<Count>(None)).0.map(|count| count.0);
        // What has "in_flight" alone has no rate; all else has one.
        let is_rate =
            in_flight.is_none() || RateConfig::KEYS.into_iter().any(|key| section.has(key));
        let rate = RateConfig::read(&mut section, has_redis);
        section.finish();
        let rate = is_rate.then_some(rate);
        Some(Self { name: name.to_owned(), key, rate, in_flight })
    }
}

impl RateConfig {
    pub const MOST_REQUESTS: u32 = 1_000_000;
    pub const MOST_AT_ONCE: u32 = 100_000;
    pub const LONGEST_PER: Duration = Duration::from_secs(24 * 60 * 60);
    pub const FEWEST_KEYS: u32 = 1024;
    pub const USUAL_KEYS: u32 = 65_536;
    pub const MOST_KEYS: u32 = 4_194_304;

    const KEYS: [&str; 5] = ["requests", "per", "burst", "store", "max_keys"];

    fn read(section: &mut Section<'_>, has_redis: bool) -> Self {
        let requests = section.or::<Requests>("requests", Whole(USUAL_REQUESTS)).0;
        let per = section.or("per", Within::<SHORTEST_PER_MS, LONGEST_PER_MS>(USUAL_PER)).0;
        let burst = section.or::<AtOnce>("burst", Whole(USUAL_BURST)).0;
        let store = section.get::<StoreName>("store");
        let max_keys = section.or::<Keys>("max_keys", Whole(Self::USUAL_KEYS)).0;
        let is_shared = store.as_ref().is_some_and(|store| store.value == StoreName::Redis);
        if let Some(store) = store.filter(|_| is_shared && !has_redis) {
            let problem = Problem::new("the store \"redis\" needs [redis]");
            section.report(&store.span, problem);
        }
        if is_shared && section.has("max_keys") {
            let message = "\"max_keys\" is for the store \"local\" alone";
            section.report(&section.key_span("max_keys"), Problem::new(message));
        }
        let store = if is_shared { Store::Redis } else { Store::Local { max_keys } };
        Self { requests, per, burst, store }
    }
}

/// `rate_limits` of a route: indexes of limits, in the order in which they are named.
pub(super) fn read_route(
    section: &mut Section<'_>,
    known: &NameIndex<LimitUse>,
    has_auth: bool,
) -> Vec<usize> {
    let Some(names) = section.get::<OneOrMore<String>>("rate_limits") else {
        return Vec::new();
    };
    if names.value.0.len() > MOST_OF_ROUTE {
        let problem = Problem::new(format!("a route has {MOST_OF_ROUTE} rate limits at most"));
        section.report(&names.span, problem);
    }
    let mut found = Vec::new();
    for name in names.value.0 {
        match known.find(&name.value) {
            Some(index) if found.contains(&index) => {
                let problem = Problem::new(format!("\"{}\" stands here twice", name.value));
                section.report(&name.span, problem);
            }
            Some(index) => {
                if known.at(index).has_claim && !has_auth {
                    let message = format!("\"{}\" counts by a claim: nobody is known", name.value);
                    let problem = Problem::new(message).hint("the route needs an auth scheme");
                    section.report(&name.span, problem);
                }
                found.push(index);
            }
            None => {
                let mut problem = Problem::new(format!("unknown rate limit \"{}\"", name.value));
                problem.hint = known
                    .suggest(&name.value)
                    .or_else(|| Some("rate limits are [rate_limits.…] tables".to_owned()));
                section.report(&name.span, problem);
            }
        }
    }
    found
}

impl FromText for KeyPart {
    const EXPECTED: &'static str = "\"client_ip\", \"route\", \"header:x-user\" or \"claim:sub\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text.split_once(':') {
            None if text == "client_ip" => Ok(Self::ClientIp),
            None if text == "route" => Ok(Self::Route),
            Some(("header", name)) => FieldName::from_text(name).map(|name| Self::Header(name.0)),
            Some(("claim", name)) if !name.is_empty() => Ok(Self::Claim(name.to_owned())),
            other => {
                let word = other.map_or(text, |(word, _)| word);
                let message = format!("expected {}, found \"{text}\"", Self::EXPECTED);
                let mut problem = Problem::new(message);
                problem.hint = did_you_mean(word, ["client_ip", "route", "header", "claim"])
                    .filter(|_| word != "claim");
                Err(problem)
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StoreName {
    Local,
    Redis,
}

impl FromText for StoreName {
    const EXPECTED: &'static str = "\"local\" or \"redis\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "local" => Ok(Self::Local),
            "redis" => Ok(Self::Redis),
            other => Err(unknown_word(other, &["local", "redis"])),
        }
    }
}
