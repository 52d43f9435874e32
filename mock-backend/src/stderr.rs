//! Lines on stderr, by a thread of their own: who does not read them holds up nobody, and who has
//! closed them is no reason to stop.

use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Says `line`, and waits for `patience` at most until it is written.
pub fn say(line: &str, patience: Duration) {
    let line = format!("{line}\n");
    let (written, is_written) = mpsc::channel();
    let writes = move || {
        let _ = io::stderr().write_all(line.as_bytes());
        let _ = written.send(());
    };
    // Without a thread there is no room for a server either, which says so by its exit code.
    if thread::Builder::new().spawn(writes).is_ok() {
        let _ = is_written.recv_timeout(patience);
    }
}
