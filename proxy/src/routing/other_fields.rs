//! Fields that a server may read as one that a guard asks for, though `has_fields` does not: one of
//! several of its name, one in quotes or said several times in a list, one whose name has `_` for `-`
//! (RFC 3875 section 4.1.18 makes no difference). What a list says beside it makes it another field.

use std::collections::{HashMap, HashSet};

use actix_http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::config::RouteConfig;

/// Other readings of one request's fields that are looked at; a request with more has been made for
/// that.
const MOST_READINGS: usize = 16;

/// What guards ask for, by the name of the field.
#[derive(Default)]
pub(super) struct OtherFields(HashMap<HeaderName, HashSet<HeaderValue>>);

impl OtherFields {
    pub(super) fn new<'a>(guards: impl Iterator<Item = &'a RouteConfig>) -> Self {
        let mut asked = Self::default();
        for (name, value) in guards.flat_map(|route| &route.headers) {
            asked.0.entry(name.clone()).or_default().insert(value.clone());
        }
        asked
    }

    /// Each other reading of `headers`; `None` if there are too many. Nothing is looked up where no guard
    /// asks for a field.
    pub(super) fn readings(&self, headers: &HeaderMap) -> Option<Vec<HeaderMap>> {
        if self.0.is_empty() {
            return Some(Vec::new());
        }
        let mut read = Vec::new();
        for (name, value) in headers.iter().filter_map(|(name, value)| self.asked(name, value)) {
            let mut given = headers.get_all(name);
            if given.next() == Some(value) && given.next().is_none() {
                continue;
            }
            if read.len() == MOST_READINGS {
                return None;
            }
            read.push((name, value));
        }
        let with = |fields: &[(&HeaderName, &HeaderValue)]| {
            let mut other = headers.clone();
            for (name, value) in fields {
                other.insert((*name).clone(), (*value).clone());
            }
            other
        };
        // One of them, or all.
        let mut readings: Vec<HeaderMap> = read.iter().map(|one| with(&[*one])).collect();
        if read.len() > 1 {
            readings.push(with(&read));
        }
        Some(readings)
    }

    /// The field of a guard that a given one may be read as.
    fn asked(&self, name: &HeaderName, value: &HeaderValue) -> Option<(&HeaderName, &HeaderValue)> {
        let (name, values) = if name.as_str().contains('_') {
            let dashed = name.as_str().replace('_', "-");
            self.0.get_key_value(&HeaderName::from_bytes(dashed.as_bytes()).ok()?)?
        } else {
            self.0.get_key_value(name)?
        };
        let said = HeaderValue::from_bytes(said(value.as_bytes())).ok()?;
        Some((name, values.get(&said)?))
    }
}

/// What a value says, if it says one thing however often.
fn said(value: &[u8]) -> &[u8] {
    let mut items = value.split(|byte| *byte == b',').map(bare);
    let first = items.next().unwrap_or_default();
    if items.all(|item| item == first) { first } else { value }
}

/// An item of a list without its quotes.
fn bare(item: &[u8]) -> &[u8] {
    let item = item.trim_ascii();
    let quoted = item.strip_prefix(b"\"").and_then(|item| item.strip_suffix(b"\""));
    quoted.unwrap_or(item)
}
