//! `type = "api_key"`.

use actix_http::header::HeaderName;

use super::keys::KnownKeys;
use crate::config::{error::Problem, header_rules::FieldName, section::Section, value::FromText};

#[derive(Clone, Debug)]
pub struct ApiKeyConfig {
    pub place: KeyPlace,
    pub keys: KnownKeys,
}

/// Where a request has its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    Header(HeaderName),
    /// The name of a parameter of the query, as it is sent: of unreserved characters.
    Query(String),
}

impl ApiKeyConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let header = section.get::<FieldName>("header");
        let query = section.get::<Parameter>("query");
        if section.has("header") == section.has("query") {
            let message = format!("{} needs \"header\" or \"query\", one of them", section.title());
            section.report(&section.span, Problem::new(message));
        }
        let keys = KnownKeys::read_keys(section);
        let place = header
            .map(|name| KeyPlace::Header(name.value.0))
            .or_else(|| query.map(|name| KeyPlace::Query(name.value.0)));
        Some(Self { place: place?, keys: keys? })
    }
}

struct Parameter(String);

impl FromText for Parameter {
    const EXPECTED: &'static str = "the name of a parameter such as \"api_key\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if text.is_empty() || !text.bytes().all(is_unreserved) {
            return Err(Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)));
        }
        Ok(Self(text.to_owned()))
    }
}
