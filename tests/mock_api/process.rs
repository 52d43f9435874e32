//! The program as a process: its ready line, its exit codes, its stop.

use std::io::{PipeReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{End, Mock, command};

const BOOK: &[u8] = br#"{"name": "n", "author": "a"}"#;

#[test]
fn address_can_come_from_the_environment() {
    let mock = Mock::spawn(command().env("MOCK_LISTEN", "127.0.0.1:0"));
    assert_ne!(mock.address.port(), 8000, "the default was taken instead");
    assert_eq!(mock.get("/serverA/health").status, 200);
}

#[test]
fn option_beats_the_environment() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = command();
    command.env("MOCK_LISTEN", address);
    Mock::spawn(command.args(["--listen", "127.0.0.1:0"]));
}

#[test]
fn help_tells_the_default_address() {
    let output = command().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(help.contains("[default: 127.0.0.1:8000]"), "{help}");
}

#[test]
fn ready_line_names_the_port_that_was_taken() {
    let mock = Mock::start();
    assert_eq!(mock.address.ip(), Ipv4Addr::LOCALHOST);
    assert_ne!(mock.address.port(), 0);
}

#[test]
fn term_and_int_end_an_idle_program_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mock = Mock::start();
        let mut idle = mock.connect();
        idle.exchange("GET", "/serverA/health", &[]);
        mock.signal(signal);
        assert_eq!(mock.ended().code, Some(0), "{signal:?}");
        assert!(idle.is_closed());
    }
}

#[test]
fn program_says_nothing_after_its_ready_line() {
    let mock = Mock::start();
    mock.get("/serverA/books");
    mock.get("/nowhere");
    mock.post("/serverA/books", BOOK);
    mock.post("/serverA/books", "{");
    mock.connect().write(b"not HTTP\r\n\r\n");
    mock.signal(Signal::TERM);
    let quiet = End { code: Some(0), stdout: String::new(), stderr_lines: Vec::new() };
    assert_eq!(mock.ended(), quiet);
}

#[test]
fn running_request_is_finished_after_a_stop_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let mock = Mock::start();
        let mut idle = mock.connect();
        idle.exchange("GET", "/serverA/health", &[]);
        let mut running = mock.connect();
        running.write(
            b"POST /serverA/books HTTP/1.1\r\nHost: mock\r\nExpect: 100-continue\r\nContent-Length: 28\r\n\r\n",
        );
        assert_eq!(running.read_reply("POST").unwrap().status, 100);
        mock.signal(signal);
        assert!(idle.is_closed(), "the stop has begun");
        running.write(BOOK);
        assert_eq!(running.read_reply("POST").unwrap().json().0, 201);
        let address = mock.address;
        assert_eq!(mock.ended().code, Some(0), "{signal:?}");
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn port_in_use_is_named_and_ends_the_program_with_1() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command().args(["--listen", &address]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("mock-backend: cannot listen on {address}: Address already in use");
    assert!(stderr.starts_with(&expected), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn usage_errors_end_the_program_with_2() {
    for arguments in [
        ["--listen", "nonsense"],
        ["--listen", "127.0.0.1"],
        ["--workers", "0"],
        ["--workers", "many"],
        ["--no-such-option", "x"],
    ] {
        let output = command().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

/// What becomes of stderr, as a shell would say it, and a mock on a port of its own.
fn with_stderr(stderr: Stdio, port: u16) -> Command {
    let mut command = command();
    command.args(["--listen", &format!("127.0.0.1:{port}")]).stdout(Stdio::null()).stderr(stderr);
    command
}

/// A pipe that is full, and its reader.
fn stalled() -> (PipeReader, Stdio) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe can be had");
    rustix::io::ioctl_fionbio(&writer, true).expect("can be set");
    while writer.write(b"\n").is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).expect("can be set");
    (reader, writer.into())
}

#[test]
fn stderr_that_nobody_reads_or_takes_holds_nothing_up() {
    let (_reader, full_pipe) = stalled();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for stderr in [full_pipe, std::io::pipe().expect("a pipe can be had").1.into(), full().into()] {
        let port = free_port();
        let mut child = with_stderr(stderr, port).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        let mut served = false;
        while !served && Instant::now() < until {
            served = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        }
        let stopped = kill_process(Pid::from_child(&child), Signal::TERM);
        let status = child.wait().unwrap();
        assert!(served && stopped.is_ok());
        assert_eq!(status.code(), Some(0));
    }
}

#[test]
fn a_start_that_fails_ends_though_nobody_reads_why() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let (_reader, stderr) = stalled();
    let status = with_stderr(stderr, port).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn without_open_files_the_start_fails_and_says_so() {
    for files in [6, 10, 12, 14] {
        let mut command = Command::new("sh");
        let run = format!("ulimit -n {files}; exec \"$0\" --listen 127.0.0.1:0");
        let output = command.args(["-c", &run, env!("CARGO_BIN_EXE_mock-backend")]).output();
        let output = output.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{files}: {stderr}");
        assert!(stderr.contains("Too many open files"), "{files}: {stderr}");
        assert!(!stderr.contains("listening"), "{files}: {stderr}");
    }
}

/// Free a moment ago; the system does not give it to others soon.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("is bound").port()
}
