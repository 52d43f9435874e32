//! `proxy run`: starts, says where it listens, and stops as signals say.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CUT, FAILED, RunArgs, source, warnings};
use crate::{
    config::Config,
    server::{self, Drained},
    telemetry::events,
};

pub(super) fn run(args: &RunArgs) -> ExitCode {
    let mut config = match source::load(&args.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Err(code) = source::apply(args, &mut config) {
        return code;
    }
    events::install(config.log);
    for warning in warnings::of(&config) {
        let at = format!("{}:{}", config.file, warning.position);
        tracing::warn!(at, "{warning}");
    }
    actix_rt::System::new().block_on(serve(&config))
}

async fn serve(config: &Config) -> ExitCode {
    // Before the ports are open: whoever sees them may send a signal.
    let mut signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("cannot handle signals: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let running = match server::start(config) {
        Ok(running) => running,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(FAILED);
        }
    };
    for address in &running.traffic {
        eprintln!("listening traffic {address}");
    }
    eprintln!("listening admin {}", running.admin);
    signals.stop().await;
    let drained = tokio::select! {
        drained = running.drain() => drained,
        () = signals.stop() => Drained::Cut(running.in_flight()),
    };
    running.stop().await;
    match drained {
        Drained::Whole => ExitCode::SUCCESS,
        Drained::Cut(requests) => {
            tracing::warn!(requests, "stopped before all requests had ended");
            ExitCode::from(CUT)
        }
    }
}

/// The signals that mean something here.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns with the next signal that asks for an end.
    async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::warn!("HUP is ignored: the configuration cannot be reloaded yet");
                }
            }
        }
    }
}
