//! Tokens that their issuer is asked about (RFC 7662).
//!
//! Answers are believed for a while, those that a token is not valid for a shorter one, and none
//! beyond the end of its token. Requests of one worker with the same token wait for one answer.
//! Bounds: tokens of 8 KiB, answers of 64 KiB; of active tokens 4096 are kept
//! by each worker, of others 1024.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt::Display,
    rc::Rc,
    time::{Duration, SystemTime},
};

use actix_http::{Method, StatusCode, header::HeaderValue};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use form_urlencoded::byte_serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::{
    Asked, Checked, Identity, Parts, Question, Refused, Verdict, cache::Cache, credentials,
};
use crate::{
    clock::Millis,
    config::IntrospectionConfig,
    downstream::ClientNetwork,
    error::chain,
    headers::lines::put,
    upstream::call::{Call, Caller},
};

const MISSING: HeaderValue = HeaderValue::from_static("Bearer");
const WRONG: HeaderValue = HeaderValue::from_static("Bearer error=\"invalid_token\"");
const LACKING: HeaderValue = HeaderValue::from_static("Bearer error=\"insufficient_scope\"");
/// A longer one is nobody's, in bytes.
const LONGEST_TOKEN: usize = 8 << 10;
const LONGEST_ANSWER: usize = 64 << 10;
/// Tokens that a worker remembers.
const MOST_REMEMBERED: usize = 4096;
const MOST_INACTIVE: usize = 1024;
/// A token may become valid later, and a client that has just got it must not wait for long.
const INACTIVE: Duration = Duration::from_secs(10);

pub type TokenDigest = [u8; 32];

pub struct Introspection {
    config: IntrospectionConfig,
    /// Of the scheme, for the log.
    name: String,
    caller: Rc<Caller>,
    /// The field lines of every question.
    fields: BytesMut,
    active: RefCell<Cache<TokenDigest, Rc<Identity>>>,
    /// Apart: strangers can send as many of them as they like, and must not push out the others.
    inactive: RefCell<Cache<TokenDigest, ()>>,
    /// What is being asked now. Bound: one for each request that waits.
    asked: RefCell<HashMap<TokenDigest, Rc<Pending>>>,
}

/// What the issuer says of a token.
#[derive(Clone)]
enum Token {
    Active(Rc<Identity>),
    Inactive,
}

/// `None`: nothing usable was answered.
type Pending = OnceCell<Option<Token>>;

/// A request's part in a question that others may share.
struct Share<'a> {
    asked: &'a RefCell<HashMap<TokenDigest, Rc<Pending>>>,
    digest: TokenDigest,
    pending: Rc<Pending>,
}

/// An answer, and how long its token lasts by its own account.
struct Answer {
    token: Token,
    left: Option<Duration>,
}

impl Introspection {
    pub(super) fn new(parts: &Parts<'_>, config: &IntrospectionConfig) -> Self {
        Self {
            config: config.clone(),
            name: parts.shared.config.name.clone(),
            caller: parts.caller(),
            fields: fields(config),
            active: RefCell::new(Cache::new(MOST_REMEMBERED)),
            inactive: RefCell::new(Cache::new(MOST_INACTIVE)),
            asked: RefCell::default(),
        }
    }

    /// Exactly one `Authorization: Bearer <token>` that the issuer calls active.
    pub(super) fn check(&self, asked: &Asked<'_>) -> Verdict {
        let Some(token) = credentials::bearer(asked.request.headers()) else {
            return Verdict::Now(Err(Refused::missing(MISSING)));
        };
        if token.len() > LONGEST_TOKEN {
            return Verdict::Now(Err(Refused::wrong(WRONG)));
        }
        if self.config.cache.is_zero() {
            return Verdict::Ask(Question::Token(None));
        }
        let digest: TokenDigest = Sha256::digest(token).into();
        match self.known(&digest, asked.worker.clock.now()) {
            Some(known) => Verdict::Now(self.judge(Some(known))),
            None => Verdict::Ask(Question::Token(Some(digest))),
        }
    }

    /// Asks the issuer about the token; beside others who ask about the same one, once for all, if its
    /// digest is known.
    pub(super) async fn learn(&self, digest: Option<TokenDigest>, asked: Asked<'_>) -> Checked {
        let Some(token) = credentials::bearer(asked.request.headers()) else {
            return Err(Refused::missing(MISSING));
        };
        let Some(digest) = digest else {
            return self.judge(self.ask(token, asked.client()).await.map(|answer| answer.token));
        };
        let share = Share::take(&self.asked, digest);
        let learned = share.pending.get_or_init(|| self.learn_for_all(token, digest, asked));
        self.judge(learned.await.clone())
    }

    fn known(&self, digest: &TokenDigest, now: Millis) -> Option<Token> {
        let active = self.active.borrow_mut().get(digest, now).map(Token::Active);
        active.or_else(|| self.inactive.borrow_mut().get(digest, now).map(|()| Token::Inactive))
    }

