//! The thread that looks at the files.

use std::{
    convert::Infallible,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use super::Tls;
use crate::vitals::Vitals;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Files are looked at until it is dropped.
#[must_use]
pub struct Watching {
    /// Nothing is ever sent: that it is gone ends the thread.
    _until: Option<mpsc::Sender<Infallible>>,
}

/// # Errors
/// The thread cannot be started.
pub(super) fn start(tls: Arc<Tls>, vitals: &Vitals) -> io::Result<Watching> {
    if tls.listeners.iter().all(Option::is_none) {
        return Ok(Watching { _until: None });
    }
    let (until, ended) = mpsc::channel::<Infallible>();
    let vital = vitals.vital("files of TLS");
    let looks = move || {
        let _vital = vital;
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(PERIOD) {
            // A panic amid a look must not be the last one.
            if catch_unwind(AssertUnwindSafe(|| tls.look())).is_err() {
                tls.reloads.failed.add(1);
                tracing::error!(
                    "a look at the files of TLS has panicked, what was loaded before stays"
                );
            }
        }
    };
    thread::Builder::new().name("tls-files".to_owned()).spawn(looks)?;
    Ok(Watching { _until: Some(until) })
}
