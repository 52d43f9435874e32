//! The thread that writes the access log to stdout. Nobody waits for it, but for a short time at the
//! end of the process: a reader that has stopped costs lines, and nothing else.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread,
};

use rustix::stdio;
use tokio::sync::oneshot;

use super::{losses::Losses, output::LineWriter};
use crate::vitals::Vital;

const BATCHES_ON_THE_WAY: usize = 64;

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
}

/// Starts the thread; `losses` counts the lines that are lost.
///
/// # Errors
/// The thread cannot be started.
pub fn start(losses: &Arc<Losses>, vital: Vital) -> io::Result<(LogSender, LogWriter)> {
    let (batches, receiver) = sync_channel(BATCHES_ON_THE_WAY);
    let (end, ended) = oneshot::channel();
    let counted = Arc::clone(losses);
    let writes = move || {
        let _vital = vital;
        write_batches(&receiver, &counted);
        let _ = end.send(());
    };
    thread::Builder::new().name("access-log".to_owned()).spawn(writes)?;
    Ok((LogSender { batches, losses: Arc::clone(losses) }, LogWriter { ended }))
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
    /// Waits until the last line is written; all senders must be gone.
    pub async fn ended(self) {
        // An error means that the thread has ended all the same.
        let _ = self.ended.await;
    }
}

fn write_batches(receiver: &Receiver<Batch>, losses: &Losses) {
    let mut stdout = LineWriter::new(stdio::stdout());
    let mut next = receiver.recv().ok();
    while let Some(batch) = next {
        let written = stdout.write(&batch.lines);
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
