//! A gibibyte passes in either direction, every byte in its place, while the proxy stays small.
//!
//! The content repeats a table whose length is a prime, so that a piece that is lost, repeated or
//! moved does not match what is expected at its place.

use std::sync::{LazyLock, mpsc};

use crate::support::{Client, Exchange, Origin, PATIENCE, Proxy};

const GIBIBYTE: usize = 1 << 30;
/// The most resident memory there may ever have been, in KiB.
const MEMORY_KIB: u64 = 64 << 10;

/// The largest prime below 1 MiB.
const TABLE_LENGTH: usize = 1_048_573;

static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..TABLE_LENGTH).map(next).collect()
});

/// The pieces that make up a gibibyte.
fn pieces() -> impl Iterator<Item = &'static [u8]> {
    let starts = (0..GIBIBYTE).step_by(TABLE_LENGTH);
    starts.map(|start| &TABLE[..TABLE_LENGTH.min(GIBIBYTE - start)])
}

/// Checks content as it arrives.
#[derive(Default)]
struct Checker {
    received: usize,
}

impl Checker {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let expected = &TABLE[self.received % TABLE_LENGTH..];
            let length = bytes.len().min(expected.len());
            let (head, rest) = bytes.split_at(length);
            assert!(head == &expected[..length], "wrong content near byte {}", self.received);
            self.received += length;
            bytes = rest;
        }
    }
}

fn assert_stayed_small(proxy: &Proxy) {
    let (_, most) = proxy.program.memory_kib();
    assert!(most < MEMORY_KIB, "{most} KiB were resident");
}

/// An origin that checks one upload with `receive`, and the place where the count arrives.
fn checking_origin(
    receive: impl Fn(&mut Exchange, &mut Checker) + Send + Sync + 'static,
) -> (Origin, mpsc::Receiver<usize>) {
    let (counted, count) = mpsc::channel();
    let origin = Origin::start(move |exchange| {
        if exchange.request().is_some() {
            let mut checker = Checker::default();
            receive(exchange, &mut checker);
            let _ = counted.send(checker.received);
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere");
        }
    });
    (origin, count)
}

#[test]
fn an_upload_of_known_length_passes_whole_in_little_memory() {
    let (origin, count) = checking_origin(|exchange, checker| {
        let mut buffer = vec![0; 1 << 20];
        while checker.received < GIBIBYTE {
            let read = exchange.read(&mut buffer);
            assert!(read > 0, "the upload ended at byte {}", checker.received);
            checker.take(&buffer[..read]);
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client
        .write(format!("PUT /big HTTP/1.1\r\nHost: a.test\r\nContent-Length: {GIBIBYTE}\r\n\r\n"));
    pieces().for_each(|piece| client.write(piece));
    let answer = client.answer("PUT");

    assert_eq!(answer.text(), "there");
    assert_eq!(count.recv_timeout(PATIENCE), Ok(GIBIBYTE));
    assert_stayed_small(&proxy);
}

#[test]
fn a_chunked_upload_passes_whole_in_little_memory() {
    let (origin, count) = checking_origin(|exchange, checker| {
        while let Some(chunk) = exchange.chunk().filter(|chunk| !chunk.is_empty()) {
            checker.take(&chunk);
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("PUT /big HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in pieces() {
        client.write(format!("{:x}\r\n", piece.len()));
        client.write(piece);
        client.write("\r\n");
    }
    client.write("0\r\n\r\n");
    let answer = client.answer("PUT");

    assert_eq!(answer.text(), "there");
    assert_eq!(count.recv_timeout(PATIENCE), Ok(GIBIBYTE));
    assert_stayed_small(&proxy);
}

#[test]
fn a_download_of_known_length_passes_whole_in_little_memory() {
    let origin = Origin::start(|exchange| {
        if exchange.request().is_some() {
            exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIBIBYTE}\r\n\r\n"));
            pieces().all(|piece| exchange.write(piece));
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let (status_line, fields) = client.head();
    let received = receive(&mut client);

    assert_eq!(status_line, "HTTP/1.1 200 OK");
    assert!(fields.contains(&("content-length".to_owned(), GIBIBYTE.to_string())), "{fields:?}");
    assert_eq!(received, GIBIBYTE);
    assert_stayed_small(&proxy);
}

#[test]
fn a_chunked_download_passes_whole_in_little_memory() {
    let origin = Origin::start(|exchange| {
        if exchange.request().is_some() {
            exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for piece in pieces() {
                exchange.write(format!("{:x}\r\n", piece.len()));
                exchange.write(piece);
                exchange.write("\r\n");
            }
            exchange.write("0\r\n\r\n");
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.head();
    let mut checker = Checker::default();
    let mut last = None;
    while let Some(chunk) = client.chunk() {
        checker.take(&chunk);
        if chunk.is_empty() {
            last = Some(chunk);
            break;
        }
    }

    assert_eq!(last, Some(Vec::new()), "the body is cut");
    assert_eq!(checker.received, GIBIBYTE);
    assert_stayed_small(&proxy);
}

/// Reads up to a gibibyte and checks it; how much came.
fn receive(client: &mut Client) -> usize {
    use std::io::Read;
    let mut checker = Checker::default();
    let mut buffer = vec![0; 1 << 20];
    while checker.received < GIBIBYTE {
        match client.stream.read(&mut buffer) {
            Ok(read) if read > 0 => checker.take(&buffer[..read]),
            _ => break,
        }
    }
    checker.received
}
