//! A proxy whose addresses are known before it says anything: it listens on Unix sockets.

use std::{fs, net::Ipv4Addr, path::PathBuf, process::Command, process::Stdio};

use super::{Answer, Client, Program, Request, eventually, proxy_binary};

pub struct BehindSockets {
    pub program: Program,
    pub folder: tempfile::TempDir,
}

impl BehindSockets {
    /// Runs `config` with one worker; does not wait until it listens.
    pub fn start(config: &str, stdout: Stdio, stderr: Stdio) -> Self {
        Self::start_by(Command::new(proxy_binary()), config, stdout, stderr)
    }

    /// The same by a command that runs a program and the arguments given to it.
    pub fn start_by(mut command: Command, config: &str, stdout: Stdio, stderr: Stdio) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("proxy.toml");
        fs::write(&file, config).expect("the file can be written");
        let address = |name: &str| format!("unix:{}", folder.path().join(name).display());
        command.arg("run").arg("-c").arg(&file).args(["--workers", "1"]);
        command.args(["--listen", &address("traffic"), "--admin", &address("admin")]);
        let program = Program::spawn_onto(&mut command, stdout, stderr);
        Self { program, folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits until requests are taken.
    pub fn wait_until_ready(&mut self) {
        eventually("the proxy to be ready", || {
            assert!(self.program.is_running(), "it has ended: {:#?}", self.program.stderr());
            // The socket's file is there before anybody listens.
            std::os::unix::net::UnixStream::connect(self.path("admin")).ok()?;
            (self.ask("admin", "/readyz").status == 200).then_some(())
        });
    }

    /// An answer of the listener `name`.
    pub fn ask(&self, name: &str, target: &str) -> Answer {
        let request = Request::new((Ipv4Addr::LOCALHOST, 80).into(), "GET", target);
        request.send_on(&mut Client::connect_unix(&self.path(name)))
    }

    /// Over one connection, this many requests, each answered with `status`.
    pub fn ask_often(&self, count: usize, status: u16) {
        let mut client = Client::connect_unix(&self.path("traffic"));
        for number in 0..count {
            let target = format!("/{number}");
            let request = Request::new((Ipv4Addr::LOCALHOST, 80).into(), "GET", &target);
            assert_eq!(request.send_on(&mut client).status, status);
        }
    }

    /// The value of a metric without labels.
    pub fn metric(&self, name: &str) -> u64 {
        let page = self.ask("admin", "/metrics").text();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.expect("is there").parse().expect("is a number")
    }
}
