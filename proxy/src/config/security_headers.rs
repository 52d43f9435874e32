//! `security_headers`, of a route or of all: fields that tell browsers to be careful. They become
//! rules for the answers of a route, where it has none of its own for the field.

use actix_http::header::{self, HeaderName, HeaderValue};

use super::{
    header_rules::{FieldValue, HeaderRules},
    section::{Section, ValueOrTable},
    value::{OrOff, unknown_word},
};

const KEY: &str = "security_headers";
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const EMBEDDER_POLICY: HeaderName = HeaderName::from_static("cross-origin-embedder-policy");

const FRAMES: [&str; 2] = ["DENY", "SAMEORIGIN"];
/// Referrer Policy, section 3.
const REFERRERS: [&str; 8] = [
    "no-referrer",
    "no-referrer-when-downgrade",
    "same-origin",
    "origin",
    "strict-origin",
    "origin-when-cross-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
];
/// HTML, section 7.1.3.
const OPENERS: [&str; 4] =
    ["same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none"];
/// Fetch, section 3.7.
const RESOURCES: [&str; 3] = ["same-origin", "same-site", "cross-origin"];
/// HTML, section 7.1.4.
const EMBEDDERS: [&str; 3] = ["require-corp", "credentialless", "unsafe-none"];

/// The fields, each with its value.
#[derive(Clone, Debug, Default)]
pub(super) struct SecurityHeaders(Vec<(HeaderName, HeaderValue)>);

impl SecurityHeaders {
    /// What the section says; `default` if it says nothing.
    pub(super) fn read(section: &mut Section<'_>, default: &Self) -> Self {
        match section.value_or_table::<bool>(KEY) {
            None => default.clone(),
            Some(ValueOrTable::Value(is_on)) if is_on.value => Self::usual(),
            Some(ValueOrTable::Value(_)) => Self::default(),
            Some(ValueOrTable::Table(table)) => Self::read_table(table),
        }
    }

    /// What nearly no site breaks by.
    fn usual() -> Self {
        Self(vec![
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::X_FRAME_OPTIONS, HeaderValue::from_static(FRAMES[1])),
            (header::REFERRER_POLICY, HeaderValue::from_static(REFERRERS[6])),
        ])
    }

    fn read_table(mut section: Section<'_>) -> Self {
        let mut this = Self::usual();
        if !section.or("content_type_options", true) {
            this.put(&header::X_CONTENT_TYPE_OPTIONS, None);
        }
        this.word(&mut section, "frame_options", &header::X_FRAME_OPTIONS, &FRAMES);
        this.word(&mut section, "referrer_policy", &header::REFERRER_POLICY, &REFERRERS);
        this.text(&mut section, "content_security_policy", &header::CONTENT_SECURITY_POLICY);
        this.text(&mut section, "permissions_policy", &PERMISSIONS_POLICY);
        this.word(&mut section, "cross_origin_opener_policy", &OPENER_POLICY, &OPENERS);
        this.word(&mut section, "cross_origin_resource_policy", &RESOURCE_POLICY, &RESOURCES);
        this.word(&mut section, "cross_origin_embedder_policy", &EMBEDDER_POLICY, &EMBEDDERS);
        section.finish();
        this
    }

    /// A field with one of a few values.
    fn word(
        &mut self,
        section: &mut Section<'_>,
        key: &'static str,
        name: &HeaderName,
        known: &[&'static str],
    ) {
        let Some(given) = section.get::<OrOff<String>>(key) else { return };
        let word = given.value.0.as_deref();
        let found = word.and_then(|word| known.iter().find(|one| **one == word));
        match (word, found) {
            (Some(wrong), None) => section.report(&given.span, unknown_word(wrong, known)),
            (_, found) => self.put(name, found.map(|word| HeaderValue::from_static(word))),
        }
    }

    /// A field with any value.
    fn text(&mut self, section: &mut Section<'_>, key: &'static str, name: &HeaderName) {
        if let Some(given) = section.get::<OrOff<FieldValue>>(key) {
            self.put(name, given.value.0.map(|value| value.0));
        }
    }

    fn put(&mut self, name: &HeaderName, value: Option<HeaderValue>) {
        self.0.retain(|(known, _)| known != name);
        self.0.extend(value.map(|value| (name.clone(), value)));
    }

    /// Rules that say nothing else.
    pub(super) fn rules(&self) -> HeaderRules {
        HeaderRules { set: self.0.clone(), ..HeaderRules::default() }
    }

    /// Makes rules of them.
    pub(super) fn expand(&self, rules: &mut HeaderRules) {
        for (name, value) in &self.0 {
            if !rules.has(name) {
                rules.set.push((name.clone(), value.clone()));
            }
        }
    }
}
