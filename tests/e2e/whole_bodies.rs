//! What an endpoint takes as a complete request body is what the client sent, byte for byte, whatever
//! became of the tries before: endpoints that answer early, reset or close amid it, clients that send
//! on meanwhile, both framings, both protocols, copies too.

use std::{
    collections::{HashMap, HashSet},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::support::{
    Exchange, Head, Origin, PATIENCE, Proxy, eventually,
    http2::{Fields, Http2, frame},
    pool_of,
};

/// Uploads of one run; more are made if the variable `UPLOADS` says so.
const UPLOADS: usize = 240;
/// The bound of what is held for another try, in bytes.
const HELD: usize = 64 << 10;
const SETTINGS: &str = "retry = { on = [\"connect\", \"reset\", \"503\"], attempts = 3, body_limit = \"64KiB\", \
     budget = 100, backoff = \"20ms\" }\noutlier = { consecutive_failures = \"off\" }\n";

/// What an endpoint does with one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// Reads all of it, and answers 200.
    Take,
    /// Answers 503 with a body that goes on until the request has come; reads on.
    Busy,
    /// Answers 503 at once and whole; reads on.
    BusyInShort,
    Reset,
    Close,
}

/// One upload: its body, and what is done with it.
#[derive(Clone, Debug)]
struct Job {
    number: usize,
    seed: u32,
    length: usize,
    framing: Framing,
    /// What each try meets, and after how many bytes of the body; those that follow are taken.
    deeds: Vec<(Deed, usize)>,
    /// Where the client cuts its body into pieces.
    cuts: Vec<usize>,
    /// Behind which piece the client waits until the first deed is done.
    waits_behind: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length,
    Chunked,
    /// HTTP/2, with `Content-Length` and without.
    Streamed(bool),
}

/// What all endpoints know together.
#[derive(Default)]
struct Ledger {
    jobs: Mutex<HashMap<usize, Job>>,
    tries: Mutex<HashMap<usize, usize>>,
    acted: Mutex<HashSet<usize>>,
    /// Complete bodies: of which job, in which try, and whether it was what the client sent.
    complete: Mutex<Vec<(usize, usize, bool)>>,
}

/// Content in which a piece that is lost, repeated or moved is seen.
fn content(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(next).collect()
}

impl Job {
    fn random(number: usize, rng: &mut SmallRng) -> Self {
        let length = match rng.random_range(0..4) {
            0 => rng.random_range(1..2000),
            1 => rng.random_range(HELD - 100..HELD + 100),
            _ => rng.random_range(1..320 << 10),
        };
        let framing =
            [Framing::Length, Framing::Chunked, Framing::Streamed(true), Framing::Streamed(false)]
                [rng.random_range(0..4)];
        let mut deeds = Vec::new();
        for _ in 0..rng.random_range(1..=2) {
            let deed = [Deed::Busy, Deed::Busy, Deed::BusyInShort, Deed::Reset, Deed::Close];
            let most = if rng.random_bool(0.6) { length.min(3000) } else { length };
            deeds.push((deed[rng.random_range(0..5)], rng.random_range(0..=most)));
        }
        let mut cuts: Vec<usize> =
            (0..rng.random_range(0..12)).map(|_| rng.random_range(1..=length)).collect();
        cuts.push(length);
        cuts.sort_unstable();
        cuts.dedup();
        let waits_behind = rng.random_range(0..cuts.len());
        Self { number, seed: rng.random(), length, framing, deeds, cuts, waits_behind }
    }

    fn path(&self) -> String {
        format!("/{}", self.number)
    }

    fn content(&self) -> Vec<u8> {
        content(self.seed, self.length)
    }

    /// Sends the body piece by piece through `send`, which says whether more is wanted.
    fn send(&self, ledger: &Ledger, mut send: impl FnMut(&[u8], bool) -> bool) {
        let body = self.content();
        let mut start = 0;
        for (index, cut) in self.cuts.iter().enumerate() {
            if !send(&body[start..*cut], *cut == self.length) {
                return;
            }
            start = *cut;
            if index == self.waits_behind && self.deeds[0].1 <= start {
                eventually("the first endpoint to act", || {
                    ledger.acted.lock().expect("no panic").get(&self.number).copied()
                });
            }
        }
    }
}

impl Ledger {
    /// What the next try of a job meets.
    fn next(&self, number: usize) -> (Job, usize, Deed, usize) {
        let job = self.jobs.lock().expect("no panic")[&number].clone();
        let mut tries = self.tries.lock().expect("no panic");
        let tried = tries.entry(number).or_default();
        let (deed, after) = job.deeds.get(*tried).copied().unwrap_or((Deed::Take, job.length));
        *tried += 1;
        (job, *tried, deed, after)
    }

