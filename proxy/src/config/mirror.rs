//! `mirror` of a route: a service that gets copies of its requests.

use super::{
    number::Percent, route_action::find_service, routes::Names, section::Section, size::HeldBody,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MirrorConfig {
    /// An index into the services.
    pub service: usize,
    /// How many of the requests are copied, 1 to 100.
    pub percent: u8,
    /// Longest request body that is copied, in bytes; up to 16 MiB.
    pub body_limit: usize,
}

const DEFAULT_BODY_LIMIT: usize = 64 << 10;

impl MirrorConfig {
    /// `None` if it is wrong and reported.
    pub(super) fn read(mut section: Section<'_>, names: &Names<'_>) -> Option<Self> {
        let name = section.require::<String>("service");
        let service = name.and_then(|name| find_service(&section, &name.value, &name.span, names));
        let percent = section.or::<Percent<1>>("percent", Percent(100)).0;
        let body_limit = section.or("body_limit", HeldBody(DEFAULT_BODY_LIMIT)).0;
        section.finish();
        Some(Self { service: service?, percent, body_limit })
    }
}
