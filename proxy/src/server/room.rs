//! Whether the system gives the threads and files that a proxy needs, asked before anything is
//! served: a proxy that found out amid its start would be half started, and one that found out
//! later would listen and serve nobody.

use std::{
    fs::File,
    io,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use tokio::runtime::{Builder, Runtime};

use super::StartError;

/// Threads beside the workers: the admin listener's worker, two that accept, the access log, the
/// resolver, the files of TLS, the orders of certificates; the rest for lookups of names.
const OTHER_THREADS: usize = 10;
/// Files beside those of threads: some clients, their endpoints, and what is read now and then.
const SPARE_FILES: usize = 32;

/// Takes all of it at once, and gives it back.
///
/// # Errors
/// There is not enough.
pub(super) fn look_for(workers: usize) -> Result<(), StartError> {
    let no_room = |source| StartError::NoRoom { workers, source };
    let threads = (0..workers + OTHER_THREADS).map(|_| Held::start());
    let threads = threads.collect::<io::Result<Vec<Held>>>().map_err(no_room)?;
    for thread in &threads {
        thread.has_started().map_err(no_room)?;
    }
    let spare = (0..SPARE_FILES).map(|_| File::open("/dev/null"));
    spare.collect::<io::Result<Vec<File>>>().map(drop).map_err(no_room)
}

/// A thread with a runtime, as a worker is; it ends when dropped.
struct Held {
    started: Receiver<io::Result<()>>,
    until: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Held {
    fn start() -> io::Result<Self> {
        let (start, started) = channel();
        let (until, dropped) = channel::<()>();
        let holds = move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let (runtime, result) = match runtime {
                Ok(runtime) => (Some(runtime), Ok(())),
                Err(error) => (None, Err(error)),
            };
            let _ = start.send(result);
            let _ = dropped.recv();
            drop::<Option<Runtime>>(runtime);
        };
        let thread = Some(thread::Builder::new().spawn(holds)?);
        Ok(Self { started, until: Some(until), thread })
    }

    fn has_started(&self) -> io::Result<()> {
        self.started.recv().unwrap_or_else(|_| Err(io::Error::other("a thread has panicked")))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.until.take();
        // Until it has ended, its room is not there for others.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
