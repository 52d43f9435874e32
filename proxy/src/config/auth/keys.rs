//! Keys that are long and random: tokens and API keys. Only their SHA-256 is kept: it cannot be
//! turned back, and to guess such a key is hopeless.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use toml::{Spanned, de::DeValue};

use crate::config::{
    error::{Located, Problem},
    secret::Secret,
    section::{Reader, Section, ValueOrTable},
    value::{FromText, Value, expected_of},
};

/// Shortest token that is accepted in a configuration, in bytes.
const SHORTEST_TOKEN: usize = 8;

/// Keys that are let in, by digest; never empty.
#[derive(Clone, Debug)]
pub struct KnownKeys(pub BTreeMap<[u8; 32], KnownKey>);

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// The name it has in a table; `None` in an array.
    pub name: Option<String>,
}

impl KnownKeys {
    /// `tokens` or `token_sha256`, or both.
    pub(super) fn read_tokens(section: &mut Section<'_>) -> Option<Self> {
        let mut keys = BTreeMap::new();
        if !section.has("tokens") && !section.has("token_sha256") {
            let message = format!("{} needs \"tokens\" or \"token_sha256\"", section.title());
            section.report(&section.span, Problem::new(message));
        }
        if let Some(tokens) = section.get::<Vec<Located<Secret>>>("tokens") {
            if section.is_empty_array("tokens") {
                section.report(&tokens.span, Problem::new("\"tokens\" names no token"));
            }
            for token in &tokens.value {
                if let Err(problem) = check_token(token.value.reveal()) {
                    section.report(&token.span, problem);
                }
                let digest = Sha256::digest(token.value.reveal()).into();
                keys.insert(digest, KnownKey { name: None });
            }
        }
        read_digests(section, "token_sha256", &mut keys);
        Some(Self(keys))
    }

    /// `key_sha256`.
    pub(super) fn read_keys(section: &mut Section<'_>) -> Option<Self> {
        section.must_have("key_sha256");
        let mut keys = BTreeMap::new();
        read_digests(section, "key_sha256", &mut keys);
        Some(Self(keys))
    }
}

/// An array of digests, or a table of them by name.
fn read_digests(
    section: &mut Section<'_>,
    key: &'static str,
    keys: &mut BTreeMap<[u8; 32], KnownKey>,
) {
    let read = match section.value_or_table::<Digests>(key) {
        Some(ValueOrTable::Value(digests)) => {
            if section.is_empty_array(key) {
                section.report(&digests.span, Problem::new(format!("\"{key}\" names no key")));
            }
            digests.value.0.into_iter().map(|digest| (None, digest)).collect::<Vec<_>>()
        }
        Some(ValueOrTable::Table(table)) => {
            let entries = table.entries::<Hex>();
            entries.into_iter().map(|(name, digest)| (Some(name.value), digest)).collect()
        }
        None => return,
    };
    for (name, digest) in read {
        if keys.insert(digest.value.0, KnownKey { name }).is_some() {
            section.report(&digest.span, Problem::new("the same key stands above"));
        }
    }
}

struct Digests(Vec<Located<Hex>>);

impl Value for Digests {
    const IS_SECRET: bool = true;

    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        match value.get_ref() {
            DeValue::Array(_) => Vec::read(reader, value).map(Self),
            _ => {
                Err(expected_of::<Self>("an array of digests, or a table { name = \"…\" }", value))
            }
        }
    }
}

/// A SHA-256 in hexadecimal digits.
struct Hex([u8; 32]);

impl FromText for Hex {
    const EXPECTED: &'static str = "a SHA-256 as 64 hexadecimal digits";
    const IS_SECRET: bool = true;

    /// What was written is not shown: it may be the key itself.
    fn from_text(text: &str) -> Result<Self, Problem> {
        let refused = || {
            Problem::new("expected a SHA-256 as 64 hexadecimal digits")
                .hint("from: printf %s \"$KEY\" | sha256sum")
        };
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refused());
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| refused())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| refused())?;
        }
        Ok(Self(digest))
    }
}

/// A token is long enough not to be guessed by hand, and of the characters of RFC 6750 section
/// 2.1 (`b64token`). The token itself never stands in the message.
pub(in crate::config) fn check_token(token: &str) -> Result<(), Problem> {
    if token.len() < SHORTEST_TOKEN {
        let message = format!("a token needs {SHORTEST_TOKEN} characters or more");
        return Err(Problem::new(message).hint("for example from: openssl rand -base64 32"));
    }
    let body = token.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if !body.is_empty() && body.bytes().all(allowed) {
        return Ok(());
    }
    Err(Problem::new("a token is made of letters, digits and -._~+/, with = only at its end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_follow_rfc_6750_and_never_appear_in_messages() {
        assert!(check_token("secret-token").is_ok());
        assert!(check_token("YWJjZGVmZw==").is_ok());
        for wrong in ["short", "has a space in it", "quo\"ted-token", "a=b-middle-equals"] {
            let problem = check_token(wrong).expect_err(wrong);
            assert!(!problem.message.contains(wrong), "{}", problem.message);
        }
    }

    #[test]
    fn a_key_in_place_of_its_digest_stays_out_of_the_message() {
        let problem = Hex::from_text("my-own-api-key").err().expect("is no digest");
        assert!(!format!("{problem:?}").contains("my-own"));
        let digest = Hex::from_text(&"0Fa1".repeat(16)).expect("is one");
        assert_eq!(digest.0[..2], [0x0f, 0xa1]);
    }
}
