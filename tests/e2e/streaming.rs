//! Bodies move while they are made: nothing is held back, and nothing is read ahead without bound.

use std::{
    io::{Read, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{Client, Exchange, Origin, PATIENCE, Proxy, eventually};

/// More than any socket buffers hold.
const LARGE: usize = 256 << 20;
/// The most that may be under way in all buffers of both connections together.
const UNDER_WAY: usize = 64 << 20;

/// Waits until `count` stands still, and says where.
fn standstill(count: &AtomicUsize) -> usize {
    let (mut last, mut since) = (0, Instant::now());
    eventually("the writer to stop", || {
        let now = count.load(Ordering::SeqCst);
        if now == 0 || now != last {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_millis(500)).then_some(now)
    })
}

/// An origin that handles one request with `handle`, which gets a signal from the test.
fn signalled_origin(
    handle: impl Fn(&mut Exchange, &Receiver<()>) + Send + Sync + 'static,
) -> (Origin, Sender<()>) {
    let (signal, signalled) = mpsc::channel();
    let signalled = Mutex::new(signalled);
    let origin = Origin::start(move |exchange| {
        handle(exchange, &signalled.lock().expect("one connection at a time"));
    });
    (origin, signal)
}

#[test]
fn a_client_that_does_not_read_stops_the_origin() {
    let written = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&written);
    let origin = Origin::start(move |exchange| {
        if exchange.request().is_some() {
            exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"));
            let piece = vec![b'x'; 64 << 10];
            while counter.load(Ordering::SeqCst) < LARGE && exchange.write(&piece) {
                counter.fetch_add(piece.len(), Ordering::SeqCst);
            }
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let stopped_at = standstill(&written);
    let answer = client.answer("GET");

    assert!(stopped_at < UNDER_WAY, "the origin could write {stopped_at} bytes");
    assert!(answer.is_whole && answer.body.len() == LARGE, "{} bytes came", answer.body.len());
}

#[test]
fn an_origin_that_does_not_read_stops_the_client() {
    let (origin, go) = signalled_origin(|exchange, signalled| {
        let Some(head) = exchange.request() else {
            return;
        };
        let _ = signalled.recv_timeout(PATIENCE);
        let length = exchange.body(&head).len();
        exchange
            .write(format!("HTTP/1.1 200 OK\r\nX-Length: {length}\r\nContent-Length: 0\r\n\r\n"));
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    let mut writer = client.stream.get_ref().try_clone().expect("can be cloned");
    let written = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&written);

    client.write(format!("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {LARGE}\r\n\r\n"));
    let writing = thread::spawn(move || {
        let piece = vec![b'x'; 64 << 10];
        while counter.load(Ordering::SeqCst) < LARGE {
            writer.write_all(&piece).expect("the proxy takes it in the end");
            counter.fetch_add(piece.len(), Ordering::SeqCst);
        }
    });
    let stopped_at = standstill(&written);
    go.send(()).expect("the origin waits");
    let answer = client.answer("PUT");

    assert!(stopped_at < UNDER_WAY, "the client could write {stopped_at} bytes");
    assert_eq!(answer.header("x-length"), Some(LARGE.to_string().as_str()));
    writing.join().expect("everything was written");
}

#[test]
fn server_sent_events_arrive_one_by_one() {
    // The next event leaves only after the client has the one before.
    let (origin, next) = signalled_origin(|exchange, signalled| {
        if exchange.request().is_some() {
            exchange.write(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                 Transfer-Encoding: chunked\r\n\r\n",
            );
            for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
                exchange.write(format!("{:x}\r\n{event}\r\n", event.len()));
                let _ = signalled.recv_timeout(PATIENCE);
            }
            exchange.write("0\r\n\r\n");
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("GET /events HTTP/1.1\r\nHost: a.test\r\nAccept: text/event-stream\r\n\r\n");
    client.head();
    let mut events = Vec::new();
    while let Some(event) = client.chunk().filter(|chunk| !chunk.is_empty()) {
        events.push(String::from_utf8(event).expect("is text"));
        next.send(()).expect("the origin waits");
    }

    assert_eq!(events, ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"]);
}

#[test]
fn an_echo_answers_while_it_reads() {
    let origin = Origin::start(|exchange| {
        if exchange.request().is_some() {
            exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while let Some(chunk) = exchange.chunk().filter(|chunk| !chunk.is_empty()) {
                exchange.write(format!("{:x}\r\n", chunk.len()));
                exchange.write(&chunk);
                exchange.write("\r\n");
            }
            exchange.write("0\r\n\r\n");
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("POST /echo HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let (status_line, _) = client.head();
    let mut echoed = Vec::new();
    for word in ["one", "two", "three"] {
        client.write(format!("{:x}\r\n{word}\r\n", word.len()));
        echoed.push(client.chunk().expect("the word comes back"));
    }
    client.write("0\r\n\r\n");
    let end = client.chunk();

    assert_eq!(status_line, "HTTP/1.1 200 OK");
    assert_eq!(echoed, [&b"one"[..], b"two", b"three"]);
    assert_eq!(end, Some(Vec::new()));
}

#[test]
fn an_answer_of_known_length_may_come_while_the_upload_runs() {
    let origin = Origin::start(|exchange| {
        if exchange.request().is_some() {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
            let mut byte = [0];
            while exchange.read(&mut byte) > 0 && exchange.write(byte) {}
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n");
    client.head();
    let mut echoed = Vec::new();
    for digit in b'0'..=b'9' {
        client.write([digit]);
        let mut byte = [0];
        client.stream.read_exact(&mut byte).expect("the digit comes back");
        echoed.push(byte[0]);
    }

    assert_eq!(echoed, b"0123456789");
}
