//! The load of the work `handshakes` of `scripts/bench/run.sh`: one full TLS 1.3 handshake and one
//! small request with `Connection: close` after the other on each of a few connections, one thread.
//!
//!     bench-handshakes PORT CA_PEM CERTIFICATE_PEM CONNECTIONS SECONDS
//!
//! Prints what `report.lua` prints: requests/s, p50 and p99 in µs, requests, errors. The first
//! handshake verifies everything. The others leave out what only a client pays for, the checks of
//! signatures, so that one core of load can fill one core of proxy; what the proxy computes is the
//! same. Anything but a full handshake with the parameters below is an error.

mod tls;

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// As wrk's in this benchmark: an answer later than this is an error.
const PATIENCE: Duration = Duration::from_secs(10);
const REQUEST: &[u8] = b"GET /items/books HTTP/1.1\r\nHost: localhost\r\n\
    Authorization: Bearer secret-token\r\nConnection: close\r\n\r\n";
/// Of the origin's answer.
const BODY: &[u8] = b"[{\"name\": \"The Hobbit\", \"author\": \"J.R.R. Tolkien\"}, {\"n\": 1}]\n";

#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    errors: usize,
    first_error: Option<String>,
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [port, ca, certificate, connections, seconds] = words.as_slice() else {
        return Err(io::Error::other("PORT CA_PEM CERTIFICATE_PEM CONNECTIONS SECONDS"));
    };
    let address = format!("127.0.0.1:{port}");
    let connections: usize = connections.parse().map_err(io::Error::other)?;
    let length = Duration::from_secs(seconds.parse().map_err(io::Error::other)?);
    let verified = TlsConnector::from(tls::verifying(ca).map_err(io::Error::other)?);
    let quick = TlsConnector::from(tls::comparing(certificate).map_err(io::Error::other)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        exchange(&address, &verified).await?;
        report(&run(&address, &quick, connections, length).await, length);
        Ok(())
    })
}

/// All connections side by side until the time is over.
async fn run(address: &str, tls: &TlsConnector, connections: usize, length: Duration) -> Seen {
    let end = Instant::now() + length;
    let running: Vec<_> = (0..connections)
        .map(|_| tokio::task::spawn_local(one_by_one(address.to_owned(), tls.clone(), end)))
        .collect();
    let mut all = Seen::default();
    for one in running {
        let seen = one.await.expect("nothing here panics");
        all.took.extend(seen.took);
        all.errors += seen.errors;
        all.first_error = all.first_error.or(seen.first_error);
    }
    all
}

async fn one_by_one(address: String, tls: TlsConnector, end: Instant) -> Seen {
    let mut seen = Seen::default();
    while Instant::now() < end {
        let began = Instant::now();
        match timeout(PATIENCE, exchange(&address, &tls)).await {
            Ok(Ok(())) => {}
            failed => {
                seen.errors += 1;
                seen.first_error.get_or_insert_with(|| format!("{failed:?}"));
            }
        }
        seen.took.push(began.elapsed());
    }
    seen
}

/// A handshake, a request, the whole answer, the end.
async fn exchange(address: &str, tls: &TlsConnector) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = tls.connect(tls::server_name(), stream).await?;
    tls::check(stream.get_ref().1)?;
    stream.write_all(REQUEST).await?;
    read_answer(&mut stream).await?;
    stream.shutdown().await
}

/// To its end by length: not every server closes before the client does.
async fn read_answer(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    let (mut answer, mut filled) = ([0; 4096], 0);
    loop {
        let read = stream.read(&mut answer[filled..]).await?;
        filled += read;
        let seen = &answer[..filled];
        if seen.starts_with(b"HTTP/1.1 200 ") && seen.ends_with(BODY) {
            return Ok(());
        }
        if read == 0 {
            let text = String::from_utf8_lossy(seen);
            return Err(io::Error::other(format!("another answer: {text}")));
        }
    }
}

fn report(seen: &Seen, length: Duration) {
    if let Some(error) = &seen.first_error {
        eprintln!("handshakes: {error}");
    }
    let mut micros: Vec<_> = seen.took.iter().map(Duration::as_micros).collect();
    micros.sort_unstable();
    let percentile = |percent| micros.get(micros.len() * percent / 100).unwrap_or(&0);
    println!(
        "report {:.0} {} {} {} {}",
        micros.len() as f64 / length.as_secs_f64(),
        percentile(50),
        percentile(99),
        micros.len(),
        seen.errors
    );
}
