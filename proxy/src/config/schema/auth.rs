//! `[auth_schemes.…]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::text::{DurationOrOff, DurationText, Off, OneOrMore, OneOrMoreOrOff, SecretText};
use super::tls::UpstreamTls;

/// The keys of each type of scheme, beside `type`.
pub(super) const KEYS_BY_TYPE: [(&str, &[&str]); 8] = [
    ("bearer", &["tokens", "token_sha256", "failures"]),
    ("api_key", &["header", "query", "key_sha256", "failures"]),
    ("basic", &["realm", "users", "failures"]),
    (
        "jwt",
        &[
            "algorithms",
            "jwks_url",
            "tls",
            "public_key",
            "secret",
            "issuer",
            "audience",
            "leeway",
            "required",
            "claims_to_headers",
            "failures",
        ],
    ),
    (
        "introspection",
        &[
            "url",
            "tls",
            "client_id",
            "client_secret",
            "cache",
            "timeout",
            "required",
            "claims_to_headers",
            "failures",
        ],
    ),
    ("forward", &["url", "tls", "copy_headers", "copy_to_client", "timeout", "failures"]),
    ("mtls", &["subjects", "failures"]),
    ("any", &["schemes", "failures"]),
];

/// A way for clients to prove who they are.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct AuthScheme {
    #[schemars(rename = "type")]
    kind: AuthType,
    /// bearer: tokens that are let in, each 8 characters or more.
    #[schemars(default)]
    tokens: Option<Vec<SecretText>>,
    /// bearer: the same as SHA-256, in an array or by name.
    #[schemars(default)]
    token_sha256: Option<Digests>,
    /// api_key: the field that has the key.
    #[schemars(default)]
    header: Option<String>,
    /// api_key: the parameter of the query that has the key.
    #[schemars(default)]
    query: Option<String>,
    /// api_key: keys that are let in, as SHA-256, in an array or by name.
    #[schemars(default)]
    key_sha256: Option<Digests>,
    /// basic: a file of name:hash lines, hashes of argon2 or bcrypt.
    #[schemars(default)]
    users: Option<String>,
    /// basic: what browsers show; "proxy" by default.
    #[schemars(default)]
    realm: Option<String>,
    /// jwt: where the key set is.
    #[schemars(default)]
    jwks_url: Option<String>,
    /// jwt: public keys in PEM.
    #[schemars(default)]
    public_key: Option<SecretText>,
    /// jwt: the secret shared with the issuer, 32 bytes or more.
    #[schemars(default)]
    secret: Option<SecretText>,
    /// jwt: signature algorithms that are believed.
    #[schemars(default)]
    algorithms: Option<OneOrMore>,
    /// jwt: who may have issued a token.
    #[schemars(default)]
    issuer: Option<OneOrMore>,
    /// jwt: for whom a token must be, or "off".
    #[schemars(default)]
    audience: Option<OneOrMoreOrOff>,
    /// jwt: how far clocks may be apart; 60s by default.
    #[schemars(default)]
    leeway: Option<DurationText>,
    /// introspection, forward: whom to ask.
    #[schemars(default)]
    url: Option<String>,
    #[schemars(default)]
    client_id: Option<String>,
    #[schemars(default)]
    client_secret: Option<SecretText>,
    /// introspection: how long an answer is believed, or "off"; 30s by default.
    #[schemars(default)]
    cache: Option<DurationOrOff>,
    /// introspection, forward: of one question; 5s by default.
    #[schemars(default)]
    timeout: Option<DurationText>,
    /// jwt, introspection, forward: how https is spoken to them.
    #[schemars(default)]
    tls: Option<UpstreamTls>,
    /// jwt, introspection: claims that must have one of these values.
    #[schemars(default)]
    required: Option<BTreeMap<String, ClaimValues>>,
    /// jwt, introspection: fields of the request to the upstream, by claim.
    #[schemars(default)]
    claims_to_headers: Option<BTreeMap<String, String>>,
    /// forward: fields of its answer that the upstream gets.
    #[schemars(default)]
    copy_headers: Option<Vec<String>>,
    /// forward: fields of its answer that the client gets, such as "set-cookie".
    #[schemars(default)]
    copy_to_client: Option<Vec<String>>,
    /// mtls: names of certificates that are let in, subjects or alternative names; all by default.
    #[schemars(default)]
    subjects: Option<Vec<String>>,
    /// any: schemes in the order in which they are tried.
    #[schemars(default)]
    schemes: Option<Vec<String>>,
    /// Wrong guesses that a client address has, or "off"; on by default for basic alone.
    #[schemars(default)]
    failures: Option<FailuresOrOff>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(super) enum AuthType {
    Bearer,
    ApiKey,
    Basic,
    Jwt,
    Introspection,
    Forward,
    Mtls,
    Any,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Digests {
    List(Vec<String>),
    Named(BTreeMap<String, String>),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum FailuresOrOff {
    Failures(Failures),
    Off(Off),
}

/// So many at once, then one each `per` / `requests`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Failures {
    /// 20 by default.
    #[schemars(default, range(min = 1, max = 1_000_000))]
    requests: Option<u64>,
    /// 1m by default.
    #[schemars(default)]
    per: Option<DurationText>,
}

/// What a route requires of a client that is known; else 403.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Require {
    /// All of them.
    #[schemars(default)]
    scopes: Option<Vec<String>>,
    /// Each must have one of these values.
    #[schemars(default)]
    claims: Option<BTreeMap<String, ClaimValues>>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum ClaimValues {
    Text(String),
    Number(u64),
    Truth(bool),
    OneOf(Vec<ClaimValue>),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum ClaimValue {
    Text(String),
    Number(u64),
    Truth(bool),
}
