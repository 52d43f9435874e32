//! What browsers are told of the cookie of a sticky service (RFC 6265 section 4.1.2).

use std::time::Duration;

use super::{
    duration::Within,
    error::Problem,
    section::Section,
    value::{FromText, unknown_word},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieAttributes {
    pub same_site: SameSite,
    /// In whole seconds; `None`: until the browser ends.
    pub max_age: Option<Duration>,
    /// `None`: for the host that was asked alone.
    pub domain: Option<String>,
    pub path: String,
}

/// Which requests from pages of other sites have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    Lax,
    Strict,
    None,
}

/// Browsers keep none longer than 400 days (RFC 6265bis).
type Age = Within<1000, { 400 * 24 * 3_600_000 }>;

impl Default for CookieAttributes {
    fn default() -> Self {
        Self { same_site: SameSite::Lax, max_age: None, domain: None, path: "/".to_owned() }
    }
}

impl CookieAttributes {
    pub(super) const KEYS: [&'static str; 4] = ["same_site", "max_age", "domain", "path"];

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            same_site: section.or("same_site", SameSite::Lax),
            max_age: section.get::<Age>("max_age").map(|age| age.value.0),
            domain: section.get::<Domain>("domain").map(|domain| domain.value.0),
            path: section.get::<Path>("path").map_or_else(|| "/".to_owned(), |path| path.value.0),
        }
    }
}

impl SameSite {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
            Self::None => "None",
        }
    }
}

impl FromText for SameSite {
    const EXPECTED: &'static str = "\"lax\", \"strict\" or \"none\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "lax" => Ok(Self::Lax),
            "strict" => Ok(Self::Strict),
            "none" => Ok(Self::None),
            other => Err(unknown_word(other, &["lax", "strict", "none"])),
        }
    }
}

struct Domain(String);

impl FromText for Domain {
    const EXPECTED: &'static str = "a domain such as \"example.com\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let is_part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if text.split('.').all(is_part) {
            return Ok(Self(text.to_owned()));
        }
        Err(Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)))
    }
}

struct Path(String);

impl FromText for Path {
    const EXPECTED: &'static str = "a path such as \"/app\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
        if text.starts_with('/') && is_visible {
            return Ok(Self(text.to_owned()));
        }
        Err(Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)))
    }
}