    fn acted(&self, number: usize) {
        self.acted.lock().expect("no panic").insert(number);
    }
}

/// Reads more of a body; nothing at its end, `None` if it is cut.
fn more(exchange: &mut Exchange, head: &Head, had: usize, length: usize) -> Option<Vec<u8>> {
    if head.header("transfer-encoding").is_some() {
        return exchange.chunk();
    }
    let mut buffer = vec![0; (length - had).min(16 << 10)];
    if had < length {
        let read = exchange.read(&mut buffer);
        buffer.truncate(read);
        return (read > 0).then_some(buffer);
    }
    Some(buffer)
}

/// An endpoint that does what the job says; all of them share `ledger`.
fn endpoint(ledger: &Arc<Ledger>) -> Origin {
    let ledger = Arc::clone(ledger);
    Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            if !serve(exchange, &head, &ledger) {
                return;
            }
        }
    })
}

/// False if the connection is of no more use.
fn serve(exchange: &mut Exchange, head: &Head, ledger: &Ledger) -> bool {
    let number = head.line.split(['/', ' ']).nth(2).and_then(|text| text.parse().ok());
    let (job, tried, deed, after) = ledger.next(number.expect("a number"));
    let mut body = Vec::new();
    let mut has_acted = deed == Deed::Take;
    loop {
        if !has_acted && body.len() >= after {
            has_acted = true;
            act(exchange, deed);
            ledger.acted(job.number);
            if matches!(deed, Deed::Reset | Deed::Close) {
                return false;
            }
        }
        match more(exchange, head, body.len(), job.length) {
            Some(piece) if piece.is_empty() => break,
            Some(piece) => body.extend_from_slice(&piece),
            None => return false,
        }
    }
    let is_right = body == job.content();
    ledger.complete.lock().expect("no panic").push((job.number, tried, is_right));
    match deed {
        Deed::Busy => exchange.write("0\r\n\r\n"),
        Deed::Take => exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        Deed::BusyInShort | Deed::Reset | Deed::Close => true,
    }
}

