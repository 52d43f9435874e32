//! What browsers are told: `cors` and `security_headers`.

use schemars::JsonSchema;

use super::text::{DurationText, Off};

/// Pages of which other origins may read the answers (Fetch standard).
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Cors {
    /// "https://app.example.com", "https://*.example.com", "null"; or "*" alone.
    #[schemars(length(min = 1))]
    origins: Vec<String>,
    /// The route's by default, else GET, HEAD and POST.
    #[schemars(default)]
    methods: Option<Vec<String>>,
    /// Fields that pages may send, beside those that need no allowance.
    #[schemars(default)]
    headers: Option<Vec<String>>,
    /// Fields that pages may read, beside those that need no allowance.
    #[schemars(default)]
    expose: Option<Vec<String>>,
    /// Whether pages may send cookies and the like; false by default.
    #[schemars(default)]
    credentials: Option<bool>,
    /// How long browsers keep the answer to a preflight, up to 24h; 10m by default.
    #[schemars(default)]
    max_age: Option<DurationText>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum SecurityHeadersOrSwitch {
    Switch(bool),
    Table(SecurityHeaders),
}

/// Fields that tell browsers to be careful.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct SecurityHeaders {
    /// X-Content-Type-Options: nosniff; true by default.
    #[schemars(default)]
    content_type_options: Option<bool>,
    /// SAMEORIGIN by default.
    #[schemars(default)]
    frame_options: Option<FramesOrOff>,
    /// strict-origin-when-cross-origin by default.
    #[schemars(default)]
    referrer_policy: Option<ReferrersOrOff>,
    /// A policy, or "off", the default.
    #[schemars(default)]
    content_security_policy: Option<String>,
    /// A policy, or "off", the default.
    #[schemars(default)]
    permissions_policy: Option<String>,
    /// "off" by default.
    #[schemars(default)]
    cross_origin_opener_policy: Option<OpenersOrOff>,
    /// "off" by default.
    #[schemars(default)]
    cross_origin_resource_policy: Option<ResourcesOrOff>,
    /// "off" by default.
    #[schemars(default)]
    cross_origin_embedder_policy: Option<EmbeddersOrOff>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum FramesOrOff {
    Word(Frames),
    Off(Off),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "UPPERCASE")]
pub(super) enum Frames {
    Deny,
    SameOrigin,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum ReferrersOrOff {
    Word(Referrers),
    Off(Off),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub(super) enum Referrers {
    NoReferrer,
    NoReferrerWhenDowngrade,
    SameOrigin,
    Origin,
    StrictOrigin,
    OriginWhenCrossOrigin,
    StrictOriginWhenCrossOrigin,
    UnsafeUrl,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum OpenersOrOff {
    Word(Openers),
    Off(Off),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub(super) enum Openers {
    SameOrigin,
    SameOriginAllowPopups,
    NoopenerAllowPopups,
    UnsafeNone,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum ResourcesOrOff {
    Word(Resources),
    Off(Off),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub(super) enum Resources {
    SameOrigin,
    SameSite,
    CrossOrigin,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum EmbeddersOrOff {
    Word(Embedders),
    Off(Off),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub(super) enum Embedders {
    RequireCorp,
    Credentialless,
    UnsafeNone,
}
