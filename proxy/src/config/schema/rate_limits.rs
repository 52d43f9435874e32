//! `[rate_limits.…]` and `[redis]`.

use schemars::JsonSchema;

use super::text::{CountOrOff, DurationText, OneOrMore, SecretText};

/// `burst` at once, then one each `per` / `requests`; or `in_flight`; or both.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RateLimit {
    #[schemars(default, range(min = 1, max = 1_000_000))]
    requests: Option<u32>,
    /// 1s to 24h; 1m by default.
    #[schemars(default)]
    per: Option<DurationText>,
    /// Most at once; 20 by default.
    #[schemars(default, range(min = 1, max = 100_000))]
    burst: Option<u32>,
    /// What requests have in common that are counted together: "client_ip", the default, "route",
    /// "header:NAME", "claim:NAME".
    #[schemars(default)]
    key: Option<OneOrMore>,
    #[schemars(default)]
    store: Option<Store>,
    /// local: keys that are told apart; 65536 by default.
    #[schemars(default, range(min = 1024, max = 4_194_304))]
    max_keys: Option<u32>,
    /// Most requests of one key at once, or "off", the default.
    #[schemars(default)]
    in_flight: Option<CountOrOff>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum Store {
    /// In the process; the default.
    Local,
    /// Shared by all who use one Redis.
    Redis,
}

/// Where rate limits with the store "redis" are counted.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Redis {
    /// redis://, rediss:// or unix:/.
    url: SecretText,
    /// What becomes of requests that Redis does not decide on: "local" by default.
    #[schemars(default)]
    on_failure: Option<OnFailure>,
    /// Of one decision, up to 10s; 50ms by default.
    #[schemars(default)]
    timeout: Option<DurationText>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum OnFailure {
    /// Each process counts for itself.
    Local,
    /// While Redis is down they pass, uncounted.
    Allow,
    /// 503.
    Deny,
}
