//! Starting the proxy as a shell would: flags, variables and a file.

use std::{fmt::Display, fs, process::Command};

use super::{Ended, Program, proxy_binary};

const VARIABLES: [&str; 6] = [
    "PROXY_CONFIG",
    "PROXY_LISTEN",
    "PROXY_ADMIN",
    "PROXY_LOG",
    "PROXY_LOG_FORMAT",
    "PROXY_WORKERS",
];

/// A folder with a configuration in it, and a command that knows of neither.
pub struct Launch {
    folder: tempfile::TempDir,
    pub command: Command,
}

impl Launch {
    /// The admin listener gets a free port; no other variable is set.
    pub fn with(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::write(folder.path().join("proxy.toml"), config).expect("the file can be written");
        let mut command = Command::new(proxy_binary());
        for name in VARIABLES {
            command.env_remove(name);
        }
        command.env("PROXY_ADMIN", "127.0.0.1:0");
        Self { folder, command }
    }

    pub fn file(&self) -> String {
        self.folder.path().join("proxy.toml").display().to_string()
    }

    /// `run -c FILE` with these flags.
    pub fn run(mut self, flags: &[&str]) -> Self {
        let file = self.file();
        self.command.args(["run", "-c", &file]).args(flags);
        self
    }

    pub fn env(mut self, name: &str, value: &dyn Display) -> Self {
        self.command.env(name, value.to_string());
        self
    }

    /// Starts a program that goes on; the folder must live as long as the file is needed.
    pub fn start(mut self) -> (Program, tempfile::TempDir) {
        (Program::spawn(&mut self.command), self.folder)
    }

    /// Runs a program that ends by itself.
    pub fn end(mut self) -> Ended {
        Ended::of(&mut self.command)
    }
}
