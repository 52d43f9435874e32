//! A server that speaks as much of Redis as it takes to let every request pass, once it is told to: so
//! that it can be seen what a proxy does while it waits. What Redis itself makes of the script is shown
//! by `scripts/checks/rate_limits.py`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

pub struct RedisStub {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicUsize,
    decisions: AtomicUsize,
    answers: Mutex<bool>,
    changed: Condvar,
}

impl RedisStub {
    /// Accepts connections and does not answer.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let address = listener.local_addr().expect("is bound");
        let stub = Self { address, shared: Arc::default() };
        let shared = Arc::clone(&stub.shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                shared.connections.fetch_add(1, SeqCst);
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.serve(&stream));
            }
        });
        stub
    }

    /// Answers from now on, and all that was asked before.
    pub fn answer(&self) {
        *self.shared.answers.lock().expect("no panic") = true;
        self.shared.changed.notify_all();
    }

    /// Answers nothing from now on, until `answer`.
    pub fn stall(&self) {
        *self.shared.answers.lock().expect("no panic") = false;
    }

    /// How many decisions it was asked for.
    pub fn decisions(&self) -> usize {
        self.shared.decisions.load(SeqCst)
    }

    /// How many there have been.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }
}

impl Shared {
    fn serve(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(words) = command(&mut reader) {
            self.decisions.fetch_add(usize::from(words[0] == b"EVALSHA"), SeqCst);
            let answers = self.answers.lock().expect("no panic");
            drop(self.changed.wait_while(answers, |answers| !*answers).expect("no panic"));
            let answer = if words[0] == b"EVALSHA" { "*2\r\n:1\r\n:0\r\n" } else { "+OK\r\n" };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// `*N`, and N times `$LENGTH` and as many bytes.
fn command(reader: &mut impl BufRead) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    for _ in 0..number(reader)? {
        let mut word = vec![0; number(reader)? + 2];
        Read::read_exact(reader, &mut word).ok()?;
        word.truncate(word.len() - 2);
        words.push(word);
    }
    Some(words)
}

fn number(reader: &mut impl BufRead) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.get(1..)?.trim_end().parse().ok()
}
