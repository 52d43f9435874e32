//! `CDN-Loop` (RFC 8586): each process writes its own name into what it forwards, and knows by it what
//! has come back. `Via` would say as much, but some origins stop compressing when they see it.
//!
//! The name is made at the start, so that another process of the same configuration has another one,
//! and a chain of such is no loop.

use bytes::Bytes;

use crate::config::NameCase;

/// So many returns are a loop; fewer are a route through a listener of one's own.
pub const MOST_RETURNS: usize = 4;

#[derive(Clone)]
pub struct CdnLoop {
    name: String,
    /// As it goes on the wire, in either case.
    titled: Bytes,
    lower: Bytes,
}

impl CdnLoop {
    /// `id` tells processes apart.
    pub fn new(id: u64) -> Self {
        let name = format!("proxy-{id:016x}");
        let titled = format!("Cdn-Loop: {name}\r\n").into();
        let lower = format!("cdn-loop: {name}\r\n").into();
        Self { name, titled, lower }
    }

    pub fn line(&self, case: NameCase) -> &[u8] {
        match case {
            NameCase::Title => &self.titled,
            NameCase::Lower => &self.lower,
        }
    }

    /// How often the value of a `CDN-Loop` field says that a request was here.
    pub fn returns(&self, value: &[u8]) -> usize {
        let names = value
            .split(|byte| *byte == b',')
            .map(|entry| entry.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii());
        names.filter(|name| name.eq_ignore_ascii_case(self.name.as_bytes())).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_returns_to_this_process_count() {
        let own = CdnLoop::new(7);
        assert_eq!(own.line(NameCase::Title), b"Cdn-Loop: proxy-0000000000000007\r\n");
        assert_eq!(own.line(NameCase::Lower), b"cdn-loop: proxy-0000000000000007\r\n");
        for (value, returns) in [
            ("", 0),
            ("cdn.test", 0),
            ("proxy-0000000000000008", 0),
            ("xproxy-0000000000000007", 0),
            ("proxy-0000000000000007", 1),
            ("a, PROXY-0000000000000007; v=1 ,proxy-0000000000000007,b", 2),
        ] {
            assert_eq!(own.returns(value.as_bytes()), returns, "{value}");
        }
    }
}
