//! A failed order, kept in the state's folder: so that no process that shares it asks sooner, nor
//! one that is started again and again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::config::{AcmeChallenge, AcmeConfig};

/// The last of some failures in a row. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) failures: u32,
    failed_at: u64,
    retry_at: u64,
    directory: String,
    challenge: String,
    pub(super) error: String,
}

impl Failure {
    pub(super) fn new(
        config: &AcmeConfig,
        failures: u32,
        now: SystemTime,
        pause: Duration,
        error: String,
    ) -> Self {
        Self {
            failures,
            failed_at: seconds(now),
            retry_at: seconds(now + pause),
            directory: config.directory.clone(),
            challenge: challenge_word(config.challenge).to_owned(),
            error,
        }
    }

    /// What a file says; `None` if it says nothing to this process: another CA was asked, or by
    /// another challenge, or the clock stood wrong.
    pub(super) fn read(text: &[u8], config: &AcmeConfig, now: SystemTime) -> Option<Self> {
        let failure: Self = serde_json::from_slice(text).ok()?;
        let is_ours = failure.directory == config.directory
            && failure.challenge == challenge_word(config.challenge)
            && failure.failed_at <= seconds(now);
        is_ours.then_some(failure)
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and texts can be written") + "\n"
    }

    pub(super) fn retry_at(&self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_secs(self.retry_at)).unwrap_or(UNIX_EPOCH)
    }
}

/// The name in RFC 8555 and RFC 8737.
pub(super) fn challenge_word(challenge: AcmeChallenge) -> &'static str {
    match challenge {
        AcmeChallenge::Http01 => "http-01",
        AcmeChallenge::TlsAlpn01 => "tls-alpn-01",
    }
}

/// Rounded up: nothing is tried a moment too early.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_millis().div_ceil(1000) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NamedFile, Position};

    const NOW: u64 = 1_700_000_000;

    fn config() -> AcmeConfig {
        AcmeConfig {
            directory: "https://ca.test/directory".to_owned(),
            email: None,
            state: NamedFile { path: "/nowhere".into(), at: Position { line: 1, column: 1 } },
            challenge: AcmeChallenge::Http01,
            ca: None,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn failure() -> Failure {
        Failure::new(&config(), 3, at(NOW), Duration::from_secs(240), "no \"route\"".to_owned())
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = failure().text();
        let read = Failure::read(text.as_bytes(), &config(), at(NOW)).expect("is ours");
        assert_eq!(read, failure());
        assert_eq!(read.retry_at(), at(NOW + 240));
    }

    #[test]
    fn a_failure_elsewhere_or_of_the_future_says_nothing() {
        let text = failure().text();
        let elsewhere = AcmeConfig { directory: "https://b.test/".to_owned(), ..config() };
        assert_eq!(Failure::read(text.as_bytes(), &elsewhere, at(NOW)), None);
        let otherwise = AcmeConfig { challenge: AcmeChallenge::TlsAlpn01, ..config() };
        assert_eq!(Failure::read(text.as_bytes(), &otherwise, at(NOW)), None);
        assert_eq!(Failure::read(text.as_bytes(), &config(), at(NOW - 1)), None);
        assert_eq!(Failure::read(b"{}", &config(), at(NOW)), None);
    }
}
