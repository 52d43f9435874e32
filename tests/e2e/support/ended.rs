//! Programs that end by themselves: what they printed and how they ended.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
};

use super::eventually;

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Runs `command` to its end. Output goes to files, not pipes: when the program has ended, all
    /// of it is there.
    pub fn of(command: &mut Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = |name: &str| folder.path().join(name);
        let create = |name: &str| File::create(file(name)).expect("the file can be made");
        let child = command
            .stdin(Stdio::null())
            .stdout(create("stdout"))
            .stderr(create("stderr"))
            .spawn()
            .expect("the program starts");
        let mut child = Killed(child);
        let status = eventually("the program to end", || child.0.try_wait().expect("can be asked"));
        let read = |name: &str| fs::read_to_string(file(name)).expect("is text");
        Self { code: status.code(), stdout: read("stdout"), stderr: read("stderr") }
    }
}

/// A program that hangs must not outlive the test that failed for it.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
