//! Who a client is: one scheme a route. A scheme says yes, or what to answer with 401.

mod bearer;
pub mod stage;

use actix_http::header::{HeaderMap, HeaderValue};

use self::bearer::Bearer;
use crate::config::AuthScheme;

/// A scheme, ready to check requests.
pub enum Authenticator {
    Bearer(Bearer),
}

/// The client is not let in; the value goes into `WWW-Authenticate`.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub challenge: HeaderValue,
}

impl Authenticator {
    pub fn new(scheme: &AuthScheme) -> Self {
        match scheme {
            AuthScheme::Bearer(config) => Self::Bearer(Bearer::new(config)),
        }
    }

    /// # Errors
    /// The credentials are missing or wrong.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        match self {
            Self::Bearer(bearer) => bearer.check(headers),
        }
    }
}
