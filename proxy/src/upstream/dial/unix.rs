//! Connections to Unix sockets.

use std::{io, path::Path, rc::Rc, time::Duration};

use actix_tls::connect::ConnectError;
use tokio::{net::UnixStream, time::sleep};

use super::failure::unreachable;

/// How often a full queue is tried again.
const FULL_QUEUE_RETRY: Duration = Duration::from_millis(10);

/// Connects. A listener whose queue is full is tried until there is room, as the system does for
/// TCP: for a socket that must not block it answers EAGAIN at once.
pub(super) async fn open(path: Rc<Path>) -> Result<UnixStream, ConnectError> {
    loop {
        match UnixStream::connect(&path).await {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sleep(FULL_QUEUE_RETRY).await;
            }
            Err(error) => return Err(unreachable(&path.display(), error)),
        }
    }
}
