//! Events on stderr: start, stop, and what goes wrong with the process itself. Never a request;
//! those have the access log.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogConfig, LogFormat, LogLevel};

/// Where actix-server says that it cannot accept: when the process is out of open files, nobody
/// else would.
const ACCEPT: &str = "actix_server::accept";

/// Installs the log of events; a second call changes nothing. Besides `ACCEPT` only our own events
/// are shown: what libraries would say of a broken connection is said once, by us.
pub fn install(config: LogConfig) {
    let level = level(config.level);
    let targets = Targets::new()
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_target(ACCEPT, level.min(LevelFilter::ERROR));
    let registry = tracing_subscriber::registry().with(targets);
    let layer = fmt::layer().with_writer(std::io::stderr);
    // An error means that a subscriber is there already, in tests with several servers.
    let _ = match config.format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(layer.with_ansi(false)).try_init(),
    };
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
