//! Who is waited for: a clock runs only against the side that the proxy waits for, and what was said
//! before a connection broke is heard.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Client, Exchange, OFFER, Origin, PATIENCE, Proxy, eventually,
    http2::{Fields, Http2},
    pool_of, switching,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const TOO_BIG: &str =
    "HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntoo big";

fn pass(time: Duration) {
    let started = Instant::now();
    eventually("time to pass", || (started.elapsed() > time).then_some(()));
}

/// Holds its first request until told, and answers all others at once.
fn holding() -> (Origin, Arc<AtomicBool>) {
    let (gate, requests) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
    let opened = Arc::clone(&gate);
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            if requests.fetch_add(1, SeqCst) == 0 {
                eventually("the gate", || opened.load(SeqCst).then_some(()));
            }
            exchange.body(&head);
            exchange.write(OK);
        }
    });
    (origin, gate)
}

/// Sends back what it gets while it gets it.
fn echoing(exchange: &mut Exchange) {
    while exchange.request().is_some() {
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while let Some(chunk) = exchange.chunk().filter(|chunk| !chunk.is_empty()) {
            exchange.write([format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat());
        }
        exchange.write("0\r\n\r\n");
    }
}

const SLOW_BODIES: &str = "[server]\nbody_timeout = \"500ms\"\n";

#[test]
fn a_body_that_came_whole_may_wait_in_the_queue_longer_than_its_timeout() {
    let (origin, gate) = holding();
    let limits = "limits = { max_in_flight = 1, queue = 10, queue_timeout = \"20s\" }";
    let proxy = Proxy::start(&format!("{SLOW_BODIES}{}", pool_of(&[origin.address], limits)));
    let first = proxy.get("/first");
    let first = thread::spawn(move || first.send().status);
    eventually("the first request", || (origin.heads().len() == 1).then_some(()));
    let waiting = "proxy_queue_depth{service=\"pool\"}";
    let whole = proxy.request("POST", "/whole").body("x".repeat(3000));
    let whole = thread::spawn(move || whole.send().status);
    let mut parted = Client::connect(proxy.address);
    parted.write("POST /parted HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\n\r\nabc");
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(&Fields::post("/streamed"));
    client.data(stream, b"abc", false);
    eventually("three that wait", || (proxy.metric(waiting) == 3.0).then_some(()));
    pass(Duration::from_millis(1500));
    gate.store(true, SeqCst);
    parted.write("def");
    client.data(stream, b"def", true);
    let statuses = [
        first.join().expect("no panic"),
        whole.join().expect("no panic"),
        parted.answer("POST").status,
        client.reply(stream).status,
    ];
    assert_eq!(statuses, [200; 4]);
}

/// Nobody reads the body while the next try is waited for.
#[test]
fn a_body_is_not_late_while_another_try_is_waited_for() {
    let tries = AtomicUsize::new(0);
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            if tries.fetch_add(1, SeqCst).is_multiple_of(2) {
                exchange.write(
                    "HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
                );
                exchange.wait_for_close();
                return;
            }
            exchange.body(&head);
            exchange.write(OK);
        }
    });
    let settings = "retry = { on = [\"503\"], budget = 100 }\n\
                    outlier = { consecutive_failures = \"off\" }";
    let proxy = Proxy::start(&format!("{SLOW_BODIES}{}", pool_of(&[origin.address], settings)));
    let mut client = Client::connect(proxy.address);
    client.write("PUT /parted HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\n\r\nabc");
    let mut streams = Http2::connect(proxy.address);
    eventually("the second try", || (origin.heads().len() == 2).then_some(()));
    client.write("def");
    assert_eq!(client.answer("PUT").status, 200);

    let stream = streams.open(&Fields::new("PUT", "/streamed"));
    streams.data(stream, b"abc", false);
    eventually("the second try", || (origin.heads().len() == 4).then_some(()));
    streams.data(stream, b"def", true);
    assert_eq!(streams.reply(stream).status, 200);
}

