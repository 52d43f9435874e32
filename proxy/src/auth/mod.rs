//! Who a client is: one scheme a route, built by each worker for itself. A scheme says who it is,
//! or what to answer.

mod basic;
mod cache;
mod credentials;
mod forward;
mod guesses;
mod identity;
mod introspection;
mod jwt;
mod keys;
mod mtls;
mod refused;
pub mod stage;

use std::{rc::Rc, sync::Arc};

use actix_web::dev::ServiceRequest;
use futures_util::future::LocalBoxFuture;

use self::{
    basic::Basic,
    cache::Cache,
    forward::Forward,
    introspection::Introspection,
    jwt::Jwt,
    keys::{ApiKey, Bearer},
    mtls::Mtls,
};
pub use self::{
    basic::PasswordDesk,
    guesses::Guesses,
    identity::Identity,
    jwt::KeySource,
    refused::{AuthResult, Refused},
};
use crate::{
    clock::Millis,
    config::{AuthScheme, SchemeConfig},
    record::RequestRecord,
    upstream::call::Caller,
    worker::Worker,
};

/// A scheme, ready to check requests.
pub enum Authenticator {
    Bearer(Bearer),
    ApiKey(ApiKey),
    Basic(Basic),
    Jwt(Box<Jwt>),
    Introspection(Box<Introspection>),
    Forward(Forward),
    Mtls(Mtls),
    Any(Vec<usize>),
}

/// What a worker builds a scheme from.
pub struct Parts<'a> {
    pub config: &'a SchemeConfig,
    /// Asks the server that the scheme names.
    pub caller: Option<&'a Rc<Caller>>,
    /// Keys that all workers fetch together.
    pub key_source: Option<&'a Arc<KeySource>>,
    pub passwords: &'a Arc<PasswordDesk>,
    pub guesses: Option<&'a Arc<Guesses>>,
    pub now: Millis,
}

/// A request whose client is to be known.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub worker: &'a Rc<Worker>,
    pub record: &'a RequestRecord,
    pub request: &'a ServiceRequest,
}

pub type Checked = Result<Rc<Identity>, Refused>;

/// What needs nobody else is known at once: then nothing is put on the heap.
pub enum Verdict<'a> {
    Now(Checked),
    Later(LocalBoxFuture<'a, Checked>),
}

impl Parts<'_> {
    /// For schemes with a URL.
    fn caller(&self) -> Rc<Caller> {
        Rc::clone(self.caller.expect("a scheme with a URL has one"))
    }
}

impl Authenticator {
    pub fn new(parts: &Parts<'_>) -> Self {
        match &parts.config.kind {
            AuthScheme::Bearer(keys) => Self::Bearer(Bearer::new(keys)),
            AuthScheme::ApiKey(config) => Self::ApiKey(ApiKey::new(config)),
            AuthScheme::Basic(config) => {
                let guesses = parts.guesses.map(Arc::clone);
                Self::Basic(Basic::new(config, Arc::clone(parts.passwords), guesses))
            }
            AuthScheme::Jwt(config) => {
                let fetched = parts.key_source.map(|keys| (Arc::clone(keys), parts.caller()));
                Self::Jwt(Box::new(Jwt::new(config, fetched, parts.now)))
            }
            AuthScheme::Mtls(config) => Self::Mtls(Mtls::new(config)),
            AuthScheme::Introspection(config) => {
                Self::Introspection(Box::new(Introspection::new(parts, config)))
            }
            AuthScheme::Forward(config) => Self::Forward(Forward::new(parts, config)),
            AuthScheme::Any(schemes) => Self::Any(schemes.clone()),
        }
    }

    /// Does what is due whether or not there are requests; called now and then by each worker.
    pub fn refresh(&self, now: Millis) {
        if let Self::Jwt(jwt) = self {
            jwt.refresh(now);
        }
    }

    /// Who the client is.
    pub fn check<'a>(&'a self, asked: Asked<'a>) -> Verdict<'a> {
        match self {
            Self::Bearer(bearer) => Verdict::Now(bearer.check(&asked)),
            Self::ApiKey(keys) => Verdict::Now(keys.check(&asked)),
            Self::Basic(basic) => basic.check(&asked),
            Self::Jwt(jwt) => jwt.check(&asked),
            Self::Introspection(introspection) => introspection.check(asked),
            Self::Forward(forward) => forward.check(asked),
            Self::Mtls(mtls) => Verdict::Now(mtls.check(&asked)),
            Self::Any(schemes) => Verdict::Later(Box::pin(any(schemes, asked))),
        }
    }
}

impl Verdict<'_> {
    pub async fn known(self) -> Checked {
        match self {
            Self::Now(checked) => checked,
            Self::Later(checking) => checking.await,
        }
    }
}

/// What a scheme says of the client, unless it has guessed too often.
pub fn check_by(scheme: usize, asked: Asked<'_>) -> Verdict<'_> {
    let authenticator = asked.worker.authenticator(scheme);
    match &asked.worker.gateway.guesses[scheme] {
        None => authenticator.check(asked),
        Some(guesses) => Verdict::Later(Box::pin(guesses.guard(asked, authenticator))),
    }
}

/// The first scheme that lets the client in; else what all of them have said.
async fn any(schemes: &[usize], asked: Asked<'_>) -> Checked {
    let mut refused: Option<Refused> = None;
    for scheme in schemes {
        match check_by(*scheme, asked).known().await {
            Ok(identity) => return Ok(identity),
            Err(also) => {
                refused = Some(match refused {
                    None => also,
                    Some(earlier) => earlier.both(also),
                });
            }
        }
    }
    Err(refused.expect("any has at least one scheme"))
}
