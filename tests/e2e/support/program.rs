//! The programs under test, started as a user would start them.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread,
};

use super::{Request, eventually};

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

pub type Lines = Arc<Mutex<Vec<String>>>;

impl Program {
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_onto(command, Stdio::piped(), Stdio::piped())
    }

    /// The same with other outputs; lines are there of what is piped.
    pub fn spawn_onto(command: &mut Command, stdout: Stdio, stderr: Stdio) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("the program starts");
        // What they hold is the program's alone: a closed pipe must look closed.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let stdout = child.stdout.take().map(collect).unwrap_or_default();
        let stderr = child.stderr.take().map(collect).unwrap_or_default();
        Self { child, stdout, stderr }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lines on stdout so far.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lock().expect("no reader has panicked").clone()
    }

    /// Lines on stderr so far.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lock().expect("no reader has panicked").clone()
    }

    /// The address of the n-th line `listening <what> <address>`.
    pub fn listening(&mut self, what: &str, index: usize) -> SocketAddr {
        self.listening_on(what, index).parse().expect("is an address")
    }

    /// The same for addresses of any kind.
    pub fn listening_on(&mut self, what: &str, index: usize) -> String {
        let prefix = format!("listening {what} ");
        eventually(&format!("\"{prefix}\""), || {
            let lines = self.stderr();
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the program ended with {status}: {lines:#?}");
            }
            let mut addresses = lines.iter().filter_map(|line| line.strip_prefix(&prefix));
            addresses.nth(index).map(str::to_owned)
        })
    }

    /// Sends a signal by name: TERM, INT, HUP, KILL.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Whether the program has said what it does on a signal, TERM or INT.
    pub fn handles(&self, name: &str) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        let number = if name == "INT" { 2 } else { 15 };
        caught.is_some_and(|mask| mask & (1 << (number - 1)) != 0)
    }

    /// The exit code, once there is one.
    pub fn exit_code(&mut self) -> Option<i32> {
        let status = eventually("the program to end", || {
            self.child.try_wait().expect("the child can be asked")
        });
        ExitStatus::code(&status)
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the child can be asked").is_none()
    }

    /// Resident memory now, and the most there has been, in KiB.
    pub fn memory_kib(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("is alive");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("is there");
            line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("is a number")
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(stream: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let collected = Arc::clone(&lines);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            collected.lock().expect("no reader has panicked").push(line);
        }
    });
    lines
}

/// A proxy with a configuration of its own.
pub struct Proxy {
    pub program: Program,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// Runs `config` with one listener and the admin listener on free ports, and one worker.
    pub fn start(config: &str) -> Self {
        Self::start_with(config, &["--listen", "127.0.0.1:0", "--workers", "1"])
    }

    /// The same with other flags; the admin listener has a free port in any case.
    pub fn start_with(config: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("proxy.toml");
        fs::write(&file, config).expect("the file can be written");
        let mut command = Command::new(proxy_binary());
        command.arg("run").arg("-c").arg(&file).args(["--admin", "127.0.0.1:0"]).args(flags);
        let mut program = Program::spawn(&mut command);
        let address = program.listening("traffic", 0);
        let admin = program.listening("admin", 0);
        Self { program, address, admin, _folder: folder }
    }

    pub fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target)
    }

    /// A page of the admin listener.
    pub fn admin(&self, target: &str) -> super::Answer {
        Request::new(self.admin, "GET", target).send()
    }

    /// The value of a metric, by its name and labels as printed; 0 if it is not there.
    pub fn metric(&self, series: &str) -> f64 {
        let page = self.admin("/metrics").text();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("is a number"))
    }

    /// How often an endpoint was ejected for failing in a row.
    pub fn ejections(&self, service: &str, endpoint: SocketAddr) -> f64 {
        self.metric(&format!(
            "proxy_endpoint_ejections_total{{service=\"{service}\",endpoint=\"http://{endpoint}\",cause=\"consecutive_failures\"}}"
        ))
    }

    /// Waits until a metric has this value: a request is counted when its last byte is sent, which
    /// the client may see first.
    pub fn wait_for_metric(&self, series: &str, value: f64) {
        eventually(&format!("{series} {value}"), || (self.metric(series) == value).then_some(()));
    }

    /// Access lines so far, as JSON.
    pub fn access_lines(&self) -> Vec<serde_json::Value> {
        let lines = self.program.stdout();
        lines.iter().map(|line| serde_json::from_str(line).expect("is JSON")).collect()
    }

    /// The first access line for `path`, once it is written.
    pub fn access_line(&self, path: &str) -> serde_json::Value {
        eventually(&format!("an access line for {path}"), || {
            self.access_lines().into_iter().find(|line| line["path"] == path)
        })
    }
}

/// A mock backend on a free port.
pub struct Mock {
    pub program: Program,
    pub address: SocketAddr,
}

impl Mock {
    pub fn start() -> Self {
        let mut command = Command::new(mock_binary());
        let mut program = Program::spawn(command.args(["--listen", "127.0.0.1:0"]));
        let address = program.listening("mock", 0);
        Self { program, address }
    }
}

/// The embedded default with its backends elsewhere.
pub fn demo_config(books: SocketAddr, movies: SocketAddr) -> String {
    include_str!("../../../proxy/examples/demo.toml")
        .replace("127.0.0.1:8000", &books.to_string())
        .replace("127.0.0.1:8001", &movies.to_string())
}

pub fn proxy_binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_proxy"))
}

/// The mock's program stands beside the proxy's; `cargo test -p proxy` alone does not build it.
pub fn mock_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let binary = proxy_binary().with_file_name("mock-backend");
        if !binary.exists() {
            let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "-p", "mock-backend"]);
            if proxy_binary().parent().is_some_and(|folder| folder.ends_with("release")) {
                build.arg("--release");
            }
            assert!(build.status().expect("cargo runs").success(), "the mock backend is built");
        }
        binary
    })
}
