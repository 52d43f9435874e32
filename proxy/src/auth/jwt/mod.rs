//! Signed tokens (RFC 7519) in `Authorization: Bearer`. A token that was verified is known until it
//! expires or the keys change: a signature costs 40 µs or more. It is found by its end, which is that
//! of its signature and so as good as a hash, and then compared whole: a digest of all of it would
//! cost more than everything else that is done with it.
//!
//! Bounds: 8 KiB a token; those of up to 4 KiB are remembered, 4,096 by each worker.

mod key_set;
mod source;
mod verify;

use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use actix_http::{Method, StatusCode, header::HeaderValue};
use bytes::Bytes;

pub use self::source::KeySource;
use self::{
    key_set::{KeySet, KeySetError},
    verify::{Rules, Untrue, Verified},
};
use super::{Asked, Cache, Checked, Identity, Question, Refused, Verdict, credentials};
use crate::{
    clock::Millis,
    config::{JwtConfig, JwtKeys},
    error::{ProxyError, chain},
    upstream::call::{Call, Caller},
};

const LONGEST_TOKEN: usize = 8 << 10;
/// Bytes at the end of a token that it is found by: the shortest signatures have 43.
const END: usize = 32;
const LONGEST_REMEMBERED: usize = 4 << 10;
const MOST_REMEMBERED: usize = 4096;
/// Of a key set, in bytes.
const LARGEST_SET: usize = 256 << 10;
/// Of one fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer");
/// RFC 6750 section 3.1.
const INVALID: HeaderValue = HeaderValue::from_static("Bearer error=\"invalid_token\"");
const LACKING: HeaderValue = HeaderValue::from_static("Bearer error=\"insufficient_scope\"");
const EXPIRED: HeaderValue = HeaderValue::from_static(
    "Bearer error=\"invalid_token\", error_description=\"the token has expired\"",
);

pub struct Jwt {
    rules: Rules,
    config: JwtConfig,
    keys: Keys,
    known: RefCell<Cache<[u8; END], Rc<Known>>>,
}

enum Keys {
    /// Those of the configuration.
    Fixed(KeySet),
    Fetched {
        source: Arc<KeySource>,
        caller: Rc<Caller>,
    },
}

/// A token that was verified.
struct Known {
    token: Box<[u8]>,
    identity: Rc<Identity>,
    is_entitled: bool,
    /// Of the keys it was verified with.
    fingerprint: [u8; 32],
}

impl Jwt {
    /// `fetched` is there if the keys are.
    pub(super) fn new(
        config: &JwtConfig,
        fetched: Option<(Arc<KeySource>, Rc<Caller>)>,
        now: Millis,
    ) -> Self {
        let keys = match (&config.keys, fetched) {
            (JwtKeys::Here(keys), _) => Keys::Fixed(KeySet::of_keys(keys)),
            (JwtKeys::Set(_), Some((source, caller))) => {
                // Before anybody asks for them.
                fetch(&source, &caller, now);
                Keys::Fetched { source, caller }
            }
            (JwtKeys::Set(_), None) => unreachable!("a scheme whose keys are fetched has a source"),
        };
        Self {
            rules: Rules::new(config),
            config: config.clone(),
            keys,
            known: RefCell::new(Cache::new(MOST_REMEMBERED)),
        }
    }

    /// Fetches keys that are old. Not left to requests: after a pause, the first of them would still be
    /// judged by keys that may have been withdrawn long ago.
    pub(super) fn refresh(&self, now: Millis) {
        if let Keys::Fetched { source, caller } = &self.keys
            && source.is_old(now)
        {
            fetch(source, caller, now);
        }
    }

    pub(super) fn check(&self, asked: &Asked<'_>) -> Verdict {
        let Some(token) = credentials::bearer(asked.request.headers()) else {
            return Verdict::Now(Err(Refused::missing(CHALLENGE)));
        };
        if token.len() > LONGEST_TOKEN {
            return Verdict::Now(Err(Refused::wrong(INVALID)));
        }
        let now = asked.worker.clock.at(asked.record.started);
        match &self.keys {
            Keys::Fixed(keys) => {
                Verdict::Now(self.judge(token, keys, now).map_err(refuse).flatten())
            }
            Keys::Fetched { source, .. } => {
                let keys = source.keys();
                match self.judge(token, &keys, now) {
                    Err(Untrue::UnknownKey) => Verdict::Ask(Question::Keys),
                    judged => Verdict::Now(judged.map_err(refuse).flatten()),
                }
            }
        }
    }

