//! When the CA would like a certificate renewed (RFC 9773): earlier than usual if it is going to
//! revoke it. A CA that has no opinion, or cannot be asked, changes nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::{Account, CertificateIdentifier, Error};
use rustls::pki_types::CertificateDer;

use super::{decide, error::AcmeError};

/// Between two questions about a certificate, whatever the CA says.
const SOONEST: Duration = Duration::from_secs(60);
const LATEST: Duration = Duration::from_secs(24 * 60 * 60);
/// After a question without an answer.
const AGAIN: Duration = Duration::from_secs(6 * 60 * 60);

/// What the CA said of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) of: CertificateDer<'static>,
    /// `None`: nothing.
    pub(super) renew_at: Option<SystemTime>,
    pub(super) ask_again: SystemTime,
}

impl Advice {
    /// No answer: not asked again for some hours.
    pub(super) fn none(of: CertificateDer<'static>, now: SystemTime) -> Self {
        Self { of, renew_at: None, ask_again: now + AGAIN }
    }

    fn new(of: CertificateDer<'static>, window: &Window, now: SystemTime, spread: f64) -> Self {
        let renew_at = decide::within(window.start, window.end, spread);
        let ask_again = now + window.ask_again_after.clamp(SOONEST, LATEST);
        Self { of, renew_at: Some(renew_at), ask_again }
    }
}

struct Window {
    start: SystemTime,
    end: SystemTime,
    ask_again_after: Duration,
}

/// Asks about `leaf`. `spread`, from 0 to 1, says where in the window the renewal is.
///
/// # Errors
/// The CA cannot be reached: others need not be asked about.
pub(super) async fn ask(
    account: &Account,
    leaf: &CertificateDer<'static>,
    now: SystemTime,
    spread: f64,
) -> Result<Advice, AcmeError> {
    // Without the key identifier of its CA it has no name to be asked about by.
    let Ok(identifier) = CertificateIdentifier::try_from(leaf) else {
        return Ok(Advice::none(leaf.clone(), now));
    };
    match account.renewal_info(&identifier).await {
        Ok((info, ask_again_after)) => {
            let start = moment(info.suggested_window.start.unix_timestamp());
            let end = moment(info.suggested_window.end.unix_timestamp());
            let window = Window { start, end, ask_again_after };
            Ok(Advice::new(leaf.clone(), &window, now, spread))
        }
        Err(Error::Unsupported(_)) => Ok(Advice::none(leaf.clone(), now)),
        Err(error) => match AcmeError::of("the question when to renew", error) {
            error if error.concerns_all_names() => Err(error),
            error => {
                tracing::debug!(error = error.text(), "acme renewal information not understood");
                Ok(Advice::none(leaf.clone(), now))
            }
        },
    }
}

fn moment(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    #[test]
    fn a_renewal_is_somewhere_in_the_window() {
        let now = moment(1_700_000_000);
        let window = Window { start: now, end: now + 10 * HOUR, ask_again_after: 6 * HOUR };
        let advice = |spread| Advice::new(CertificateDer::from(vec![1]), &window, now, spread);
        assert_eq!(advice(0.0).renew_at, Some(now));
        assert_eq!(advice(0.5).renew_at, Some(now + 5 * HOUR));
        assert_eq!(advice(0.5).ask_again, now + 6 * HOUR);
    }

    #[test]
    fn the_ca_is_asked_again_within_a_day_and_not_within_a_minute() {
        let now = moment(1_700_000_000);
        for (says, asked) in [(0, 60), (7200, 7200), (1 << 40, 24 * 60 * 60)] {
            let ask_again_after = Duration::from_secs(says);
            let window = Window { start: now, end: now, ask_again_after };
            let advice = Advice::new(CertificateDer::from(vec![1]), &window, now, 0.0);
            assert_eq!(advice.ask_again, now + Duration::from_secs(asked), "{says}");
        }
    }
}
