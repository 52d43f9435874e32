//! How many connections clients may hold: keys of `[server]`.

use toml::{Spanned, de::DeValue};

use super::{
    error::Problem,
    section::{Reader, Section},
    value::{Value, expected},
};

/// As many as the ports that one client address has towards one address of ours, many times over;
/// more file descriptors than that no system gives.
const MOST_CONNECTIONS: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Of all clients together.
    pub all: usize,
    /// Of one client address; an IPv6 client is its /64.
    pub per_client: Option<usize>,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { all: 20_000, per_client: None }
    }
}

impl ConnectionLimits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let all = section.get::<Count>("max_connections");
        let per_client = section.get::<CountOrOff>("max_connections_per_client");
        Self {
            all: all.map_or(default.all, |count| count.value.0),
            per_client: per_client.map_or(default.per_client, |count| count.value.0),
        }
    }
}

struct Count(usize);

impl Value for Count {
    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        let number = u64::read(reader, value)?;
        let count =
            usize::try_from(number).ok().filter(|_| (1..=MOST_CONNECTIONS).contains(&number));
        let problem = || Problem::new(format!("expected 1 to {MOST_CONNECTIONS}, found {number}"));
        count.map(Self).ok_or_else(problem)
    }
}

struct CountOrOff(Option<usize>);

impl Value for CountOrOff {
    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        match value.get_ref() {
            DeValue::String(text) if text == "off" => Ok(Self(None)),
            DeValue::Integer(_) => Count::read(reader, value).map(|count| Self(Some(count.0))),
            _ => Err(expected("a number of connections, or \"off\"", value)),
        }
    }
}
