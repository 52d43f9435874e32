//! `proxy run`: starts, says where it listens, and stops as signals say.

use std::{process::ExitCode, time::Duration};

use futures_util::FutureExt;
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{CUT, FAILED, RunArgs, source, warnings};
use crate::{
    server::{self, Drained, Running, remedy},
    telemetry::{events, output},
    vitals::{EndedVitals, Vitals},
};

/// How long stderr may take to hear why there is no start.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The same for a stop, which has a time to be over by.
const LAST_EVENTS: Duration = Duration::from_millis(200);

pub(super) fn run(args: &RunArgs) -> ExitCode {
    if let Err(error) = events::start_queue() {
        output::complain(&format!("cannot start: {error}{}", remedy(&error)));
        return ExitCode::from(FAILED);
    }
    events::report_panics();
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("cannot start: {error}{}", remedy(&error))),
    };
    actix_rt::System::with_tokio_rt(|| runtime).block_on(serve(args))
}

/// Says why there is no start.
fn refuse(why: &str) -> ExitCode {
    events::say(why);
    events::flush(LAST_WORDS);
    ExitCode::from(FAILED)
}

async fn serve(args: &RunArgs) -> ExitCode {
    // First of all: whoever has started the process may want it to stop.
    let mut signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            return refuse(&format!("cannot handle signals: {error}{}", remedy(&error)));
        }
    };
    let config = source::load(&args.config).and_then(|config| source::apply(args, config));
    let config = match config {
        Ok(config) => config,
        Err(why) => return refuse(&why),
    };
    events::install(config.log);
    for warning in warnings::of(&config) {
        let at = format!("{}:{}", config.file, warning.position);
        tracing::warn!(at, "{warning}");
    }
    if signals.have_come().await {
        return ExitCode::SUCCESS;
    }
    let (vitals, ended) = Vitals::new();
    match server::start(&config, &vitals) {
        Ok(running) => serve_until_told(running, signals, ended).await,
        Err(error) => refuse(&error.to_string()),
    }
}

async fn serve_until_told(
    running: Running,
    mut signals: Signals,
    mut ended: EndedVitals,
) -> ExitCode {
    for address in &running.traffic {
        events::say(&format!("listening traffic {address}"));
    }
    events::say(&format!("listening admin {}", running.admin));
    let failed = tokio::select! {
        () = signals.stop() => false,
        part = ended.next() => {
            tracing::error!(part, "a part of the proxy has ended, and so does the proxy");
            true
        }
    };
    let drained = tokio::select! {
        drained = running.drain() => drained,
        () = signals.stop() => running.cut(),
    };
    running.stop().await;
    if let Drained::Cut(requests) = drained {
        tracing::warn!(requests, "stopped before all requests had ended");
    }
    events::flush(LAST_EVENTS);
    match drained {
        _ if failed => ExitCode::from(FAILED),
        Drained::Whole => ExitCode::SUCCESS,
        Drained::Cut(_) => ExitCode::from(CUT),
    }
}

/// The signals that mean something here.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// nginx's for an end that lets requests finish, which any end does here.
    quit: Signal,
    hangup: Signal,
    user_1: Signal,
    user_2: Signal,
    /// Taken, so that a log that has reached the limit of file sizes is an error and no end.
    _file_size: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
            _file_size: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// Whether one that asks for an end has come while nobody looked.
    async fn have_come(&mut self) -> bool {
        // The runtime hears of signals when it has nothing else to do.
        tokio::task::yield_now().await;
        self.stop().now_or_never().is_some()
    }

    /// Returns with the next signal that asks for an end.
    async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.quit.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::warn!("HUP is ignored: the configuration cannot be reloaded yet");
                }
                _ = self.user_1.recv() => {
                    tracing::warn!("USR1 has nothing to reopen: logs go to stdout and stderr");
                }
                _ = self.user_2.recv() => {
                    tracing::warn!("USR2 is ignored: the program cannot be replaced yet");
                }
            }
        }
    }
}
