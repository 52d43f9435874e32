//! Who a client is: one scheme a route, built by each worker for itself. A scheme says who it is,
//! or what to answer.

mod any;
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
mod shared;
pub mod stage;

use std::{rc::Rc, sync::Arc};

use actix_web::dev::ServiceRequest;

use self::{
    any::Tried,
    basic::{Basic, Password},
    cache::Cache,
    forward::Forward,
    introspection::{Introspection, TokenDigest},
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
    shared::SharedScheme,
};
use crate::{
    clock::Millis, config::AuthScheme, downstream::ClientNetwork, rate_limit::gcra::Decision,
    record::RequestRecord, upstream::call::Caller, worker::Worker,
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
    pub shared: &'a SharedScheme,
    /// Asks the server that the scheme names.
    pub caller: Option<&'a Rc<Caller>>,
    pub passwords: &'a Arc<PasswordDesk>,
    pub now: Millis,
}

/// A request whose client is to be known.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub worker: &'a Rc<Worker>,
    pub record: &'a RequestRecord,
    pub request: &'a ServiceRequest,
}

impl Asked<'_> {
    /// Whose request it is; all peers over Unix sockets are one.
    fn client(&self) -> Option<ClientNetwork> {
        self.record.client.get().map(ClientNetwork::of)
    }
}

pub type Checked = Result<Rc<Identity>, Refused>;

/// What needs nobody else is known at once: then nothing is put on the heap.
pub enum Verdict {
    Now(Checked),
    Ask(Question),
}

/// What somebody else must be asked about a client, with what is known of it already; asked once.
pub enum Question {
    /// A thread must compute a hash.
    Password(Box<Password>),
    /// Keys must be fetched that may have come since.
    Keys,
    /// The issuer of a token, which has this digest if answers are remembered.
    Token(Option<TokenDigest>),
    /// Another server.
    Forward,
    /// One of several schemes.
    Any(Box<Tried>),
}

impl Parts<'_> {
    /// For schemes with a URL.
    fn caller(&self) -> Rc<Caller> {
        Rc::clone(self.caller.expect("a scheme with a URL has one"))
    }
}

impl Authenticator {
    pub fn new(parts: &Parts<'_>) -> Self {
        let shared = parts.shared;
        match &shared.config.kind {
            AuthScheme::Bearer(keys) => Self::Bearer(Bearer::new(keys)),
            AuthScheme::ApiKey(config) => Self::ApiKey(ApiKey::new(config)),
            AuthScheme::Basic(config) => {
                let guesses = shared.guesses.as_ref().map(|guesses| Arc::clone(&guesses.counted));
                Self::Basic(Basic::new(config, Arc::clone(parts.passwords), guesses))
            }
            AuthScheme::Jwt(config) => {
                let keys = shared.key_source.as_ref();
                let fetched = keys.map(|keys| (Arc::clone(keys), parts.caller()));
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

    /// Whether the request has something that the scheme would look at.
    fn is_shown_any(&self, request: &ServiceRequest) -> bool {
        match self {
            Self::Bearer(_) | Self::Jwt(_) | Self::Introspection(_) => {
                credentials::bearer(request.headers()).is_some()
            }
            Self::ApiKey(keys) => keys.given(request).is_some(),
            Self::Basic(_) => credentials::basic(request.headers()).is_some(),
            Self::Forward(_) | Self::Mtls(_) | Self::Any(_) => true,
        }
    }

    /// Who the client is, or what must be asked to know it.
    fn check(&self, asked: Asked<'_>) -> Verdict {
        match self {
            Self::Bearer(bearer) => Verdict::Now(bearer.check(&asked)),
            Self::ApiKey(keys) => Verdict::Now(keys.check(&asked)),
            Self::Basic(basic) => basic.check(&asked),
            Self::Jwt(jwt) => jwt.check(&asked),
            Self::Introspection(introspection) => introspection.check(&asked),
            Self::Forward(_) => Verdict::Ask(Question::Forward),
            Self::Mtls(mtls) => Verdict::Now(mtls.check(&asked)),
            Self::Any(schemes) => any::check(schemes, Tried::default(), asked),
        }
    }

    /// What comes of a question of this scheme.
    async fn ask(&self, question: Question, asked: Asked<'_>) -> Checked {
        match (self, question) {
            (Self::Basic(basic), Question::Password(password)) => {
                basic.verify(*password, asked).await
            }
            (Self::Jwt(jwt), Question::Keys) => jwt.ask_again(asked).await,
            (Self::Introspection(issuer), Question::Token(digest)) => {
                issuer.learn(digest, asked).await
            }
            (Self::Forward(server), Question::Forward) => server.ask(asked).await,
            (Self::Any(schemes), Question::Any(tried)) => {
                Box::pin(any::ask(schemes, *tried, asked)).await
            }
            _ => unreachable!("a scheme asks its own questions"),
        }
    }
}

/// What a scheme says of the client at once, unless it has guessed too often.
pub fn check_by(scheme: usize, asked: Asked<'_>) -> Verdict {
    match first_look(scheme, asked) {
        Verdict::Now(checked) => Verdict::Now(judged(scheme, checked, asked)),
        question => question,
    }
}

/// What comes of a question of a scheme.
pub async fn ask_by(scheme: usize, question: Question, asked: Asked<'_>) -> Checked {
    let checked = asked.record.site.scheme(scheme).authenticator.ask(question, asked).await;
    judged(scheme, checked, asked)
}

/// A wrong guess is counted.
fn judged(scheme: usize, checked: Checked, asked: Asked<'_>) -> Checked {
    checked.inspect_err(|refused| {
        count_if_wrong(scheme, asked, refused);
    })
}

/// As `check_by`, and a wrong guess is not counted yet. Who shows the scheme nothing is not held to
/// what came from its address.
fn first_look(scheme: usize, asked: Asked<'_>) -> Verdict {
    let authenticator = &asked.record.site.scheme(scheme).authenticator;
    match guesses(scheme, asked).map_or(Ok(()), |guesses| guesses.allow(asked)) {
        Err(refused) if authenticator.is_shown_any(asked.request) => Verdict::Now(Err(refused)),
        _ => authenticator.check(asked),
    }
}

fn count_if_wrong(scheme: usize, asked: Asked<'_>, refused: &Refused) -> Option<Decision> {
    let is_wrong = matches!(refused, Refused::NotAuthenticated { is_guess: true, .. });
    guesses(scheme, asked).filter(|_| is_wrong)?.count(asked)
}

fn guesses<'a>(scheme: usize, asked: Asked<'a>) -> Option<&'a Guesses> {
    asked.record.site.scheme(scheme).shared.guesses.as_ref().map(|guesses| &*guesses.counted)
}
