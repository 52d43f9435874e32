//! `encoded_slash`, `dot_segments`, `unsafe_bytes` and `ambiguous_paths`: what to do with paths that servers read differently.

use super::{
    error::Problem,
    section::Section,
    value::{FromText, unknown_word},
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathPolicy {
    pub encoded_slash: EncodedSlash,
    pub dot_segments: DotSegments,
    pub unsafe_bytes: UnsafeBytes,
    pub ambiguous: AmbiguousPaths,
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

/// What happens to a path with a backslash or an encoded control character: to some servers they
/// separate, or are none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnsafeBytes {
    /// It goes on as it came.
    #[default]
    Keep,
    /// 400.
    Reject,
}

/// What happens to a path that a server may read as one that another route guards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AmbiguousPaths {
    /// 400.
    #[default]
    Reject,
    /// It goes on as it came.
    Keep,
}

impl PathPolicy {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            encoded_slash: section.or("encoded_slash", EncodedSlash::default()),
            dot_segments: section.or("dot_segments", DotSegments::default()),
            unsafe_bytes: section.or("unsafe_bytes", UnsafeBytes::default()),
            ambiguous: section.or("ambiguous_paths", AmbiguousPaths::default()),
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

impl FromText for UnsafeBytes {
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

impl FromText for AmbiguousPaths {
    const EXPECTED: &'static str = "\"reject\" or \"keep\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "reject" => Ok(Self::Reject),
            "keep" => Ok(Self::Keep),
            other => Err(unknown_word(other, &["reject", "keep"])),
        }
    }
}
