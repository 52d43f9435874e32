//! Programs that end by themselves: what they printed and how they ended.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
};

use super::{eventually, proxy_binary};

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

    /// Runs the proxy's `command` with `-c` and a file of this text, which is called `FILE` in
    /// what it prints.
    pub fn with_file(command: &str, text: &str, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("proxy.toml");
        fs::write(&file, text).expect("the file can be written");
        let ended =
            Self::of(Command::new(proxy_binary()).arg(command).arg("-c").arg(&file).args(args));
        let rename = |text: &str| text.replace(file.to_str().expect("is text"), "FILE");
        Self { code: ended.code, stdout: rename(&ended.stdout), stderr: rename(&ended.stderr) }
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
