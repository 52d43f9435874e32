//! Keys that are long and random: bearer tokens (RFC 6750 section 2.1) and API keys.
//!
//! What a client sends is looked up by its SHA-256: how long that takes says nothing about how much
//! of a guess was right, for nobody can choose digests. The length of a key is not hidden.

use std::{collections::BTreeMap, rc::Rc};

use actix_http::header::HeaderValue;
use actix_web::dev::ServiceRequest;
use sha2::{Digest, Sha256};

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
struct Keys(BTreeMap<[u8; 32], Rc<Identity>>);

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
        Self(known.collect())
    }

    fn find(&self, given: &[u8]) -> Option<Rc<Identity>> {
        let digest: [u8; 32] = Sha256::digest(given).into();
        self.0.get(&digest).map(Rc::clone)
    }
}
