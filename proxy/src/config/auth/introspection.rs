//! `type = "introspection"` (RFC 7662).

use std::time::Duration;

use super::claims::{ClaimFields, Required};
use crate::config::{
    call_url::CallConfig,
    duration::{Timeout, Within},
    secret::Secret,
    section::Section,
    value::OrOff,
};

/// For longer than this no answer is believed.
const MOST_CACHED_MS: u64 = 3_600_000;
/// Of one question.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct IntrospectionConfig {
    pub call: CallConfig,
    pub client_id: String,
    pub client_secret: Secret,
    /// How long an answer is believed; zero: it is asked for each request.
    pub cache: Duration,
    pub timeout: Duration,
    pub required: Required,
    pub fields: ClaimFields,
}

impl IntrospectionConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        section.must_have("url");
        let call = CallConfig::read(section, "url");
        let client_id = section.require::<String>("client_id");
        let client_secret = section.require::<Secret>("client_secret");
        let cache = OrOff(Some(Within::<1000, MOST_CACHED_MS>(Duration::from_secs(30))));
        let cache = section.or("cache", cache).0.map_or(Duration::ZERO, |cache| cache.0);
        let timeout = section.or("timeout", Timeout(TIMEOUT)).0;
        let required = Required::read_scheme(section);
        let fields = ClaimFields::read(section);
        Some(Self {
            call: call?,
            client_id: client_id?.value,
            client_secret: client_secret?.value,
            cache,
            timeout,
            required,
            fields,
        })
    }
}
