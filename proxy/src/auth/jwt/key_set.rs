//! The keys that signatures are checked with: of a fetched set (RFC 7517), or of the configuration.
//!
//! Bounds: of a set 100 keys count; a token is tried against 8.

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

const MOST_KEYS: usize = 100;
const MOST_TRIED: usize = 8;

#[derive(Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// Of the text that the set was read from: another set, other tokens.
    pub fingerprint: [u8; 32],
}

struct Key {
    id: Option<String>,
    /// If the set says so, it is for this algorithm alone.
    algorithm: Option<KeyAlgorithm>,
    key: DecodingKey,
}

/// Why a set cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeySetError {
    #[error("it is not a JSON object with an array \"keys\"")]
    NoSet,
    #[error("it has no public key that can check signatures")]
    NoKey,
}

/// Keys for a token.
pub struct Candidates<'a> {
    pub keys: Vec<&'a DecodingKey>,
    /// Whether the key id of the token named them.
    pub are_named: bool,
    /// Whether the token would have to name its key, and does not.
    pub lack_name: bool,
}

impl KeySet {
    /// The keys of a set that can check signatures; the others are passed over, as RFC 7517 section
    /// 5 asks. Symmetric ones are never believed: who can read the set could sign.
    ///
    /// # Errors
    /// There is none.
    pub fn of_json(text: &[u8]) -> Result<Self, KeySetError> {
        let set: Value = serde_json::from_slice(text).map_err(|_| KeySetError::NoSet)?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::NoSet)?;
        let keys: Vec<Key> = keys.iter().filter_map(Key::of_json).take(MOST_KEYS).collect();
        if keys.is_empty() {
            return Err(KeySetError::NoKey);
        }
        Ok(Self { keys, fingerprint: Sha256::digest(text).into() })
    }

    /// Of keys that stand in the configuration.
    pub fn of_keys(keys: &[DecodingKey]) -> Self {
        let key = |key: &DecodingKey| Key { id: None, algorithm: None, key: key.clone() };
        Self { keys: keys.iter().map(key).collect(), ..Self::default() }
    }

    /// Whether none has been fetched yet.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Keys that may have signed a token with this header: those of its id, or those without id if none
    /// has its id. A token without id may also be of the only key that there is; of several, it must say
    /// which (OpenID Connect Core 1.0 section 10.1).
    pub fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Candidates<'_> {
        let is_of_id = |key: &&Key| key.id.is_some() && key.id.as_deref() == id;
        let are_named = self.keys.iter().any(|key| is_of_id(&key));
        let is_only = id.is_none() && self.keys.len() == 1;
        let fits = |key: &&Key| {
            key.key.family() == algorithm.family()
                && key.algorithm.is_none_or(|only| only == KeyAlgorithm::from(algorithm))
                && (is_only || is_of_id(key) || !are_named && key.id.is_none())
        };
        let keys = self.keys.iter().filter(fits).take(MOST_TRIED).map(|key| &key.key).collect();
        let all_are_named = self.keys.len() > 1 && self.keys.iter().all(|key| key.id.is_some());
        Candidates { keys, are_named, lack_name: id.is_none() && all_are_named }
    }
}

impl Key {
    fn of_json(json: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(json.clone()).ok()?;
        let is_for_encryption = jwk.common.public_key_use == Some(PublicKeyUse::Encryption);
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        if is_for_encryption || key.family() == AlgorithmFamily::Hmac {
            return None;
        }
        Some(Self { id: jwk.common.key_id, algorithm: jwk.common.key_algorithm, key })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Ed25519 keys need no arithmetic to be well formed.
    fn ed(id: Option<&str>, more: &[(&str, &str)]) -> Value {
        let mut key = json!({"kty": "OKP", "crv": "Ed25519",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let id = id.map(|id| ("kid", id));
        for (name, value) in id.iter().chain(more) {
            key[*name] = json!(value);
        }
        key
    }

    fn set(keys: &[Value]) -> Result<KeySet, KeySetError> {
        KeySet::of_json(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn found(keys: &[Value], id: Option<&str>) -> (usize, bool) {
        let set = set(keys).expect("has a key");
        let candidates = set.candidates(id, Algorithm::EdDSA);
        (candidates.keys.len(), candidates.are_named)
    }

    #[test]
    fn an_id_names_its_keys_and_no_others() {
        let keys = [ed(Some("a"), &[]), ed(Some("b"), &[]), ed(None, &[])];
        assert_eq!(found(&keys, Some("a")), (1, true));
        assert_eq!(found(&keys, Some("c")), (1, false));
        assert_eq!(found(&keys, None), (1, false));
        assert_eq!(found(&keys[..2], None), (0, false), "of several, it must say which");
        assert_eq!(found(&keys[..1], None), (1, false), "there is only one");
        assert_eq!(found(&keys[..2], Some("c")), (0, false));
        let many: Vec<Value> = (0..200).map(|_| ed(None, &[])).collect();
        assert_eq!(found(&many, None), (8, false));
    }

    #[test]
    fn keys_for_something_else_are_passed_over() {
        let symmetric = json!({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMy"});
        let broken = json!({"kty": "RSA", "n": "?", "e": "AQAB"});
        let encryption = ed(Some("a"), &[("use", "enc")]);
        let unknown = json!({"kty": "AKP", "alg": "ML-DSA-65", "pub": "AA"});
        let others = [symmetric, broken, encryption, unknown, json!(7)];
        assert_eq!(set(&others).err(), Some(KeySetError::NoKey));
        let with_one: Vec<Value> = others.into_iter().chain([ed(Some("b"), &[])]).collect();
        assert_eq!(found(&with_one, Some("b")), (1, true));
    }

    #[test]
    fn a_key_for_another_algorithm_is_no_candidate() {
        let keys = [ed(Some("a"), &[("alg", "ES256")]), ed(Some("b"), &[("alg", "EdDSA")])];
        assert_eq!(found(&keys[1..], None), (1, false));
        assert_eq!(found(&keys, Some("a")), (0, true));
        let set = set(&keys).expect("has keys");
        assert!(set.candidates(None, Algorithm::RS256).keys.is_empty());
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["", "[]", "{}", "{\"keys\": 7}", "<html>"] {
            assert_eq!(KeySet::of_json(text.as_bytes()).err(), Some(KeySetError::NoSet), "{text}");
        }
    }
}
