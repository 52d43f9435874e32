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
mod shared;
pub mod stage;

use std::{rc::Rc, sync::Arc};

use actix_web::dev::ServiceRequest;
use futures_util::future::LocalBoxFuture;
use smallvec::SmallVec;

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
    let judged = move |checked: Checked| {
        checked.inspect_err(|refused| {
            count_if_wrong(scheme, asked, refused);
        })
    };
    match ask(scheme, asked) {
        Verdict::Now(checked) => Verdict::Now(judged(checked)),
        Verdict::Later(checking) => Verdict::Later(match guesses(scheme, asked) {
            Some(_) => Box::pin(async move { judged(checking.await) }),
            None => checking,
        }),
    }
}

/// As `check_by`, and a wrong guess is not counted yet. Who shows the scheme nothing is not held to
/// what came from its address.
fn ask(scheme: usize, asked: Asked<'_>) -> Verdict<'_> {
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

fn guesses(scheme: usize, asked: Asked<'_>) -> Option<&Guesses> {
    asked.record.site.scheme(scheme).shared.guesses.as_ref().map(|guesses| &*guesses.counted)
}

/// Guesses that were counted, with their schemes.
type Counted = SmallVec<[(usize, Decision); 2]>;

/// The first scheme that lets the client in; else what all of them have said. What one of them has
/// called wrong was no guess if another lets the client in.
async fn any(schemes: &[usize], asked: Asked<'_>) -> Checked {
    let (mut refused, mut wrong) = (None::<Refused>, Counted::new());
    for scheme in schemes {
        match ask(*scheme, asked).known().await {
            Ok(identity) => {
                give_back(&wrong, asked);
                return Ok(identity);
            }
            Err(also) => {
                wrong.extend(count_if_wrong(*scheme, asked, &also).map(|one| (*scheme, one)));
                refused = Some(match refused {
                    None => also,
                    Some(earlier) => earlier.both(also),
                });
            }
        }
    }
    Err(refused.expect("any has at least one scheme"))
}

fn give_back(counted: &Counted, asked: Asked<'_>) {
    for (scheme, counted) in counted {
        if let Some(guesses) = self::guesses(*scheme, asked) {
            guesses.give_back(asked, counted);
        }
    }
}
