//! Who gives up is noticed on the other side: a client that leaves cancels the request, and an
//! origin that refuses an upload ends it.

use std::{
    io::{BufRead, ErrorKind, Write},
    net::TcpStream,
    sync::{
        Mutex,
        mpsc::{self, Receiver},
    },
    thread,
    time::Instant,
};

use crate::support::{Client, Exchange, Origin, PATIENCE, Proxy, eventually};

const TOO_BIG: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\ntoo big";

/// An origin that handles one request with `handle` and then reports that its connection closed.
fn abandoned_origin(
    handle: impl Fn(&mut Exchange) + Send + Sync + 'static,
) -> (Origin, Receiver<()>) {
    let (report, closed) = mpsc::channel();
    let origin = Origin::start(move |exchange| {
        handle(exchange);
        let started = Instant::now();
        exchange.wait_for_close();
        if started.elapsed() < PATIENCE / 2 {
            let _ = report.send(());
        }
    });
    (origin, closed)
}

/// Writes `piece` again and again: whether the peer ends that by closing the connection.
fn is_stopped(mut stream: TcpStream, piece: &[u8]) -> bool {
    stream.set_write_timeout(Some(PATIENCE / 8)).expect("can be set");
    let started = Instant::now();
    while started.elapsed() < PATIENCE / 4 {
        if let Err(error) = stream.write_all(piece) {
            return matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        }
    }
    false
}

/// Sends a body without end, made of `piece`, to an origin that has answered 413 and reads no
/// more: the answer, and whether the proxy stopped the client.
fn refused_upload(framing: &str, piece: Vec<u8>) -> (u16, String, bool) {
    let (_hold, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let origin = Origin::start(move |exchange| {
        if exchange.request().is_some() {
            exchange.write(TOO_BIG);
            let _ = held.lock().expect("one request").recv_timeout(PATIENCE);
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    let writer = client.stream.get_ref().try_clone().expect("can be cloned");

    client.write(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n"));
    let writing = thread::spawn(move || is_stopped(writer, &piece));
    let answer = client.answer("POST");
    let is_stopped = writing.join().expect("the writer ends");
    (answer.status, answer.text(), is_stopped)
}

#[test]
fn an_early_refusal_lets_the_origin_go() {
    let (origin, closed) = abandoned_origin(|exchange| {
        if exchange.request().is_some() {
            exchange.write(TOO_BIG);
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nonly this");
    let answer = client.answer("POST");

    assert_eq!((answer.status, answer.text().as_str()), (413, "too big"));
    closed.recv_timeout(PATIENCE / 2).expect("the origin sees its connection close");
}

#[test]
fn an_early_refusal_of_an_upload_of_known_length_is_delivered_and_ends_it() {
    let length = format!("Content-Length: {}", 1_u64 << 40);

    let refused = refused_upload(&length, vec![b'x'; 64 << 10]);

    assert_eq!(refused, (413, "too big".to_owned(), true));
}

#[test]
fn an_early_refusal_of_a_chunked_upload_is_delivered_and_ends_it() {
    let chunk = [&b"10000\r\n"[..], &[b'x'; 64 << 10], b"\r\n"].concat();

    let refused = refused_upload("Transfer-Encoding: chunked", chunk);

    assert_eq!(refused, (413, "too big".to_owned(), true));
}

#[test]
fn a_client_that_leaves_amid_the_answer_cancels_the_request() {
    let (origin, closed) = abandoned_origin(|exchange| {
        if exchange.request().is_some() {
            exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.head();
    let first = client.chunk();
    drop(client);

    assert_eq!(first, Some(b"first".to_vec()));
    closed.recv_timeout(PATIENCE / 2).expect("the origin sees its connection close");
}

#[test]
fn a_client_that_leaves_before_the_answer_cancels_the_request() {
    let (origin, closed) = abandoned_origin(|exchange| {
        if let Some(head) = exchange.request() {
            exchange.body(&head);
        }
    });
    let proxy = Proxy::start(&origin.config());

    for request in [
        "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody",
    ] {
        let mut client = Client::connect(proxy.address);
        let known = origin.heads().len();
        client.write(request);
        eventually("the request to arrive", || (origin.heads().len() > known).then_some(()));
        drop(client);

        closed.recv_timeout(PATIENCE / 2).expect("the origin sees its connection close");
    }
}

#[test]
fn a_client_that_leaves_amid_its_upload_cancels_the_request() {
    let (origin, closed) = abandoned_origin(|exchange| {
        exchange.request();
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nonly this");
    eventually("the request to arrive", || origin.heads().pop());
    drop(client);

    closed.recv_timeout(PATIENCE / 2).expect("the origin sees its connection close");
}

#[test]
fn a_client_that_leaves_without_reading_cancels_the_request() {
    // The answer has no end and nobody reads it: the proxy is stuck in a write.
    let (report, ended) = mpsc::channel();
    let origin = Origin::start(move |exchange| {
        if exchange.request().is_some() {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
            while exchange.write([b'x'; 64 << 10]) {}
            let _ = report.send(());
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.stream.fill_buf().expect("the answer begins");
    drop(client);

    ended.recv_timeout(PATIENCE / 2).expect("the origin's writes fail");
}

/// What operators see of a client that left before its answer.
fn assert_recorded_as_closed_by_the_client(proxy: &Proxy) {
    let line = proxy.access_line("/a");
    assert_eq!((&line["status"], &line["reason"]), (&499.into(), &"client_closed".into()));
    assert_eq!(proxy.metric("proxy_errors_total{reason=\"client_closed\"}"), 1.0);
}

#[test]
fn a_client_that_leaves_before_the_answer_is_recorded_as_such() {
    let (origin, _closed) = abandoned_origin(|exchange| {
        exchange.request();
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the request to arrive", || origin.heads().pop());
    drop(client);

    assert_recorded_as_closed_by_the_client(&proxy);
}

#[test]
fn a_client_that_leaves_amid_its_upload_is_recorded_as_such() {
    let (origin, _closed) = abandoned_origin(|exchange| {
        exchange.request();
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nonly this");
    eventually("the request to arrive", || origin.heads().pop());
    drop(client);

    assert_recorded_as_closed_by_the_client(&proxy);
}

#[test]
fn a_client_that_leaves_amid_the_answer_is_recorded_as_such() {
    let (origin, _closed) = abandoned_origin(|exchange| {
        exchange.request();
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.head();
    drop(client);

    assert_eq!(proxy.access_line("/a")["reason"], "client_closed");
}