#[test]
fn an_endpoint_that_waits_for_its_client_is_not_idle() {
    let origin = Origin::start(echoing);
    let proxy = Proxy::start(&pool_of(&[origin.address], "timeouts = { idle = \"400ms\" }"));
    let mut client = Client::connect(proxy.address);
    client.write("POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.head();
    for piece in ["one", "two", "three"] {
        pass(Duration::from_millis(1000));
        client.write(format!("{:x}\r\n{piece}\r\n", piece.len()));
        assert_eq!(client.chunk().as_deref(), Some(piece.as_bytes()));
    }
    client.write("0\r\n\r\n");
    assert_eq!(client.chunk().as_deref(), Some(&b""[..]));
}

#[test]
fn an_endpoint_that_says_nothing_to_a_whole_request_is_idle_still() {
    let origin = Origin::start(|exchange| {
        let head = exchange.request().expect("it comes");
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        exchange.whole_body(&head);
        exchange.wait_for_close();
    });
    let proxy = Proxy::start(&pool_of(&[origin.address], "timeouts = { idle = \"400ms\" }"));
    let mut client = Client::connect(proxy.address);
    client.write("POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.head();
    client.write("3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(client.chunk(), None, "the answer is cut");
    assert_eq!(proxy.access_line("/a")["reason"], "idle_timeout");
}

/// The endpoint refuses, and resets the connection behind its answer while the body still comes.
#[test]
fn a_refusal_is_heard_though_the_connection_is_reset_behind_it() {
    let origin = Origin::start(|exchange| {
        exchange.request();
        exchange.write(TOO_BIG);
        exchange.reset();
    });
    let settings = "outlier = { consecutive_failures = \"off\" }";
    let proxy = Proxy::start(&pool_of(&[origin.address], settings));
    for round in 0..60 {
        let answer = upload(&proxy, round % 2 == 0);
        let said = (answer.starts_with("HTTP/1.1 413"), answer.ends_with("too big"));
        assert_eq!(said, (true, true), "{round}: {answer} {:?}", proxy.access_lines().last());
    }
}

/// Sends 1 MiB as long as it is taken, and reads what comes back meanwhile.
fn upload(proxy: &Proxy, is_chunked: bool) -> String {
    let mut stream = TcpStream::connect(proxy.address).expect("the proxy listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("can be set");
    stream.set_write_timeout(Some(PATIENCE)).expect("can be set");
    let mut writer = stream.try_clone().expect("can be cloned");
    let sending = thread::spawn(move || {
        let framing =
            if is_chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 1048576" };
        let head =
            format!("POST /a HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{framing}\r\n\r\n");
        let piece = "x".repeat(16 << 10);
        let chunk = if is_chunked { format!("4000\r\n{piece}\r\n") } else { piece };
        let mut went = writer.write_all(head.as_bytes());
        for _ in 0..64 {
            went = went.and_then(|()| writer.write_all(chunk.as_bytes()));
        }
        let _ = went.and_then(|()| writer.write_all(if is_chunked { b"0\r\n\r\n" } else { b"" }));
    });
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    sending.join().expect("no panic");
    String::from_utf8(answer).expect("is text")
}

/// Apache HttpClient offers TLS with every request.
const OFFERED: &str =
    "GET /a HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2\r\n\r\n";

#[test]
fn an_offer_to_switch_is_held_to_the_time_of_its_answer() {
    let silent = Origin::start(|exchange| {
        exchange.request();
        exchange.wait_for_close();
    });
    let settings = "timeouts = { total = \"500ms\", response = \"20s\" }";
    let proxy = Proxy::start(&pool_of(&[silent.address], settings));
    let mut client = Client::connect(proxy.address);
    client.write(OFFERED);
    assert_eq!(client.answer("GET").status, 504);
    assert_eq!(proxy.access_line("/a")["reason"], "total_timeout");
    assert!(silent.last_head().header("x-request-timeout-ms").is_some());
}

#[test]
fn what_has_switched_is_not_held_to_it() {
    let origin = switching(|exchange| {
        let mut buffer = [0; 64];
        while let 1.. = exchange.read(&mut buffer) {
            exchange.write("x");
        }
    });
    let proxy = Proxy::start(&pool_of(&[origin.address], "timeouts = { total = \"500ms\" }"));
    let mut client = Client::connect(proxy.address);
    client.write(OFFER);
    assert!(client.head().0.ends_with("101 Switching Protocols"));
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1500) {
        client.write("x");
        client.stream.read_exact(&mut [0]).expect("the tunnel is open");
    }
}

#[test]
fn an_offer_that_is_not_taken_is_copied_without_the_offer() {
    let (origin, shadow) = (Origin::answering(OK), Origin::answering(OK));
    let service = format!("\n[services.shadow]\nendpoints = [\"http://{}\"]", shadow.address);
    let config = pool_of(&[origin.address], service).replace(
        "service = \"pool\"",
        "service = \"pool\"\nmirror = { service = \"shadow\", percent = 100 }",
    );
    let proxy = Proxy::start(&config);
    let mut client = Client::connect(proxy.address);
    client.write(OFFERED);
    assert_eq!(client.answer("GET").status, 200);
    eventually("the copy", || (!shadow.heads().is_empty()).then_some(()));
    assert_eq!(origin.last_head().header("upgrade"), Some("TLS/1.2"));
    assert_eq!(shadow.last_head().header("upgrade"), None);
    assert_eq!(shadow.last_head().header("connection"), None);
}
