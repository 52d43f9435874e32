//! Where the configuration comes from, and what flags change of it.

use std::{fs, num::NonZeroUsize};

use super::{ConfigArg, RunArgs};
use crate::config::{Config, EMBEDDED, LogFormat, LogLevel, worker_count};

/// Reads the file that is named, or the demo.
///
/// # Errors
/// Everything that is wrong with it, to be said.
pub(super) fn load(args: &ConfigArg) -> Result<Config, String> {
    let file = args.config.as_ref();
    let name =
        file.map_or_else(|| "embedded default".to_owned(), |file| file.display().to_string());
    let text = match file {
        Some(file) => {
            fs::read_to_string(file).map_err(|error| format!("{name}: cannot be read: {error}"))?
        }
        None => EMBEDDED.to_owned(),
    };
    Config::load(&text, &name, &|variable| std::env::var(variable).ok())
        .map_err(|errors| errors.to_string())
}

/// Puts flags over the file.
///
/// # Errors
/// What they must not say together, to be said.
pub(super) fn apply(args: &RunArgs, mut config: Config) -> Result<Config, String> {
    if let (Some(address), Some(first)) = (&args.listen, config.listeners.first_mut()) {
        first.bind = address.clone();
    }
    config.log.level = args.log.unwrap_or(config.log.level);
    config.log.format = args.log_format.unwrap_or(config.log.format);
    config.server.workers = args.workers.unwrap_or(config.server.workers);
    if let Some(address) = &args.admin {
        if address.is_reachable_from_outside() && config.admin.token.is_none() {
            return Err(format!(
                "the admin listener on {address} is not loopback: set \"token\" in [admin]"
            ));
        }
        config.admin.bind = address.clone();
    }
    Ok(config)
}

pub(super) fn log_level(text: &str) -> Result<LogLevel, String> {
    LogLevel::parse(text).ok_or_else(|| format!("expected one of {}", LogLevel::WORDS.join(", ")))
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    LogFormat::parse(text).ok_or_else(|| format!("expected {}", LogFormat::WORDS.join(" or ")))
}

pub(super) fn workers(text: &str) -> Result<NonZeroUsize, String> {
    let count = text.parse().ok().and_then(worker_count);
    count.ok_or_else(|| "expected a number from 1 to 512".to_owned())
}
