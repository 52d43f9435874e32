//! The `proxy` program.

use std::process::ExitCode;

/// Smaller and faster here than the system's: docs/adr/0002.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    proxy::cli::main()
}
