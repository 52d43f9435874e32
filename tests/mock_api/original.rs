//! The mock backend against the Python original (`original.py`, the seed's script on a free
//! port), request by request. Skipped, with a line that says so, where there is no python3.
//!
//! Where the original drops the connection or takes a string or a list for a book, the mock
//! backend's answer is 400; that is the only difference allowed here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use crate::http::{Connection, Reply};
use crate::program::Mock;
use crate::random_json::Source;

const DOCUMENTS: usize = 1000;

struct Original {
    address: SocketAddr,
    process: Child,
}

impl Original {
    /// `None` if this machine has no python3.
    fn start() -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/mock_api/original.py");
        let spawned = Command::new("python3")
            .arg(script)
            .env_remove("PYTHONINTMAXSTRDIGITS")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut process) = spawned else {
            let _ = writeln!(std::io::stderr(), "SKIPPED: python3 not found");
            return None;
        };
        let mut line = String::new();
        let stdout = process.stdout.take().expect("stdout is piped");
        BufReader::new(stdout.take(10)).read_line(&mut line).expect("stdout is text");
        let port: u16 = line.trim().parse().expect("the original prints its port");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Some(Self { address, process })
    }

    fn send(&self, method: &str, target: &str, body: &str) -> Option<Reply> {
        let mut connection = Connection::open(self.address);
        let length = body.len();
        let head = format!("{method} {target} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n");
        connection.write(&[head.as_bytes(), body.as_bytes()].concat());
        connection.read_reply(method).ok()
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The original's answer, or the mock backend's own where the original goes wrong.
fn expected(original: Option<Reply>) -> (u16, String) {
    let bad_request = || (400, r#"{"error": "bad request"}"#.to_owned());
    match original {
        Some(reply) if reply.status == 201 && !reply.body.starts_with(r#"{"book": {"#) => {
            bad_request()
        }
        Some(reply) => (reply.status, reply.body),
        None => bad_request(),
    }
}

/// Posts each document to both and compares; returns how often each status came.
fn post_to_both(mock: &Mock, original: &Original, documents: &[String]) -> [usize; 2] {
    let mut connection = mock.connect();
    let (mut created, mut refused) = (0, 0);
    for document in documents {
        let ours = connection.post("/serverA/books", document.as_bytes());
        let theirs = expected(original.send("POST", "/serverA/books", document));
        assert_eq!(ours.json(), (theirs.0, theirs.1.as_str()), "{document}");
        match ours.status {
            201 => created += 1,
            _ => refused += 1,
        }
    }
    [created, refused]
}

#[test]
fn random_objects_are_answered_and_listed_as_by_the_original() {
    let Some(original) = Original::start() else {
        return;
    };
    let mock = Mock::start();
    let mut source = Source(1937);
    let documents: Vec<String> = (0..DOCUMENTS).map(|_| source.object()).collect();
    let [created, refused] = post_to_both(&mock, &original, &documents);
    assert!(created > DOCUMENTS / 2 && refused > 0, "{created} {refused}");
    let listed = original.send("GET", "/serverA/books", "");
    assert_eq!(mock.get("/serverA/books").body, listed.unwrap().body);
}

#[test]
fn damaged_objects_are_refused_exactly_where_the_original_fails() {
    let Some(original) = Original::start() else {
        return;
    };
    let mock = Mock::start();
    let mut source = Source(1954);
    let damaged = |_| {
        let object = source.object();
        source.damaged(&object)
    };
    let documents: Vec<String> = (0..DOCUMENTS).map(damaged).collect();
    let [created, refused] = post_to_both(&mock, &original, &documents);
    assert!(created > DOCUMENTS / 10 && refused > DOCUMENTS / 10, "{created} {refused}");
}

#[test]
fn targets_get_the_status_of_the_original() {
    let Some(original) = Original::start() else {
        return;
    };
    let mock = Mock::start();
    for target in [
        "/serverA/books",
        "/serverZ/health",
        "/servera/books",
        "/serverAB/books",
        "/serverA/books/",
        "/serverA/books?",
        "/serverA/books?page=1",
        "/server%41/books",
        "http://mock/serverA/books",
        "/serverA",
        "/",
    ] {
        for (method, body) in [("GET", ""), ("POST", r#"{"name": 1, "author": 2}"#)] {
            let ours = mock.connect().exchange(method, target, body.as_bytes());
            let theirs = original.send(method, target, body).unwrap();
            assert_eq!(ours.status, theirs.status, "{method} {target}");
        }
    }
}
