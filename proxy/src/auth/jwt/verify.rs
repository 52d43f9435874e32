//! Whether a token is one that the issuer has signed, for us, and for now (RFC 7519, RFC 8725).
//! Signatures and times are checked by jsonwebtoken; who may be believed is decided here.

use std::collections::HashMap;

use jsonwebtoken::{Algorithm, Validation, decode, decode_header, errors::ErrorKind};
use serde_json::{Map, Value};

use super::key_set::KeySet;
use crate::config::JwtConfig;

/// Prepared once for each algorithm that is believed.
pub struct Rules {
    by_algorithm: HashMap<Algorithm, Validation>,
    issuers: Vec<String>,
    leeway_secs: u64,
}

/// A token that holds.
pub struct Verified {
    pub claims: Map<String, Value>,
    /// Seconds since 1970 after which it does not, the leeway included.
    pub until: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrue {
    #[error("it is not a signed token")]
    Malformed,
    #[error("its algorithm is not believed")]
    Algorithm,
    #[error("no key is known that could have signed it")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
    #[error("its issuer is not believed")]
    Issuer,
    #[error("it is for somebody else")]
    Audience,
    #[error("it lacks a claim, or has one of the wrong type")]
    Claims,
}

impl Rules {
    pub fn new(config: &JwtConfig) -> Self {
        let leeway_secs = config.leeway.as_secs_f64().ceil() as u64;
        let validation = |algorithm: &Algorithm| {
            let mut validation = Validation::new(*algorithm);
            validation.leeway = leeway_secs;
            validation.validate_nbf = true;
            validation.set_issuer(&config.issuers);
            let mut required = vec!["exp", "iss"];
            match &config.audiences {
                Some(audiences) => {
                    validation.set_audience(audiences);
                    required.push("aud");
                }
                None => validation.validate_aud = false,
            }
            validation.set_required_spec_claims(&required);
            (*algorithm, validation)
        };
        Self {
            by_algorithm: config.algorithms.iter().map(validation).collect(),
            issuers: config.issuers.clone(),
            leeway_secs,
        }
    }

    /// # Errors
    /// Why it is not believed.
    pub fn verify(&self, token: &[u8], keys: &KeySet) -> Result<Verified, Untrue> {
        // An algorithm that the library does not know, "none" first of all, is no header to it.
        let header = decode_header(token).map_err(|_| Untrue::Malformed)?;
        // RFC 7515 section 4.1.11: what must be understood is not.
        if header.crit.is_some() {
            return Err(Untrue::Malformed);
        }
        let validation = self.by_algorithm.get(&header.alg).ok_or(Untrue::Algorithm)?;
        let candidates = keys.candidates(header.kid.as_deref(), header.alg);
        // To fetch the keys again would be of no use to a token that names none.
        let mut untrue = if candidates.lack_name { Untrue::Signature } else { Untrue::UnknownKey };
        for key in candidates.keys {
            match decode::<Map<String, Value>>(token, key, validation) {
                Ok(decoded) => return self.accept(decoded.claims),
                Err(error) => untrue = Untrue::of(error.kind()),
            }
            if untrue != Untrue::Signature {
                return Err(untrue);
            }
        }
        // Without a name it may be of a key that came later.
        let is_unknown = untrue == Untrue::Signature && !candidates.are_named;
        Err(if is_unknown { Untrue::UnknownKey } else { untrue })
    }

    fn accept(&self, claims: Map<String, Value>) -> Result<Verified, Untrue> {
        // The library takes an array too, one of whose names would do.
        let issuer = claims.get("iss").and_then(Value::as_str).ok_or(Untrue::Issuer)?;
        if !self.issuers.iter().any(|known| known == issuer) {
            return Err(Untrue::Issuer);
        }
        let expiry = claims.get("exp").and_then(Value::as_f64).ok_or(Untrue::Claims)?;
        // Saturates: what is beyond any clock stays so.
        let until = (expiry as u64).saturating_add(self.leeway_secs);
        Ok(Verified { claims, until })
    }
}

impl Untrue {
    fn of(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYet,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::InvalidAlgorithm => Self::Algorithm,
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => Self::Claims,
            _ => Self::Malformed,
        }
    }
}
