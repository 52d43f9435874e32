//! Whether listeners still listen. The kernel can end one under its owner (`ss --kill`, a
//! `shutdown` by who shares the socket); who accepts sees errors then, as of a process without
//! files, and tries again for ever.

use std::{io, os::fd::OwnedFd, time::Duration};

use socket2::SockRef;

use crate::bind::Bound;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// The same sockets once more. They listen for as long as these are open.
pub(super) struct Doubles(Vec<OwnedFd>);

impl Doubles {
    /// # Errors
    /// There are no files for them.
    pub(super) fn of<'a>(bound: impl IntoIterator<Item = &'a Bound>) -> io::Result<Self> {
        let doubles = bound.into_iter().map(|one| one.listener.double());
        doubles.collect::<io::Result<_>>().map(Self)
    }

    /// Returns once one of them does not listen any more.
    pub(super) async fn one_has_ended(self) {
        let listens = |double: &OwnedFd| SockRef::from(double).is_listener().unwrap_or(false);
        while self.0.iter().all(listens) {
            actix_rt::time::sleep(PERIOD).await;
        }
    }
}
