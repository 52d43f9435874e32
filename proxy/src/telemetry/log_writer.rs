//! The thread that writes the access log to stdout. Nobody waits for it, but for a short time at the
//! end of the process: a reader that has stopped costs lines, and nothing else.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::Duration,
};

use rustix::stdio;
use tokio::{sync::oneshot, time::timeout};

use super::{losses::Losses, output::LineWriter};
use crate::vitals::Vital;

const BATCHES_ON_THE_WAY: usize = 64;

/// How long the last lines may take: from workers that are ending, and to stdout. A reader that has
/// stopped must not hold up the end, and may be told from a machine that is busy.
const LAST_BATCHES: Duration = Duration::from_secs(2);
const LAST_WRITES: Duration = Duration::from_millis(400);
const STEP: Duration = Duration::from_millis(20);

/// Whole lines, and how many they are.
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    pub(super) count: u64,
}

/// Hands batches to the thread.
#[derive(Clone)]
pub struct LogSender {
    batches: SyncSender<Batch>,
    losses: Arc<Losses>,
}

/// The thread ends when all senders are gone and what they sent is written.
pub struct LogWriter {
    ended: oneshot::Receiver<()>,
    /// Whether the thread waits for stdout.
    is_writing: Arc<AtomicBool>,
}

/// Starts the thread; `losses` counts the lines that are lost.
///
/// # Errors
/// The thread cannot be started.
pub fn start(losses: &Arc<Losses>, vital: Vital) -> io::Result<(LogSender, LogWriter)> {
    let (batches, receiver) = sync_channel(BATCHES_ON_THE_WAY);
    let (end, ended) = oneshot::channel();
    let (counted, is_writing) = (Arc::clone(losses), Arc::<AtomicBool>::default());
    let writing = Arc::clone(&is_writing);
    let writes = move || {
        let _vital = vital;
        write_batches(&receiver, &counted, &writing);
        let _ = end.send(());
    };
    thread::Builder::new().name("access-log".to_owned()).spawn(writes)?;
    Ok((LogSender { batches, losses: Arc::clone(losses) }, LogWriter { ended, is_writing }))
}

impl LogSender {
    /// Never waits: without room the batch is dropped.
    pub(super) fn send(&self, batch: Batch) {
        let count = batch.count;
        if self.batches.try_send(batch).is_err() && self.losses.add(count) {
            tracing::warn!("access lines are lost: stdout does not take them fast enough");
        }
    }
}

impl LogWriter {
    /// Waits until the last line is written, but not for a stdout that does not take it. Whether it
    /// was; all senders must be gone, or going.
    pub async fn has_ended(mut self) -> bool {
        let (mut waited, mut written) = (Duration::ZERO, Duration::ZERO);
        while waited < LAST_BATCHES && written < LAST_WRITES {
            // An error of the channel means that the thread has ended all the same.
            if timeout(STEP, &mut self.ended).await.is_ok() {
                return true;
            }
            waited += STEP;
            if self.is_writing.load(Relaxed) {
                written += STEP;
            }
        }
        false
    }
}

fn write_batches(receiver: &Receiver<Batch>, losses: &Losses, is_writing: &AtomicBool) {
    let mut stdout = LineWriter::new(stdio::stdout());
    let mut next = receiver.recv().ok();
    while let Some(batch) = next {
        is_writing.store(true, Relaxed);
        let written = stdout.write(&batch.lines);
        is_writing.store(false, Relaxed);
        if let Err(lost) = &written
            && losses.add(lost.lines)
        {
            tracing::warn!(error = %lost.error, "access lines are lost: stdout does not take them");
        }
        next = match receiver.try_recv() {
            Ok(batch) => Some(batch),
            Err(TryRecvError::Empty) => {
                if written.is_ok() {
                    tell(losses);
                }
                receiver.recv().ok()
            }
            Err(TryRecvError::Disconnected) => None,
        };
    }
    tell(losses);
}

/// Once all that waited is written: while batches still come faster than they go, more are lost.
fn tell(losses: &Losses) {
    if let Some(lost) = losses.tell() {
        tracing::warn!(lost, "stdout takes access lines again");
    }
}
