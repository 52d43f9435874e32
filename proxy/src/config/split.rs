//! `split` of a route: several services that share its requests by weight.

use std::collections::HashSet;

use super::{
    error::{Located, Problem},
    number::Whole,
    route_action::find_service,
    routes::Names,
    section::Section,
};

const KEY: &str = "split";
/// A request looks at each part.
const MOST_PARTS: usize = 16;

/// One part as far as it is right.
struct Part {
    name: Located<String>,
    service: Option<usize>,
    weight: Option<u32>,
}

/// Services with their weights, 0 to 1000, not all of them 0. `None` if the key is absent, or wrong
/// and reported.
pub(super) fn read(section: &mut Section<'_>, names: &Names<'_>) -> Option<Vec<(usize, u32)>> {
    let parts = section.sections(KEY)?;
    let span = section.key_span(KEY);
    if section.array_length(KEY).is_some_and(|count| !(2..=MOST_PARTS).contains(&count)) {
        let message = format!("\"{KEY}\" must have 2 to {MOST_PARTS} parts");
        section.report(&span, Problem::new(message));
    }
    let parts: Vec<Option<Part>> = parts.into_iter().map(|part| read_part(part, names)).collect();
    let named: Vec<&Part> = parts.iter().flatten().collect();
    let mut seen = HashSet::new();
    for Part { name, .. } in &named {
        if !seen.insert(&name.value) {
            let message = format!("service \"{}\" stands in \"{KEY}\" twice", name.value);
            section.report(&name.span, Problem::new(message));
        }
    }
    if !named.is_empty() && named.iter().all(|part| part.weight == Some(0)) {
        section.report(&span, Problem::new("the weights are all 0: nobody would get a request"));
    }
    let whole = |part: Option<Part>| part.and_then(|part| Some((part.service?, part.weight?)));
    parts.into_iter().map(whole).collect()
}

/// `None` if it names no service, which is reported.
fn read_part(mut section: Section<'_>, names: &Names<'_>) -> Option<Part> {
    let name = section.require::<String>("service");
    let weight = section.get::<Whole<0, 1000>>("weight").map(|weight| weight.value.0);
    let weight = weight.or_else(|| (!section.has("weight")).then_some(1));
    let service =
        name.as_ref().and_then(|name| find_service(&section, &name.value, &name.span, names));
    section.finish();
    Some(Part { name: name?, service, weight })
}
