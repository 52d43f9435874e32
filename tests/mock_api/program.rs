//! Runs the mock backend for a test: starts it, finds its port, stops it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::http::{Connection, Reply};

const PATIENCE: Duration = Duration::from_secs(30);

/// The program, not started yet and free of the caller's environment.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mock-backend"));
    command.env_remove("MOCK_LISTEN").stdin(Stdio::null());
    command
}

/// A running mock backend; killed when dropped.
pub struct Mock {
    pub address: SocketAddr,
    child: Child,
    stderr_lines: Receiver<String>,
}

/// How a mock backend ended.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    pub code: Option<i32>,
    pub stdout: String,
    /// What came after the `listening` line.
    pub stderr_lines: Vec<String>,
}

impl Mock {
    pub fn start() -> Self {
        Self::start_with(&["--listen", "127.0.0.1:0"])
    }

    pub fn start_with(arguments: &[&str]) -> Self {
        Self::spawn(command().args(arguments))
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the mock backend starts");
        let stderr_lines = lines_of(child.stderr.take().expect("stderr is piped"));
        let first = stderr_lines.recv_timeout(PATIENCE);
        let address = first
            .as_deref()
            .ok()
            .and_then(|line| line.strip_prefix("listening mock ")?.parse().ok());
        let Some(address) = address else {
            let _ = child.kill();
            panic!("no `listening mock ADDRESS` but {first:?}");
        };
        Self { address, child, stderr_lines }
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    pub fn send(&self, method: &str, target: &str) -> Reply {
        self.connect().exchange(method, target, &[])
    }

    pub fn get(&self, target: &str) -> Reply {
        self.send("GET", target)
    }

    pub fn post(&self, target: &str, body: impl AsRef<[u8]>) -> Reply {
        self.connect().post(target, body.as_ref())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the mock backend runs");
    }

    /// Waits until the program ends by itself.
    pub fn ended(mut self) -> End {
        let mut stderr_lines = Vec::new();
        loop {
            match self.stderr_lines.recv_timeout(PATIENCE) {
                Ok(line) => stderr_lines.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the mock backend does not end"),
            }
        }
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("stdout is piped");
        pipe.read_to_string(&mut stdout).expect("stdout is text");
        End {
            code: self.child.wait().expect("a child can be awaited").code(),
            stdout,
            stderr_lines,
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Read on a thread, so that a test can wait for a line with a deadline.
fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
