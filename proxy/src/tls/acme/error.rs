//! Why there is no certificate, and what the user can do about it.

use std::time::Duration;

use instant_acme::Problem;

use super::{certificate::BadCertificate, state::StateError, trust::TrustError};
use crate::{config::AcmeChallenge, error::chain};

/// Of a CA's text that is kept.
const LONGEST_TEXT: usize = 2000;

#[derive(Debug, thiserror::Error)]
pub(super) enum AcmeError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("cannot use the certificates that the CA is verified by")]
    Trust(#[from] TrustError),
    #[error("cannot reach the CA")]
    Unreachable(#[from] Unreachable),
    #[error("the CA refused {what}")]
    Refused { what: &'static str, source: Refusal },
    #[error("the CA could not validate the name")]
    NotValidated(#[source] Refusal),
    #[error("the CA gave the order up, without a reason")]
    NoReason,
    #[error("the CA does not offer {wanted} for this name, only {offered:?}")]
    NoSuchChallenge { wanted: &'static str, offered: Vec<String> },
    #[error("the CA named a token that is none")]
    BadToken,
    #[error("the CA has no answer yet for {0}")]
    Pending(&'static str),
    #[error("no end within {0:?}")]
    TooLong(Duration),
    #[error("what the CA issued cannot be served")]
    Certificate(#[from] BadCertificate),
    #[error("cannot make a certificate for the challenge")]
    Challenge(#[from] rcgen::Error),
    #[error("the CA's answer to {what} makes no sense")]
    Protocol { what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
}

/// There was no whole answer from the CA.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreachable {
    #[error("{url} is not https")]
    Plain { url: String },
    #[error("{url}: {text}")]
    Send { url: String, text: String },
    #[error("{url}: the answer broke off or has more than 1 MiB: {text}")]
    Body { url: String, text: String },
    #[error("{url}: no answer within {patience:?}")]
    Silent { url: String, patience: Duration },
}

/// The CA said no, and why (RFC 8555 section 6.7).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} ({kind}, status {status})")]
pub(super) struct Refusal {
    /// 0 if it stood inside another answer.
    pub(super) status: u16,
    /// The part of the type behind `urn:ietf:params:acme:error:`, or "no ACME problem".
    pub(super) kind: String,
    /// The CA's own words.
    pub(super) text: String,
    /// What it wants us to wait at least.
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: u16, problem: &Problem, retry_after: Option<Duration>) -> Self {
        let kind = problem.r#type.as_deref().unwrap_or("about:blank");
        let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
        let mut text = problem.detail.clone().unwrap_or_default();
        for part in &problem.subproblems {
            text = format!("{text}; {part}");
        }
        Self { status, kind: cut(kind), text: cut(&text), retry_after }
    }

    /// An answer that is no problem document: from something that is no ACME server.
    pub(super) fn foreign(status: u16, url: &str, retry_after: Option<Duration>) -> Self {
        let kind = "no ACME problem".to_owned();
        Self { status, kind, text: cut(url), retry_after }
    }
}

impl AcmeError {
    /// What instant-acme says of `what`, taken apart.
    pub(super) fn of(what: &'static str, error: instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Api(problem) => {
                Self::Refused { what, source: Refusal::new(0, &problem, None) }
            }
            instant_acme::Error::Timeout(_) => Self::Pending(what),
            instant_acme::Error::Other(error) => match error.downcast::<Refusal>() {
                Ok(source) => Self::Refused { what, source: *source },
                Err(error) => match error.downcast::<Unreachable>() {
                    Ok(error) => Self::Unreachable(*error),
                    Err(source) => Self::Protocol { what, source },
                },
            },
            error => Self::Protocol { what, source: Box::new(error) },
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { source, .. } | Self::NotValidated(source) => Some(source),
            _ => None,
        }
    }

    /// What the CA wants us to wait at least.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        const RATE_LIMITED: Duration = Duration::from_secs(60 * 60);
        let refusal = self.refusal()?;
        let is_limited = refusal.kind == "rateLimited" || refusal.status == 429;
        refusal.retry_after.or(is_limited.then_some(RATE_LIMITED))
    }

    /// Whether the next name would meet the same.
    pub(super) fn concerns_all_names(&self) -> bool {
        match self {
            Self::State(_) | Self::Trust(_) | Self::Unreachable(_) => true,
            // Not a rate limit: most count what was asked for one name.
            Self::Refused { source, .. } => self.forgets_account() || source.status >= 500,
            _ => false,
        }
    }

    /// Whether the same question may be answered a moment later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { source, .. } => source.kind == "badNonce" || source.status >= 500,
            _ => false,
        }
    }

    /// Whether the CA does not know our account any more.
    pub(super) fn forgets_account(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.kind == "accountDoesNotExist")
    }

    /// All of it in one line.
    pub(super) fn text(&self) -> String {
        cut(&chain(self))
    }

    /// What the user can do.
    pub(super) fn hint(&self, challenge: AcmeChallenge) -> &'static str {
        match self {
            Self::State(_) => "make acme.state a folder that the proxy may write, with room on it",
            Self::Trust(_) => "look at acme.ca, or at the CAs of the system if there is none",
            Self::Unreachable(_) => {
                "look at acme.directory, acme.ca and the way from here to the CA"
            }
            Self::Refused { source, .. } | Self::NotValidated(source) => {
                hint_for(&source.kind, challenge)
            }
            Self::NoSuchChallenge { .. } => "set acme.challenge to one that the CA offers",
            Self::NoReason | Self::Pending(_) | Self::TooLong(_) => "nothing: it is tried again",
            Self::BadToken | Self::Protocol { .. } | Self::Certificate(_) => {
                "make sure that acme.directory is the directory of an ACME server"
            }
            Self::Challenge(_) => "make sure that the name is a host name",
        }
    }
}

