//! The credentials that a client sends with each request of a connection. A signed token has some
//! hundred bytes, and to look at each of them again costs more than all that is asked about a token
//! that is known; to see that they are those of the request before costs next to nothing.
//!
//! Bound: 2 KiB a connection.

use actix_http::header::HeaderValue;

/// Shorter values are looked at faster than they are kept.
const SHORTEST: usize = 128;
const LONGEST: usize = 2 << 10;

/// Those of the request before.
#[derive(Default)]
pub(super) struct Credentials(Option<HeaderValue>);

impl Credentials {
    /// The value, if it is the one before.
    pub(super) fn known(&self, given: &[u8]) -> Option<HeaderValue> {
        self.0.as_ref().filter(|known| known.as_bytes() == given).cloned()
    }

    /// Keeps a value that was found to be one; a copy, as the head itself would be kept with it.
    pub(super) fn keep(&mut self, value: &HeaderValue) {
        if (SHORTEST..=LONGEST).contains(&value.len()) {
            self.0 = HeaderValue::from_bytes(value.as_bytes()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_known_and_nothing_else() {
        let mut credentials = Credentials::default();
        let [one, other, longer] = ["a", "b", "aa"].map(|text| text.repeat(200));
        for text in [&one, &other, &longer, &one] {
            assert_eq!(credentials.known(text.as_bytes()), None);
            let value = HeaderValue::from_str(text).expect("is a value");
            credentials.keep(&value);
            assert_eq!(credentials.known(text.as_bytes()), Some(value));
        }
        assert_eq!(credentials.known(&one.as_bytes()[..199]), None);
    }

    #[test]
    fn what_is_short_or_very_long_is_not_kept() {
        let mut credentials = Credentials::default();
        for text in ["a".repeat(127), "a".repeat(2049)] {
            credentials.keep(&HeaderValue::from_str(&text).expect("is a value"));
            assert!(credentials.0.is_none());
        }
    }
}
