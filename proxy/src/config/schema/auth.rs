//! `[auth_schemes.…]`.

use schemars::JsonSchema;

/// A way for clients to prove who they are.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct AuthScheme {
    #[schemars(rename = "type")]
    kind: AuthType,
    /// Tokens that are let in, each 8 characters or more.
    #[schemars(length(min = 1))]
    tokens: Vec<String>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum AuthType {
    Bearer,
}
