//! `endpoints` of a service: a list of URLs, or of tables that say more than the URL.

use std::collections::HashSet;

use super::{
    endpoint::EndpointUrl,
    error::{Located, Position, Problem, Source},
    number::Whole,
    section::{Section, ValueOrTable},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    pub url: EndpointUrl,
    /// Its share of the requests beside those of the others, 1 to 1000.
    pub weight: u32,
    /// Whether it gets requests only while no other endpoint can.
    pub backup: bool,
    /// Where its URL stands.
    pub at: Position,
}

const KEY: &str = "endpoints";
const DEFAULT_WEIGHT: u32 = 1;

impl EndpointConfig {
    /// Those of the service in `section`. Empty only if that was reported.
    pub(super) fn read_all(section: &mut Section<'_>) -> Vec<Self> {
        section.must_have(KEY);
        let items = section.values_or_tables(KEY).unwrap_or_default();
        let (count, source) = (items.len(), &section.reader.source);
        let read: Vec<Located<Self>> =
            items.into_iter().filter_map(|item| Self::read(item?, source)).collect();
        report_repeated(section, &read);
        let span = section.key_span(KEY);
        if section.is_empty_array(KEY) {
            section.report(&span, Problem::new("\"endpoints\" names no endpoint"));
        } else if read.len() == count && count > 0 && read.iter().all(|one| one.value.backup) {
            let problem =
                Problem::new("every endpoint is a backup").hint("one at least must not be");
            section.report(&span, problem);
        }
        read.into_iter().map(|endpoint| endpoint.value).collect()
    }

    /// The endpoint, and where its URL stands.
    fn read(item: ValueOrTable<'_, EndpointUrl>, source: &Source<'_>) -> Option<Located<Self>> {
        let (url, weight, backup) = match item {
            ValueOrTable::Value(url) => (url, DEFAULT_WEIGHT, false),
            ValueOrTable::Table(mut section) => {
                let url = section.require("url");
                let weight = section.or::<Whole<1, 1000>>("weight", Whole(DEFAULT_WEIGHT)).0;
                let backup = section.or("backup", false);
                section.finish();
                (url?, weight, backup)
            }
        };
        let at = source.position(url.span.start);
        Some(url.map(|url| Self { url, weight, backup, at }))
    }
}

fn report_repeated(section: &Section<'_>, endpoints: &[Located<EndpointConfig>]) {
    let mut seen = HashSet::new();
    for endpoint in endpoints {
        let url = &endpoint.value.url.url;
        if !seen.insert(url) {
            let message = format!("endpoint \"{url}\" is listed twice");
            section.report(&endpoint.span, Problem::new(message));
        }
    }
}