    /// With the keys that a fetch may bring.
    pub(super) async fn ask_again(&self, asked: Asked<'_>) -> Checked {
        let token = credentials::bearer(asked.request.headers());
        let (Keys::Fetched { source, caller }, Some(token)) = (&self.keys, token) else {
            return Err(Refused::wrong(INVALID));
        };
        let now = asked.worker.clock.at(asked.record.started);
        let before = source.keys().fingerprint;
        fetch(source, caller, now);
        source.wait(FETCH_TIMEOUT).await;
        let keys = source.keys();
        if keys.is_empty() {
            return Err(Refused::Unavailable);
        }
        if keys.fingerprint == before {
            return Err(refuse(Untrue::UnknownKey));
        }
        self.judge(token, &keys, now).map_err(refuse).flatten()
    }

    /// What is known of a token, or can be told with these keys.
    fn judge(&self, token: &[u8], keys: &KeySet, now: Millis) -> Result<Checked, Untrue> {
        let end = token.last_chunk::<END>().ok_or(Untrue::Malformed)?;
        let known = self.known.borrow_mut().get(end, now);
        let is_it = |one: &Rc<Known>| *one.token == *token && one.fingerprint == keys.fingerprint;
        if let Some(known) = known.filter(is_it) {
            return Ok(known.checked());
        }
        let verified = self.rules.verify(token, keys)?;
        let until = expiry(&verified, now);
        let identity = Identity::of_claims(verified.claims, &self.config.fields);
        let known = Rc::new(Known {
            token: token.into(),
            is_entitled: identity.meets(&self.config.required),
            identity: Rc::new(identity),
            fingerprint: keys.fingerprint,
        });
        let checked = known.checked();
        if token.len() <= LONGEST_REMEMBERED {
            self.known.borrow_mut().insert(*end, known, until);
        }
        Ok(checked)
    }
}

impl Known {
    fn checked(&self) -> Checked {
        if self.is_entitled {
            Ok(Rc::clone(&self.identity))
        } else {
            Err(Refused::Forbidden(Some(LACKING)))
        }
    }
}

fn refuse(untrue: Untrue) -> Refused {
    tracing::debug!(reason = %untrue, "a token is refused");
    Refused::wrong(if untrue == Untrue::Expired { EXPIRED } else { INVALID })
}

/// When it ends, on our own clock.
fn expiry(verified: &Verified, now: Millis) -> Millis {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    now.plus(verified.until.saturating_sub(wall).saturating_mul(1000))
}

/// Fetches the keys in the background, unless somebody does already, or did a moment ago.
fn fetch(source: &Arc<KeySource>, caller: &Rc<Caller>, now: Millis) {
    let Some(fetch) = source.begin(now) else { return };
    let caller = Rc::clone(caller);
    actix_rt::spawn(async move {
        match ask(&caller).await {
            Ok(keys) => fetch.succeeded(keys, now),
            Err(error) => {
                let url = caller.url();
                tracing::warn!(url, error = chain(&error), "a key set could not be fetched");
                fetch.failed();
            }
        }
    });
}

/// Why no key set has come.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("no answer")]
    Unanswered(#[from] ProxyError),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("the answer is no key set")]
    NoSet(#[from] KeySetError),
}

async fn ask(caller: &Caller) -> Result<KeySet, FetchError> {
    let call = Call {
        client: None,
        signs_in: false,
        method: Method::GET,
        fields: b"accept: application/jwk-set+json, application/json\r\n",
        body: Bytes::new(),
        time: FETCH_TIMEOUT,
        most: LARGEST_SET,
    };
    let called = caller.call(call).await?;
    if called.status != StatusCode::OK {
        return Err(FetchError::Status(called.status));
    }
    Ok(KeySet::of_json(&called.body)?)
}