fn act(exchange: &mut Exchange, deed: Deed) {
    match deed {
        Deed::Busy => {
            exchange.write("HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n");
        }
        Deed::BusyInShort => {
            exchange.write("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
        }
        Deed::Reset => exchange.reset(),
        Deed::Close | Deed::Take => {}
    }
}

/// The status that a client over HTTP/1 gets; 0 if the connection ends without one.
fn upload_http1(proxy: SocketAddr, job: &Job, ledger: &Ledger) -> u16 {
    let mut stream = TcpStream::connect(proxy).expect("the proxy listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("can be set");
    stream.set_write_timeout(Some(PATIENCE)).expect("can be set");
    stream.set_nodelay(true).expect("can be set");
    let framing = match job.framing {
        Framing::Length => format!("Content-Length: {}", job.length),
        _ => "Transfer-Encoding: chunked".to_owned(),
    };
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{framing}\r\n\r\n",
        job.path()
    );
    stream.write_all(head.as_bytes()).expect("the proxy takes it");
    job.send(ledger, |piece, ends| {
        let sent = match job.framing {
            Framing::Length => piece.to_vec(),
            _ => {
                let end = if ends { "0\r\n\r\n" } else { "" };
                [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n", end.as_bytes()]
                    .concat()
            }
        };
        stream.write_all(&sent).is_ok()
    });
    let mut answer = Vec::new();
    // It may be reset behind an answer that came early.
    let _ = stream.read_to_end(&mut answer);
    let status = answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status
        .map_or(0, |digits| std::str::from_utf8(digits).expect("is text").parse().expect("is one"))
}

/// The same over HTTP/2.
fn upload_http2(proxy: SocketAddr, job: &Job, ledger: &Ledger) -> u16 {
    let mut client = Http2::connect(proxy);
    let mut fields = Fields::new("PUT", &job.path());
    if job.framing == Framing::Streamed(true) {
        fields = fields.with("content-length", job.length.to_string());
    }
    let stream = client.open(&fields);
    job.send(ledger, |piece, ends| send_frames(&mut client, stream, piece, ends));
    client.reply(stream).status
}

/// Sends what the windows allow; false if the stream has ended.
fn send_frames(client: &mut Http2, stream: u32, mut piece: &[u8], ends: bool) -> bool {
    loop {
        while client.window(stream) <= 0 {
            if client.reply_so_far(stream).has_ended() || client.step().is_none() {
                return false;
            }
        }
        let window = usize::try_from(client.window(stream)).unwrap_or(0);
        let (now, rest) = piece.split_at(piece.len().min(window).min(frame::LONGEST));
        if !client.try_write(frame::data(stream, now, ends && rest.is_empty())) {
            return false;
        }
        client.count_as_sent(stream, now.len());
        piece = rest;
        if piece.is_empty() {
            return true;
        }
    }
}

fn run(proxy: SocketAddr, job: &Job, ledger: &Ledger) -> u16 {
    ledger.jobs.lock().expect("no panic").insert(job.number, job.clone());
    match job.framing {
        Framing::Length | Framing::Chunked => upload_http1(proxy, job, ledger),
        Framing::Streamed(_) => upload_http2(proxy, job, ledger),
    }
}

fn assert_all_right(ledger: &Ledger) {
    let complete = ledger.complete.lock().expect("no panic");
    let jobs = ledger.jobs.lock().expect("no panic");
    let wrong: Vec<_> = complete.iter().filter(|(.., is_right)| !is_right).collect();
    let of = wrong.first().map(|(number, ..)| &jobs[number]);
    assert!(wrong.is_empty(), "{} of {}: {wrong:?}, such as {of:?}", wrong.len(), complete.len());
}

/// A proxy before three endpoints, and what they know.
fn world(settings: &str) -> (Proxy, Arc<Ledger>, [Origin; 3]) {
    let ledger = Arc::new(Ledger::default());
    let endpoints = [endpoint(&ledger), endpoint(&ledger), endpoint(&ledger)];
    let addresses: Vec<SocketAddr> = endpoints.iter().map(|one| one.address).collect();
    let proxy = Proxy::start_with(
        &pool_of(&addresses, settings),
        &["--listen", "127.0.0.1:0", "--workers", "2"],
    );
    (proxy, ledger, endpoints)
}

#[test]
fn what_goes_on_while_a_try_is_given_up_is_no_part_of_the_next() {
    let (proxy, ledger, _endpoints) = world(SETTINGS);
    for (number, framing) in
        [Framing::Chunked, Framing::Length, Framing::Streamed(true), Framing::Streamed(false)]
            .into_iter()
            .cycle()
            .take(24)
            .enumerate()
    {
        let (length, deeds) = (300 << 10, vec![(Deed::Busy, 1000)]);
        let cuts = vec![1000, 100_000, length];
        let seed = u32::try_from(number).expect("is small");
        let job = Job { number, seed, length, framing, deeds, cuts, waits_behind: 0 };
        let status = run(proxy.address, &job, &ledger);
        let lines = || proxy.access_lines();
        assert!([200, 503].contains(&status), "{framing:?}: {status}, {:?}", lines());
    }
    assert_all_right(&ledger);
    let complete = ledger.complete.lock().expect("no panic");
    assert!(complete.iter().any(|(_, tried, _)| *tried == 2), "no body was sent again");
}

#[test]
fn every_body_that_an_endpoint_takes_as_complete_is_what_the_client_sent() {
    let (proxy, ledger, _endpoints) = world(SETTINGS);
    let wanted = std::env::var("UPLOADS").ok().and_then(|text| text.parse().ok());
    let each = wanted.unwrap_or(UPLOADS).div_ceil(4);
    thread::scope(|scope| {
        for part in 0..4 {
            let (ledger, address) = (&*ledger, proxy.address);
            scope.spawn(move || {
                let mut rng = SmallRng::seed_from_u64(part as u64);
                for number in part * each..(part + 1) * each {
                    run(address, &Job::random(number, &mut rng), ledger);
                }
            });
        }
    });
    assert_all_right(&ledger);
    let complete = ledger.complete.lock().expect("no panic");
    let again = complete.iter().filter(|(_, tried, _)| *tried > 1).count();
    assert!(again > 0, "no body was sent again");
}

#[test]
fn a_copy_has_the_whole_body_or_is_not_sent() {
    let ledger = Arc::new(Ledger::default());
    let [first, second, copied] = [(); 3].map(|()| endpoint(&ledger));
    let config = format!(
        "{}[services.copy]\nendpoints = [\"http://{}\"]\n",
        pool_of(&[first.address, second.address], SETTINGS).replace(
            "service = \"pool\"",
            "service = \"pool\"\nmirror = { service = \"copy\", percent = 100, body_limit = \"128KiB\" }",
        ),
        copied.address
    );
    let proxy = Proxy::start(&config);
    let mut rng = SmallRng::seed_from_u64(99);
    for number in 0..60 {
        run(proxy.address, &Job::random(number, &mut rng), &ledger);
    }
    // Copies are sent behind the answers.
    eventually("a copy", || (!copied.heads().is_empty()).then_some(()));
    assert_all_right(&ledger);
}
