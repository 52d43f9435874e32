//! The limit of open files: two sockets per request in flight are soon more than the usual 1024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sockets of a request: the client's and the endpoint's.
const FILES_PER_CONNECTION: usize = 2;

/// Raises the soft limit to the hard one and returns it; `None` is no limit. If that fails the
/// limit stays as it is.
pub(super) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays as it is");
            limit.current
        }
    }
}

/// Says so if `limit` is too low for so many clients.
pub(super) fn warn_if_too_few(limit: Option<u64>, max_connections: usize) {
    let needed = max_connections.saturating_mul(FILES_PER_CONNECTION) as u64;
    if let Some(open_files) = limit.filter(|limit| *limit < needed) {
        tracing::warn!(
            open_files,
            needed,
            max_connections,
            "the limit of open files is lower than max_connections may need"
        );
    }
}
