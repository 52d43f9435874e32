//! `server.headers`: how names of fields are written to endpoints.

use super::{
    error::Problem,
    section::Section,
    value::{FromText, unknown_word},
};

/// How names are written that no client of HTTP/1.1 has spelled: those of the proxy's own fields, and
/// those of clients of HTTP/2, which has no upper case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameCase {
    /// `X-Request-Id`.
    #[default]
    Title,
    /// `x-request-id`.
    Lower,
}

impl NameCase {
    pub(super) fn read(section: Option<Section<'_>>) -> Self {
        let Some(mut section) = section else { return Self::default() };
        let case = section.or("case", Self::default());
        section.finish();
        case
    }
}

impl FromText for NameCase {
    const EXPECTED: &'static str = "\"title\" or \"lower\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "title" => Ok(Self::Title),
            "lower" => Ok(Self::Lower),
            other => Err(unknown_word(other, &["title", "lower"])),
        }
    }
}
