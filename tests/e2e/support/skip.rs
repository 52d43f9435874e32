//! What a machine lacks for a test.

use std::io::{self, Write};

/// Says that a test could not do its work here.
pub fn skip(why: &str) {
    let _ = writeln!(io::stdout(), "SKIPPED: {why}");
}
