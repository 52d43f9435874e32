//! Whether the system gives the threads and files that a proxy needs, asked before anything is
//! served: a proxy that found out amid its start would be half started, and one that found out
//! later would listen and serve nobody.

use std::{
    fs::File,
    io,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use tokio::runtime::Builder;

use super::StartError;

/// Threads beside those of workers: two that accept, the access log, the resolver, the files of TLS,
/// the orders of certificates; the rest for lookups of names.
const OTHER_THREADS: usize = 9;
/// Files beside those of workers: seven of the threads that accept and order, and some for clients,
/// their endpoints, and what is read now and then.
const SPARE_FILES: usize = 24;

/// Takes all of it at once, and gives it back.
///
/// # Errors
/// There is not enough.
pub(super) fn look_for(workers: usize) -> Result<(), StartError> {
    let no_room = |source| StartError::NoRoom { workers, source };
    // The admin listener has a worker of its own.
    let workers = (0..=workers).map(|_| Held::start(true));
    let threads = workers.chain((0..OTHER_THREADS).map(|_| Held::start(false)));
    let threads = threads.collect::<io::Result<Vec<Held>>>().map_err(no_room)?;
    for thread in &threads {
        thread.has_started().map_err(no_room)?;
    }
    let spare = (0..SPARE_FILES).map(|_| File::open("/dev/null"));
    spare.collect::<io::Result<Vec<File>>>().map(drop).map_err(no_room)
}

/// A thread, with a runtime if it is to be like a worker; it ends when dropped.
struct Held {
    started: Receiver<io::Result<()>>,
    until: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Held {
    fn start(is_worker: bool) -> io::Result<Self> {
        let (start, started) = channel();
        let (until, dropped) = channel::<()>();
        let holds = move || {
            let build = || Builder::new_current_thread().enable_all().build();
            let (_runtime, result) = match is_worker.then(build).transpose() {
                Ok(runtime) => (runtime, Ok(())),
                Err(error) => (None, Err(error)),
            };
            let _ = start.send(result);
            let _ = dropped.recv();
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
