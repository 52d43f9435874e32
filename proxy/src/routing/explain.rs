//! Why a route does or does not take a request, for `proxy explain`.

use super::{Request, Route, RouteTable, group, host::host_without_port};
use crate::config::HostPattern;

/// What keeps a route from taking a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All conditions hold; another route may rank before it.
    Matches,
    Host,
    Path,
    Method,
    Fields,
}

impl RouteTable {
    /// Each route with its verdict, in the order of the file.
    pub fn explain(&self, request: Request<'_>) -> impl Iterator<Item = (&Route, Verdict)> {
        self.routes.iter().map(move |route| (route, route.verdict(request)))
    }
}

impl Route {
    fn verdict(&self, request: Request<'_>) -> Verdict {
        let config = &self.config;
        let host = host_without_port(request.host);
        let hosts = |pattern: &HostPattern| match pattern {
            HostPattern::Exact(name) => *name == *host,
            HostPattern::Suffix(suffix) => {
                host.len() > suffix.len() && host.ends_with(suffix.as_str())
            }
        };
        let paths =
            || config.paths.iter().any(|pattern| group::matches(&pattern.key, request.path));
        match () {
            () if !(config.hosts.is_empty() || config.hosts.iter().any(hosts)) => Verdict::Host,
            () if !(config.paths.is_empty() || paths()) => Verdict::Path,
            () if !group::takes_method(config, request.method) => Verdict::Method,
            () if !group::has_fields(config, request.headers) => Verdict::Fields,
            () => Verdict::Matches,
        }
    }
}
