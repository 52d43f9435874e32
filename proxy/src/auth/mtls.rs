//! The certificate of the client, which the listener has verified.

use std::rc::Rc;

use actix_http::header::HeaderValue;

use super::{Asked, Checked, Identity, Refused};
use crate::config::{CertificateName, MtlsConfig};

/// RFC 9110 section 11.6.1 wants a challenge, and no registered scheme is for certificates.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Certificate");

pub struct Mtls {
    subjects: Vec<CertificateName>,
}

impl Mtls {
    pub(super) fn new(config: &MtlsConfig) -> Self {
        Self { subjects: config.subjects.clone() }
    }

    pub(super) fn check(&self, asked: &Asked<'_>) -> Checked {
        let tls = asked.record.from.arrival().tls.as_ref();
        let Some(names) = tls.and_then(|tls| tls.client.as_ref()) else {
            return Err(Refused::missing(CHALLENGE));
        };
        if self.subjects.is_empty() || self.subjects.iter().any(|one| names.include(one)) {
            return Ok(Rc::new(Identity::named(names.shown())));
        }
        Err(Refused::Forbidden(None))
    }
}
