//! Bearer tokens (RFC 6750 section 2.1), compared in constant time: how long a comparison takes
//! says nothing about how much of a guess was right. The length of a token is not hidden.

use actix_http::header::{self, HeaderMap, HeaderValue};
use subtle::{Choice, ConstantTimeEq};

use super::Refused;
use crate::config::BearerConfig;

pub struct Bearer {
    tokens: Vec<Vec<u8>>,
}

impl Bearer {
    pub(super) fn new(config: &BearerConfig) -> Self {
        Self { tokens: config.tokens.iter().map(|token| token.clone().into_bytes()).collect() }
    }

    /// Exactly one `Authorization: Bearer <token>` with a known token.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let mut given = headers.get_all(header::AUTHORIZATION);
        let token = match (given.next(), given.next()) {
            (Some(value), None) => token(value.as_bytes()),
            _ => None,
        };
        match token {
            Some(token) if self.knows(token) => Ok(()),
            _ => Err(Refused { challenge: HeaderValue::from_static("Bearer") }),
        }
    }

    /// Looks at every token, found or not.
    fn knows(&self, given: &[u8]) -> bool {
        let none = Choice::from(0);
        self.tokens.iter().fold(none, |found, token| found | token.as_slice().ct_eq(given)).into()
    }
}

/// What follows the scheme, whose name is case-insensitive.
fn token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &[&str]) -> bool {
        let tokens = vec!["secret-token".to_owned(), "other-token".to_owned()];
        let mut headers = HeaderMap::new();
        for field in fields {
            headers
                .append(header::AUTHORIZATION, HeaderValue::from_str(field).expect("is a value"));
        }
        Bearer::new(&BearerConfig { tokens }).check(&headers).is_ok()
    }

    #[test]
    fn a_known_token_is_let_in() {
        for fields in ["Bearer secret-token", "bearer other-token", "BEARER  secret-token"] {
            assert!(check(&[fields]), "{fields}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for fields in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["Bearer secret-toke"],
            &["Bearer secret-token2"],
            &["Bearer secret-token,other-token"],
            &["Basic secret-token"],
            &["secret-token"],
            &["Bearersecret-token"],
            &["Bearer secret-token", "Bearer secret-token"],
        ] {
            assert!(!check(fields), "{fields:?}");
        }
    }
}
