//! Why a client is not let in, and the answer to it.

use std::time::Duration;

use actix_http::header::{self, HeaderValue};
use actix_web::HttpResponse;

use crate::{error::Reason, record::RequestRecord, reply};

/// Challenges of the schemes of a route; nearly always one.
type Challenges = Vec<HeaderValue>;

pub enum Refused {
    /// There are no credentials that the scheme would take: 401 with these challenges.
    NotAuthenticated { challenges: Challenges, is_guess: bool },
    /// The client is known, and may not: 403, with what it lacks (RFC 6750 section 3.1).
    Forbidden(Option<HeaderValue>),
    /// Who would have to be asked does not answer, or too many are waiting: 503.
    Unavailable,
    /// The client has guessed too often: 429, and when it may try again.
    TooManyGuesses { retry_after: Duration },
    /// What another server has decided.
    Answered(Box<HttpResponse>),
}

impl Refused {
    pub fn missing(challenge: HeaderValue) -> Self {
        Self::NotAuthenticated { challenges: vec![challenge], is_guess: false }
    }

    pub fn wrong(challenge: HeaderValue) -> Self {
        Self::NotAuthenticated { challenges: vec![challenge], is_guess: true }
    }

    /// What is answered if neither of two schemes lets the client in: the challenges of both, or
    /// that which says more.
    pub(super) fn both(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::NotAuthenticated { mut challenges, is_guess },
                Self::NotAuthenticated { challenges: more, is_guess: other },
            ) => {
                challenges.extend(more);
                Self::NotAuthenticated { challenges, is_guess: is_guess || other }
            }
            (one, other) if one.rank() >= other.rank() => one,
            (_, other) => other,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::NotAuthenticated { .. } => 0,
            Self::Answered(_) => 1,
            Self::Forbidden(_) => 2,
            Self::Unavailable => 3,
            Self::TooManyGuesses { .. } => 4,
        }
    }

    /// The word in the metrics.
    pub(super) fn result(&self) -> AuthResult {
        match self {
            Self::NotAuthenticated { is_guess: false, .. } => AuthResult::Missing,
            Self::NotAuthenticated { is_guess: true, .. } => AuthResult::Wrong,
            Self::Answered(_) => AuthResult::Answered,
            Self::Forbidden(_) => AuthResult::Forbidden,
            Self::Unavailable => AuthResult::Unavailable,
            Self::TooManyGuesses { .. } => AuthResult::TooManyGuesses,
        }
    }

    pub(super) fn answer(self, record: &RequestRecord) -> HttpResponse {
        match self {
            Self::NotAuthenticated { challenges, .. } => {
                reply::not_authenticated(record, challenges)
            }
            Self::Forbidden(challenge) => {
                let mut response = reply::reject(record, Reason::Forbidden);
                if let Some(challenge) = challenge {
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                }
                response
            }
            Self::Unavailable => reply::reject(record, Reason::AuthUnavailable),
            Self::TooManyGuesses { retry_after } => {
                let whole = retry_after + Duration::from_nanos(999_999_999);
                reply::rate_limited(record, whole.as_secs())
            }
            Self::Answered(response) => {
                record.reason.set(Some(Reason::NotAuthenticated));
                *response
            }
        }
    }
}

/// What came of a check, as the metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthResult {
    Ok,
    Missing,
    Wrong,
    Forbidden,
    Unavailable,
    TooManyGuesses,
    /// By another server.
    Answered,
}

impl AuthResult {
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Wrong => "wrong",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
            Self::TooManyGuesses => "too_many_guesses",
            Self::Answered => "answered",
        }
    }
}
