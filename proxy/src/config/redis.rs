//! `[redis]`: where rate limits are counted that several processes share.

use std::{fmt, time::Duration};

use super::{
    duration::Within,
    error::Problem,
    fingerprint::Fingerprint,
    secret::Secret,
    section::Section,
    value::{FromText, unknown_word},
};

const USUAL_TIMEOUT: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub struct RedisConfig {
    /// Knows the address, and perhaps a password; has no connection yet.
    pub client: redis::Client,
    pub on_failure: OnFailure,
    /// Of one decision.
    pub timeout: Duration,
    /// Of all of these settings.
    pub fingerprint: Fingerprint,
}

/// What becomes of requests that Redis does not decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Each process counts for itself.
    Local,
    Allow,
    Deny,
}

/// The address may have a password in it.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisConfig({:?}, {:?})", self.on_failure, self.timeout)
    }
}

impl RedisConfig {
    /// `None` if it is wrong and reported.
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let client = section.require::<Secret>("url").and_then(|url| {
            let client = open(url.value.reveal());
            if client.is_none() {
                // What was written is not shown: it may have a password in it.
                let message = "expected \"redis://…\", \"rediss://…\" or \"unix:/…\"";
                section.report(&url.span, Problem::new(message));
            }
            client
        });
        let on_failure = section.or("on_failure", OnFailure::Local);
        let timeout = section.or("timeout", Within::<1, 10_000>(USUAL_TIMEOUT)).0;
        let fingerprint = section.fingerprint();
        section.finish();
        Some(Self { client: client?, on_failure, timeout, fingerprint })
    }
}

fn open(url: &str) -> Option<redis::Client> {
    let is_known = ["redis://", "rediss://", "unix:/"].iter().any(|start| url.starts_with(start));
    if is_known { redis::Client::open(url).ok() } else { None }
}

impl FromText for OnFailure {
    const EXPECTED: &'static str = "\"local\", \"allow\" or \"deny\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "local" => Ok(Self::Local),
            "allow" => Ok(Self::Allow),
            "deny" => Ok(Self::Deny),
            other => Err(unknown_word(other, &["local", "allow", "deny"])),
        }
    }
}
