//! The credentials that a client sends with each request of a connection. A signed token has some
//! hundred bytes, and to look at each of them again costs more than all that is asked about a token
//! that is known; to see that they are those of the request before costs next to nothing.
//!
//! Bound: 2 KiB a connection.

use actix_http::header::HeaderValue;
use bytes::Bytes;

use crate::error::Reason;

/// Shorter values are looked at faster than they are kept.
const SHORTEST: usize = 128;
const LONGEST: usize = 2 << 10;

/// Those of the request before.
#[derive(Default)]
pub(super) struct Credentials(Option<HeaderValue>);

impl Credentials {
    /// The value of the field, which stands in `head`.
    ///
    /// # Errors
    /// `bad_request` for what no field can hold.
    pub(super) fn value(&mut self, head: &Bytes, given: &[u8]) -> Result<HeaderValue, Reason> {
        if let Some(known) = self.0.as_ref().filter(|known| known.as_bytes() == given) {
            return Ok(known.clone());
        }
        let value = HeaderValue::from_maybe_shared(head.slice_ref(given));
        let value = value.map_err(|_| Reason::BadRequest)?;
        if (SHORTEST..=LONGEST).contains(&given.len()) {
            // A copy: the head itself would be kept with it.
            self.0 = HeaderValue::from_bytes(given).ok();
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(credentials: &mut Credentials, text: &str) -> Result<HeaderValue, Reason> {
        let head = Bytes::copy_from_slice(text.as_bytes());
        credentials.value(&head, &head)
    }

    #[test]
    fn each_request_has_its_own_whatever_came_before() {
        let mut credentials = Credentials::default();
        let tokens = ["a".repeat(200), "b".repeat(200), "a".repeat(201), "short".to_owned()];
        let tokens = tokens.iter().chain(&tokens).chain([&tokens[0], &tokens[0]]);
        for token in tokens {
            let value = value(&mut credentials, token).expect("is a value");
            assert_eq!(value.as_bytes(), token.as_bytes());
        }
    }

    #[test]
    fn what_no_field_can_hold_is_refused_and_not_kept() {
        let mut credentials = Credentials::default();
        let wrong = format!("{}\u{7f}", "a".repeat(200));
        for _ in 0..2 {
            assert_eq!(value(&mut credentials, &wrong), Err(Reason::BadRequest));
        }
        assert!(value(&mut credentials, &"a".repeat(3000)).is_ok());
        assert!(credentials.0.is_none());
    }
}