    fn judge(&self, token: Option<Token>) -> Checked {
        match token {
            Some(Token::Active(identity)) if identity.meets(&self.config.required) => Ok(identity),
            Some(Token::Active(_)) => Err(Refused::Forbidden(Some(LACKING))),
            Some(Token::Inactive) => Err(Refused::wrong(WRONG)),
            None => Err(Refused::Unavailable),
        }
    }

    /// Asks, and keeps the answer.
    async fn learn_for_all(
        &self,
        token: &[u8],
        digest: TokenDigest,
        asked: Asked<'_>,
    ) -> Option<Token> {
        let Answer { token, left } = self.ask(token, asked.client()).await?;
        let lasts = match token {
            Token::Active(_) => left.map_or(self.config.cache, |left| left.min(self.config.cache)),
            Token::Inactive => self.config.cache.min(INACTIVE),
        };
        let until = asked.worker.clock.now().plus(Millis::count(lasts));
        match &token {
            Token::Active(identity) => {
                self.active.borrow_mut().insert(digest, Rc::clone(identity), until);
            }
            Token::Inactive => self.inactive.borrow_mut().insert(digest, (), until),
        }
        Some(token)
    }

    /// Because of `client`, though others may wait for it too.
    async fn ask(&self, token: &[u8], client: Option<ClientNetwork>) -> Option<Answer> {
        let answered = self.question(token, client).await;
        self.caller.tell(&self.name, answered.as_ref().err().map(|error| error as &dyn Display));
        answered.ok()
    }

    async fn question(
        &self,
        token: &[u8],
        client: Option<ClientNetwork>,
    ) -> Result<Answer, String> {
        let called = self.caller.call(Call {
            client,
            signs_in: false,
            method: Method::POST,
            fields: &self.fields,
            body: form(token),
            time: self.config.timeout,
            most: LONGEST_ANSWER,
        });
        let called = called.await.map_err(|error| chain(&error))?;
        let answer = match called.status {
            StatusCode::OK => self.read(&called.body, SystemTime::now()),
            StatusCode::BAD_REQUEST if is_unsupported(&called.body) => {
                Some(Answer { token: Token::Inactive, left: None })
            }
            _ => None,
        };
        answer.ok_or_else(|| format!("status {}, and nothing about the token", called.status))
    }

    /// RFC 7662 section 2.2. `None` if it is not that.
    fn read(&self, body: &[u8], now: SystemTime) -> Option<Answer> {
        let claims: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let is_active = claims.get("active")?.as_bool()?;
        let left = match claims.get("exp") {
            Some(exp) => {
                let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Some(exp.as_f64()? - now.as_secs_f64())
            }
            None => None,
        };
        if !is_active || left.is_some_and(|left| left <= 0.0) {
            return Some(Answer { token: Token::Inactive, left: None });
        }
        let identity = Identity::of_claims(claims, &self.config.fields);
        let left = left.map(|left| Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX));
        Some(Answer { token: Token::Active(Rc::new(identity)), left })
    }
}

impl<'a> Share<'a> {
    fn take(asked: &'a RefCell<HashMap<TokenDigest, Rc<Pending>>>, digest: TokenDigest) -> Self {
        let pending = Rc::clone(asked.borrow_mut().entry(digest).or_default());
        Self { asked, digest, pending }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        // The map has the other one.
        if Rc::strong_count(&self.pending) == 2 {
            self.asked.borrow_mut().remove(&self.digest);
        }
    }
}

/// A token of a kind that the issuer says nothing about is not one of those that are let in (RFC
/// 7009 section 2.2.1 has the word, and issuers use it here too).
fn is_unsupported(body: &[u8]) -> bool {
    let error = serde_json::from_slice::<Value>(body).ok();
    error.is_some_and(|error| error["error"] == "unsupported_token_type")
}

/// RFC 6749 section 2.3.1: both are encoded as in a form before they are joined.
fn fields(config: &IntrospectionConfig) -> BytesMut {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let (id, secret) = (encoded(&config.client_id), encoded(config.client_secret.reveal()));
    let basic = BASE64_STANDARD.encode(format!("{id}:{secret}"));
    let mut fields = BytesMut::new();
    put(&mut fields, b"Authorization", format!("Basic {basic}").as_bytes());
    put(&mut fields, b"Content-Type", b"application/x-www-form-urlencoded");
    put(&mut fields, b"Accept", b"application/json");
    fields
}

/// RFC 7662 section 2.1.
fn form(token: &[u8]) -> Bytes {
    let encoded = ["token="].into_iter().chain(byte_serialize(token));
    encoded.chain(["&token_type_hint=access_token"]).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_cannot_leave_its_place_in_the_form() {
        let expected = "token=a%26b%3Dc%2B%2F%FF&token_type_hint=access_token";
        assert_eq!(form(b"a&b=c+/\xff"), expected);
    }
}
