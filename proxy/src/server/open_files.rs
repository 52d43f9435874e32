//! The limit of open files: two sockets per request in flight are soon more than the usual 1024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sockets of a request: the client's and the endpoint's.
const FILES_PER_CONNECTION: usize = 2;

/// Clients at once if the file does not say, where the system has room for them.
const MOST_BY_DEFAULT: usize = 20_000;
/// For listeners, logs, certificates, checks of endpoints.
const OWN_FILES: usize = 64;
/// Of a worker's runtime and its listeners.
const FILES_PER_WORKER: usize = 8;

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

/// How many clients there may be if the file does not say: as many as `limit` has room for, less the
/// files of the proxy itself, which are never more than half of it.
pub(super) fn room_for_clients(limit: Option<u64>, workers: usize) -> usize {
    let Some(limit) = limit else { return MOST_BY_DEFAULT };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let own = (OWN_FILES + workers * FILES_PER_WORKER).min(limit / 2);
    ((limit - own) / FILES_PER_CONNECTION).clamp(1, MOST_BY_DEFAULT)
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
