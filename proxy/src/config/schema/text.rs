//! Values that are written as text, or as text and otherwise.

use schemars::JsonSchema;

/// A whole number and ms, s, m or h.
#[derive(JsonSchema)]
pub(super) struct DurationText(#[schemars(regex(pattern = r"^[0-9]+(ms|s|m|h)$"))] String);

/// A whole number and ms, s, m or h; or "off".
#[derive(JsonSchema)]
pub(super) struct DurationOrOff(#[schemars(regex(pattern = r"^([0-9]+(ms|s|m|h)|off)$"))] String);

/// A whole number and B, KiB, MiB or GiB.
#[derive(JsonSchema)]
pub(super) struct SizeText(#[schemars(regex(pattern = r"^[0-9]+(B|KiB|MiB|GiB)$"))] String);

/// A whole number and B, KiB, MiB or GiB; or "off".
#[derive(JsonSchema)]
pub(super) struct SizeOrOff(#[schemars(regex(pattern = r"^([0-9]+(B|KiB|MiB|GiB)|off)$"))] String);

/// Permissions in octal.
#[derive(JsonSchema)]
pub(super) struct ModeText(#[schemars(regex(pattern = r"^0?[0-7]{3}$"))] String);

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum CountOrOff {
    Count(#[schemars(range(min = 1, max = 1_000_000))] u64),
    Off(Off),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum RunOrOff {
    Run(#[schemars(range(min = 1, max = 65_535))] u16),
    Off(Off),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum PortOrOff {
    Port(#[schemars(range(min = 1, max = 65_535))] u16),
    Off(Off),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum Off {
    Off,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum OneOrMoreOrOff {
    One(String),
    More(Vec<String>),
    Off(Off),
}

/// A secret: in place, or in a file.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum SecretText {
    Text(String),
    File(SecretFile),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct SecretFile {
    file: String,
}
