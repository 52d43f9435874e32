//! The command line: what was typed, and what it means.

mod check;
mod explain;
mod healthcheck;
mod run;
mod source;
mod warnings;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{ListenAddress, schema},
    telemetry::output,
};

/// The configuration is invalid, or the start failed.
pub const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// Requests were cut: the drain deadline passed, or a second signal came.
pub const CUT: u8 = 3;

/// A reverse proxy and load balancer
#[derive(Debug, Parser)]
#[command(name = "proxy", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy (also without a command)
    Run(RunArgs),
    /// Say everything that is wrong with a configuration
    Check(ConfigArg),
    /// Say which route takes a request, and why the others do not
    Explain(explain::ExplainArgs),
    /// Print the JSON Schema of the configuration
    Schema,
    /// Exit 0 if a running proxy is ready
    Healthcheck(healthcheck::HealthcheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArg {
    /// Configuration file; without it, the demo
    #[arg(short, long, value_name = "FILE", env = "PROXY_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Listen here instead of on the first listener's address
    #[arg(long, value_name = "ADDR", env = "PROXY_LISTEN")]
    listen: Option<ListenAddress>,
    /// Address of the admin listener
    #[arg(long, value_name = "ADDR", env = "PROXY_ADMIN")]
    admin: Option<ListenAddress>,
    /// Events that are logged: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", env = "PROXY_LOG", value_parser = source::log_level)]
    log: Option<crate::config::LogLevel>,
    /// How events are logged: json or text
    #[arg(long, value_name = "FORMAT", env = "PROXY_LOG_FORMAT", value_parser = source::log_format)]
    log_format: Option<crate::config::LogFormat>,
    /// Worker threads
    #[arg(long, value_name = "N", env = "PROXY_WORKERS", value_parser = source::workers)]
    workers: Option<std::num::NonZeroUsize>,
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(no_command) => return say_instead(&no_command),
    };
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Schema => answer(&schema::text(), ExitCode::SUCCESS),
        Command::Healthcheck(args) => healthcheck::healthcheck(&args),
    }
}

/// Help and version, which were asked for, or what is wrong with the command line.
fn say_instead(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    let text = text.trim_end_matches('\n');
    if error.use_stderr() {
        output::complain(text);
        return ExitCode::from(USAGE);
    }
    answer(text, ExitCode::SUCCESS)
}

/// Prints what a command was asked for, and ends with `code`; says so if it cannot be printed.
fn answer(text: &str, code: ExitCode) -> ExitCode {
    match output::print(text) {
        Ok(()) => code,
        Err(error) => refuse(&format!("cannot write to stdout: {error}")),
    }
}

/// Says why a command has failed.
fn refuse(why: &str) -> ExitCode {
    output::complain(why);
    ExitCode::from(FAILED)
}
