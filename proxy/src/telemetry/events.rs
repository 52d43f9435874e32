//! Events on stderr: start, stop, and what goes wrong with the process itself. Never a request;
//! those have the access log.
//!
//! A running proxy writes them by a thread of its own, so that no reader can hold anything up.
//! Bound: 256 KiB on the way; what is more is dropped and counted, and told of once stderr takes
//! events again. Commands that end by themselves write at once.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    cell::RefCell,
    io, panic,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
    time::Duration,
};

use rustix::stdio;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use super::{losses::Losses, output};
use crate::config::{LogConfig, LogFormat, LogLevel};

/// Where actix-server says that it cannot accept: when the process is out of open files, nobody
/// else would.
const ACCEPT: &str = "actix_server::accept";
/// Bytes of events on the way to stderr.
const MOST_WAITING: usize = 256 << 10;

/// How events leave a running proxy.
struct Queue {
    sender: Sender<Message>,
    /// Bytes of what was sent and not yet written.
    waiting: AtomicUsize,
}

enum Message {
    Lines(Vec<u8>),
    /// To be answered once everything before it is written.
    Flush(SyncSender<()>),
}

static QUEUE: OnceLock<Queue> = OnceLock::new();
static LOSSES: Losses = Losses::none();

thread_local! {
    /// On the thread that writes: what it says itself, which must not wait behind others.
    static OWN: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Starts the thread that writes; a second call changes nothing.
///
/// # Errors
/// The thread cannot be started.
pub fn start_queue() -> io::Result<()> {
    if QUEUE.get().is_some() {
        return Ok(());
    }
    let (sender, receiver) = channel();
    let writes = move || {
        if let Some(queue) = QUEUE.get() {
            write_queue(queue, &receiver);
        }
    };
    let queue = Queue { sender, waiting: AtomicUsize::new(0) };
    // Whoever set it between has a thread already.
    if QUEUE.set(queue).is_ok() {
        thread::Builder::new().name("events".to_owned()).spawn(writes)?;
    }
    Ok(())
}

/// Installs the log of events; a second call changes nothing. Besides `ACCEPT` only our own events
/// are shown: what libraries would say of a broken connection is said once, by us.
pub fn install(config: LogConfig) {
    let level = level(config.level);
    let targets = Targets::new()
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_target(ACCEPT, level.min(LevelFilter::ERROR));
    let registry = tracing_subscriber::registry().with(targets);
    let layer = fmt::layer().with_writer(|| Stderr).log_internal_errors(false);
    // An error means that a subscriber is there already, in tests with several servers.
    let _ = match config.format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(layer.with_ansi(false)).try_init(),
    };
}

/// Makes an event of every panic; std would write it itself, and wait for the reader.
pub fn report_panics() {
    panic::set_hook(Box::new(|info| {
        let thread = thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or_default();
        let trace = Backtrace::capture();
        let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
        if tracing::dispatcher::has_been_set() {
            tracing::error!(thread, place, what, trace, "a thread has panicked");
        } else {
            say(&format!("thread '{thread}' has panicked at {place}: {what}"));
        }
    }));
}

/// Says a line that is no event, behind the events before it.
pub fn say(line: &str) {
    send(format!("{line}\n").into_bytes());
}

/// Waits until everything said before is written, but no longer than `patience`.
pub fn flush(patience: Duration) {
    let Some(queue) = QUEUE.get() else { return };
    let (written, is_written) = sync_channel(1);
    if queue.sender.send(Message::Flush(written)).is_ok() {
        // Nobody reads: nobody misses it.
        let _ = is_written.recv_timeout(patience);
    }
}

/// Events that stderr did not take.
pub fn dropped() -> u64 {
    LOSSES.all()
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Where the subscriber puts an event, whole and in one call.
struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let is_own = OWN
            .with_borrow_mut(|own| own.as_mut().map(|own| own.extend_from_slice(lines)).is_some());
        if !is_own {
            send(lines.to_vec());
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn send(lines: Vec<u8>) {
    let Some(queue) = QUEUE.get() else {
        return output::write_stderr(&lines);
    };
    let length = lines.len();
    let before = queue.waiting.fetch_add(length, Relaxed);
    // Whatever its length, one is taken: that a start has failed for many reasons is to be read.
    let has_room = before == 0 || before + length <= MOST_WAITING;
    if !has_room || queue.sender.send(Message::Lines(lines)).is_err() {
        queue.waiting.fetch_sub(length, Relaxed);
        LOSSES.add(1);
    }
}

fn write_queue(queue: &Queue, receiver: &Receiver<Message>) {
    let mut stderr = output::LineWriter::new(stdio::stderr());
    for message in receiver {
        let lines = match message {
            Message::Lines(lines) => lines,
            Message::Flush(written) => {
                let _ = written.try_send(());
                continue;
            }
        };
        let is_written = stderr.write(&lines).is_ok();
        let left = queue.waiting.fetch_sub(lines.len(), Relaxed) - lines.len();
        if !is_written {
            LOSSES.add(1);
        } else if left == 0
            && let Some(lost) = LOSSES.tell()
        {
            let told = own(|| tracing::warn!(lost, "events were lost: stderr did not take them"));
            if stderr.write(&told).is_err() {
                LOSSES.keep_untold(lost);
            }
        }
    }
}

/// What `says` says, instead of sending it.
fn own(says: impl FnOnce()) -> Vec<u8> {
    OWN.set(Some(Vec::new()));
    says();
    OWN.take().unwrap_or_default()
}
