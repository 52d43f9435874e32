//! `proxy check`: every mistake of a configuration, at once.

use std::process::ExitCode;

use super::{ConfigArg, source};

pub(super) fn check(args: &ConfigArg) -> ExitCode {
    match source::load(args) {
        Ok(config) => {
            println!(
                "ok: {} listeners, {} routes, {} services",
                config.listeners.len(),
                config.routes.len(),
                config.services.len()
            );
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}
