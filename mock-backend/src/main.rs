//! The command line of the mock backend: which address, how many workers, which exit code.
//!
//! Exit codes: 0 after a stop signal, 1 if the server cannot start or breaks down, 2 for a
//! usage error (clap's own). What is served is the library's business.

use std::error::Error;
use std::net::SocketAddr;
use std::panic;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mock_backend::{Options, run, say};

/// How long stderr may take to hear why the program ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// IP address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "MOCK_LISTEN", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,

    /// Worker threads; all of them share the same books
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options { listen: arguments.listen, workers: usize::from(arguments.workers) };
    // std would write it itself, and wait for whoever reads stderr.
    panic::set_hook(Box::new(|info| say(&format!("mock-backend: {info}"), LAST_WORDS)));
    // Without files or threads actix panics, and the hook has said why.
    let ended = panic::catch_unwind(|| actix_rt::System::new().block_on(run(options)));
    match ended {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            say(&format!("mock-backend: {}", with_causes(&error)), LAST_WORDS);
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_definition_is_sound() {
        Arguments::command().debug_assert();
    }
}
