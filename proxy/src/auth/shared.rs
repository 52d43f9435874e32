//! What all workers share of a scheme: its settings, the keys that are fetched for it, and the wrong
//! guesses of its clients.

use std::sync::Arc;

use super::{Guesses, KeySource};
use crate::{
    config::{AuthScheme, FailureLimit, JwtConfig, JwtKeys, SchemeConfig},
    ids::SchemeId,
};

pub struct SharedScheme {
    pub id: SchemeId,
    pub config: SchemeConfig,
    /// `None` if no keys are fetched.
    pub key_source: Option<Arc<KeySource>>,
    /// `None` if guesses are not counted.
    pub guesses: Option<CountedGuesses>,
}

/// Wrong guesses, and the limit that they are held to.
#[derive(Clone)]
pub struct CountedGuesses {
    limit: FailureLimit,
    pub counted: Arc<Guesses>,
}

impl SharedScheme {
    /// The scheme under `config`, with what it was in the snapshot `before`: the same, if its settings
    /// are. Guesses go on while their limit is the same, fetched keys while they come from the same URL.
    pub fn build(config: &SchemeConfig, id: SchemeId, before: Option<&Arc<Self>>) -> Arc<Self> {
        // What `any` tries it knows by places, which its section does not tell.
        let is_any = matches!(config.kind, AuthScheme::Any(_));
        let same = before.filter(|one| one.config.fingerprint == config.fingerprint && !is_any);
        if let Some(same) = same {
            return Arc::clone(same);
        }
        let guesses = config.failures.map(|limit| {
            let before = before.and_then(|before| before.guesses.clone());
            let new = || CountedGuesses { limit, counted: Arc::new(Guesses::new(limit)) };
            before.filter(|before| before.limit == limit).unwrap_or_else(new)
        });
        let key_source = fetched_from(config).map(|url| {
            let before = before.filter(|before| fetched_from(&before.config) == Some(url));
            before.and_then(|before| before.key_source.clone()).unwrap_or_default()
        });
        Arc::new(Self { id, config: config.clone(), key_source, guesses })
    }
}

/// The URL of the keys of a scheme.
fn fetched_from(scheme: &SchemeConfig) -> Option<(&str, &str)> {
    match &scheme.kind {
        AuthScheme::Jwt(JwtConfig { keys: JwtKeys::Set(call), .. }) => {
            Some((&call.url.endpoint.url, &call.url.target))
        }
        _ => None,
    }
}
