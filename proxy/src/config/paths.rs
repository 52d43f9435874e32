//! `encoded_slash` and `dot_segments`: what to do with paths that servers read differently.

use super::{
    error::Problem,
    section::Section,
    value::{FromText, unknown_word},
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathPolicy {
    pub encoded_slash: EncodedSlash,
    pub dot_segments: DotSegments,
}

/// What a `%2F` in a path means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodedSlash {
    /// Data: it goes on as it came.
    #[default]
    Keep,
    /// 400.
    Reject,
}

/// What happens to `.` and `..`, percent-encoded or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DotSegments {
    /// They are resolved before routing.
    #[default]
    Resolve,
    /// 400.
    Reject,
}

impl PathPolicy {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            encoded_slash: section.or("encoded_slash", EncodedSlash::default()),
            dot_segments: section.or("dot_segments", DotSegments::default()),
        }
    }
}

impl FromText for EncodedSlash {
    const EXPECTED: &'static str = "\"keep\" or \"reject\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "keep" => Ok(Self::Keep),
            "reject" => Ok(Self::Reject),
            other => Err(unknown_word(other, &["keep", "reject"])),
        }
    }
}

impl FromText for DotSegments {
    const EXPECTED: &'static str = "\"resolve\" or \"reject\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "resolve" => Ok(Self::Resolve),
            "reject" => Ok(Self::Reject),
            other => Err(unknown_word(other, &["resolve", "reject"])),
        }
    }
}
