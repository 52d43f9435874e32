//! `proxy check`: every mistake of a configuration, at once; those of the files that it names once
//! it has no mistake itself. What is no mistake and still worth a look is a warning, and no failure.

use std::process::ExitCode;

use super::{ConfigArg, answer, refuse, source, warnings};
use crate::{
    config::{Config, ConfigErrors, LogConfig, LogFormat, LogLevel},
    telemetry::{events, output},
    tls,
};

pub(super) fn check(args: &ConfigArg) -> ExitCode {
    let config = match source::load(args) {
        Ok(config) => config,
        Err(why) => return refuse(&why),
    };
    // What is no mistake and still worth a look, such as a certificate that has expired.
    events::install(LogConfig { level: LogLevel::Warn, format: LogFormat::Text, access: false });
    if let Err(errors) = check_files(&config) {
        return refuse(&errors.to_string());
    }
    for warning in warnings::of(&config) {
        output::complain(&format!("{}:{}: warning: {warning}", config.file, warning.position));
    }
    let ok = format!(
        "ok: {} listeners, {} routes, {} services",
        config.listeners.len(),
        config.routes.len(),
        config.services.len()
    );
    answer(&ok, ExitCode::SUCCESS)
}

fn check_files(config: &Config) -> Result<(), ConfigErrors> {
    tls::check(config).map_err(|errors| config.refuse(errors))
}
