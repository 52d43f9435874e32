//! The `proxy` program.

use std::process::ExitCode;

/// Faster here than the system's (docs/adr/0002), and smaller than others (0009).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    proxy::cli::main()
}
