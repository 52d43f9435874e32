//! Keys that are long and random: bearer tokens (RFC 6750 section 2.1) and API keys.
//!
//! What a client sends is looked up by its SHA-256: how long that takes says nothing about how much
//! of a guess was right, for nobody can choose digests. The length of a key is not hidden.
//!
//! The key that was right last is kept by each worker: who sends it again is known without a digest, by
//! a comparison whose time does not depend on where the keys differ. Bound: 256 bytes a scheme.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use actix_http::header::HeaderValue;
use actix_web::dev::ServiceRequest;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Asked, Checked, Identity, Refused, credentials};
use crate::config::{ApiKeyConfig, KeyPlace, KnownKeys};

const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer");
/// RFC 9110 section 11.6.1 wants a challenge, and no registered scheme is for keys.
const KEY_CHALLENGE: HeaderValue = HeaderValue::from_static("ApiKey");

pub struct Bearer(Keys);

pub struct ApiKey {
    place: KeyPlace,
    keys: Keys,
}

/// Who is let in, by digest.
struct Keys {
    known: BTreeMap<[u8; 32], Rc<Identity>>,
    last: RefCell<Option<Last>>,
}

/// The key that was right last.
struct Last {
    key: Box<[u8]>,
    identity: Rc<Identity>,
}

/// A longer key is not kept, in bytes.
const LONGEST: usize = 256;

impl Bearer {
    pub(super) fn new(config: &KnownKeys) -> Self {
        Self(Keys::new(config))
    }

    /// Exactly one `Authorization: Bearer <token>` with a known token.
    pub(super) fn check(&self, asked: &Asked<'_>) -> Checked {
        match credentials::bearer(asked.request.headers()) {
            Some(token) => self.0.find(token).ok_or_else(|| Refused::wrong(CHALLENGE)),
            None => Err(Refused::missing(CHALLENGE)),
        }
    }
}

impl ApiKey {
    pub(super) fn new(config: &ApiKeyConfig) -> Self {
        Self { place: config.place.clone(), keys: Keys::new(&config.keys) }
    }

    /// Exactly one key, and a known one.
    pub(super) fn check(&self, asked: &Asked<'_>) -> Checked {
        match self.given(asked.request) {
            Some(key) => self.keys.find(key).ok_or_else(|| Refused::wrong(KEY_CHALLENGE)),
            None => Err(Refused::missing(KEY_CHALLENGE)),
        }
    }

    /// The only key of the request.
    pub(super) fn given<'a>(&self, request: &'a ServiceRequest) -> Option<&'a [u8]> {
        match &self.place {
            KeyPlace::Header(name) => credentials::only(request.headers(), name),
            KeyPlace::Query(name) => {
                credentials::only_parameter(request.uri().query().unwrap_or_default(), name)
            }
        }
    }
}

impl Keys {
    fn new(config: &KnownKeys) -> Self {
        let known = config
            .0
            .iter()
            .map(|(digest, key)| (*digest, Rc::new(Identity::named(key.name.as_deref()))));
        Self { known: known.collect(), last: RefCell::default() }
    }

    fn find(&self, given: &[u8]) -> Option<Rc<Identity>> {
        if let Some(last) = &*self.last.borrow()
            && bool::from(last.key.ct_eq(given))
        {
            return Some(Rc::clone(&last.identity));
        }
        let digest: [u8; 32] = Sha256::digest(given).into();
        let identity = self.known.get(&digest)?;
        if given.len() <= LONGEST {
            self.last.replace(Some(Last { key: given.into(), identity: Rc::clone(identity) }));
        }
        Some(Rc::clone(identity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_all_of_its_bytes_whichever_was_right_before() {
        let known = ["a-long-enough-token", "another-token-that-is-right"];
        let by_digest = |key: &&str| {
            let digest: [u8; 32] = Sha256::digest(key).into();
            (digest, Rc::new(Identity::named(Some(key))))
        };
        let keys = Keys { known: known.iter().map(by_digest).collect(), last: RefCell::default() };
        let name = |given: &str| keys.find(given.as_bytes()).and_then(|one| one.subject.clone());
        for right in [known[0], known[0], known[1], known[0], known[1], known[1]] {
            assert_eq!(name(right).as_deref(), Some(right));
            for wrong in ["", "a", "a-long-enough-tokem", "b-long-enough-token", &right[1..]] {
                assert_eq!(name(wrong), None, "{wrong}");
            }
        }
    }
}