/// By the types of RFC 8555 section 6.7.
fn hint_for(kind: &str, challenge: AcmeChallenge) -> &'static str {
    match (kind, challenge) {
        ("dns", _) => "give the name an A or AAAA record that leads here",
        ("connection" | "tls" | "unauthorized" | "incorrectResponse", AcmeChallenge::Http01) => {
            "have port 80 of the name, over IPv6 too if it has an AAAA record, lead to a plain \
             listener of this proxy or of one with the same acme.state"
        }
        ("connection" | "tls" | "unauthorized" | "incorrectResponse", AcmeChallenge::TlsAlpn01) => {
            "have port 443 of the name, over IPv6 too if it has an AAAA record, lead to a TLS \
             listener of this proxy or of one with the same acme.state, with nothing before it \
             that ends TLS"
        }
        ("caa", _) => "let a CAA record of the name allow this CA",
        ("rateLimited", _) => "nothing: it is tried again when the CA allows it",
        ("rejectedIdentifier" | "unsupportedIdentifier", _) => {
            "take the name off the listener's acme: this CA does not issue for it"
        }
        ("externalAccountRequired", _) => {
            "choose another CA: this one wants an account made elsewhere"
        }
        ("invalidContact" | "unsupportedContact", _) => "correct acme.email",
        ("userActionRequired", _) => "do what the CA says",
        ("accountDoesNotExist", _) => "nothing: another account is made",
        ("badNonce" | "serverInternal", _) => "nothing: it is tried again",
        ("no ACME problem", _) => {
            "make sure that acme.directory is the directory of an ACME server"
        }
        _ => "see what the CA says",
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str) -> Problem {
        let json = format!(
            r#"{{"type": "urn:ietf:params:acme:error:{kind}", "detail": "no luck", "subproblems":
                [{{"type": "x", "detail": "part", "identifier": {{"type": "dns", "value": "a.test"}}}}]}}"#
        );
        serde_json::from_str(&json).expect("is a problem")
    }

    fn refused(refusal: Refusal) -> AcmeError {
        AcmeError::of("the order", instant_acme::Error::Other(Box::new(refusal)))
    }

    #[test]
    fn the_ca_s_own_words_are_passed_on() {
        let error = refused(Refusal::new(403, &problem("caa"), None));
        assert_eq!(
            error.text(),
            "the CA refused the order: no luck; for \"a.test\": part (x) (caa, status 403)"
        );
        assert!(error.hint(AcmeChallenge::Http01).contains("CAA"));
        let long = Problem { detail: Some("ä".repeat(5000)), ..problem("dns") };
        assert_eq!(Refusal::new(400, &long, None).text.len(), LONGEST_TEXT);
    }

    #[test]
    fn a_rate_limit_is_kept_for_as_long_as_the_ca_says_or_an_hour() {
        let minutes = |count: u64| Some(Duration::from_secs(60 * count));
        let error = refused(Refusal::new(429, &problem("rateLimited"), minutes(7)));
        assert_eq!(error.retry_after(), minutes(7));
        let error = refused(Refusal::new(429, &problem("rateLimited"), None));
        assert_eq!(error.retry_after(), minutes(60));
        let error = refused(Refusal::new(503, &problem("serverInternal"), minutes(2)));
        assert_eq!(error.retry_after(), minutes(2));
        let error = refused(Refusal::new(400, &problem("malformed"), None));
        assert_eq!(error.retry_after(), None);
    }

    #[test]
    fn what_a_name_did_wrong_does_not_keep_the_others_waiting() {
        for (status, kind, is_for_all) in [
            (403, "caa", false),
            (400, "rejectedIdentifier", false),
            (400, "accountDoesNotExist", true),
            (429, "rateLimited", false),
            (503, "serverInternal", true),
        ] {
            let error = refused(Refusal::new(status, &problem(kind), None));
            assert_eq!(error.concerns_all_names(), is_for_all, "{kind}");
        }
        let silent = Unreachable::Silent { url: String::new(), patience: Duration::ZERO };
        let silent = AcmeError::of("x", instant_acme::Error::Other(Box::new(silent)));
        assert!(matches!(silent, AcmeError::Unreachable(_)) && silent.concerns_all_names());
    }

    #[test]
    fn what_passes_is_told_from_what_stays() {
        for (status, kind, may_pass) in [
            (0, "badNonce", true),
            (503, "serverInternal", true),
            (429, "rateLimited", false),
            (403, "unauthorized", false),
        ] {
            let error = refused(Refusal::new(status, &problem(kind), None));
            assert_eq!(error.may_pass(), may_pass, "{kind}");
        }
        let plain = Unreachable::Send { url: String::new(), text: String::new() };
        assert!(AcmeError::Unreachable(plain).may_pass());
        assert!(!AcmeError::NoReason.may_pass());
    }

    #[test]
    fn the_hint_names_the_port_of_the_challenge() {
        let error = AcmeError::NotValidated(Refusal::new(0, &problem("connection"), None));
        assert!(error.hint(AcmeChallenge::Http01).contains("port 80"));
        assert!(error.hint(AcmeChallenge::TlsAlpn01).contains("port 443"));
    }
}
