//! How many connections clients may hold: keys of `[server]`.

use super::{number::Count, section::Section, value::OrOff};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Of all clients together; `None`: what the system's limit of open files has room for.
    pub all: Option<usize>,
    /// Of one client address; an IPv6 client is its /64.
    pub per_client: Option<usize>,
}

impl ConnectionLimits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let all = section.get::<Count>("max_connections");
        let per_client = section.get::<OrOff<Count>>("max_connections_per_client");
        Self {
            all: all.map(|count| count.value.0 as usize),
            per_client: per_client
                .map_or(default.per_client, |given| given.value.0.map(|count| count.0 as usize)),
        }
    }
}
