//! Clients that send too much, too slowly, or read too slowly: each is ended by its deadline or its
//! bound, and honest ones are served all the same.

use std::io::Read;

use crate::support::{Client, Origin, Proxy, eventually};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn world(server: &str) -> (Origin, Proxy) {
    let origin = Origin::answering(ANSWER);
    let proxy = Proxy::start(&format!("[server]\n{server}\n{}", origin.config()));
    (origin, proxy)
}

/// Whether the proxy says this reason to the client and in the log, and closes.
fn assert_refused(proxy: &Proxy, client: &mut Client, status: u16, reason: &str) {
    let answer = client.answer("GET");
    assert_eq!(answer.status, status);
    let details = format!("proxy; error=http_request_error; details=\"{reason}\"");
    assert_eq!(answer.header("proxy-status"), Some(details.as_str()));
    assert!(answer.header("x-request-id").is_some());
    assert!(client.is_closed());
    let line = eventually("an access line", || {
        proxy.access_lines().into_iter().find(|line| line["reason"] == reason)
    });
    assert_eq!(line["status"], status);
    assert!(proxy.metric(&format!("proxy_errors_total{{reason=\"{reason}\"}}")) >= 1.0);
}

#[test]
fn a_head_that_does_not_end_is_answered_408() {
    let (origin, proxy) = world("header_timeout = \"500ms\"");
    let mut client = Client::connect(proxy.address);
    client.write("GET / HTTP/1.1\r\nHost: a.test\r\nX-Slow: ");
    assert_refused(&proxy, &mut client, 408, "request_timeout");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn the_head_of_a_second_request_has_a_deadline_too() {
    let (_origin, proxy) = world("header_timeout = \"500ms\"");
    let mut client = Client::connect(proxy.address);
    client.write(GET);
    assert_eq!(client.answer("GET").text(), "ok");
    client.write("G");
    assert_refused(&proxy, &mut client, 408, "request_timeout");
}

#[test]
fn a_connection_that_sends_nothing_is_closed() {
    let (_origin, proxy) = world("header_timeout = \"300ms\"");
    assert!(Client::connect(proxy.address).is_closed());
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let (_origin, proxy) = world("idle_timeout = \"500ms\"");
    let mut client = Client::connect(proxy.address);
    client.write(GET);
    assert_eq!(client.answer("GET").text(), "ok");
    assert!(client.is_closed());

    let slow = Origin::start(|exchange| {
        if exchange.request().is_some() {
            eventually("the time to pass", {
                let start = std::time::Instant::now();
                move || (start.elapsed().as_millis() > 1200).then_some(())
            });
            exchange.write(ANSWER);
        }
    });
    let timeouts = "header_timeout = \"300ms\"\nidle_timeout = \"300ms\"\nbody_timeout = \"300ms\"";
    let proxy = Proxy::start(&format!("[server]\n{timeouts}\n{}", slow.config()));
    assert_eq!(proxy.get("/slow").send().text(), "ok");
}

#[test]
fn a_body_that_does_not_come_is_answered_408_and_lets_the_origin_go() {
    let (origin, proxy) = world("body_timeout = \"500ms\"");
    let mut client = Client::connect(proxy.address);
    client.write("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\npart");
    eventually("the request to arrive", || origin.heads().pop());
    assert_refused(&proxy, &mut client, 408, "request_timeout");
    eventually("the connection to the origin to close", || {
        (proxy.metric("proxy_upstream_connections{state=\"active\"}") == 0.0).then_some(())
    });
}

/// An origin without end, and a proxy in front of it that waits a second for its clients.
fn world_without_end() -> (Origin, Proxy) {
    let endless = Origin::start(|exchange| {
        if exchange.request().is_some() {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while exchange.write([b'x'; 64 << 10]) {}
        }
    });
    let proxy = Proxy::start(&format!("[server]\nwrite_timeout = \"1s\"\n{}", endless.config()));
    (endless, proxy)
}

#[test]
fn a_client_that_reads_slowly_but_steadily_is_served() {
    let (_endless, proxy) = world_without_end();
    let mut client = Client::connect(proxy.address);
    client.write(GET);
    let start = std::time::Instant::now();
    for step in 1..=300 {
        client.stream.read_exact(&mut [0; 4 << 10]).expect("more comes");
        eventually("the time to pass", || (start.elapsed().as_millis() > step * 10).then_some(()));
    }
    // More than lies in the buffers of a connection that has been given up.
    let rest = client.stream.read_exact(&mut vec![0; 48 << 20]);
    assert!(rest.is_ok(), "cut although it has read all the time: {rest:?}");
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let (_endless, proxy) = world_without_end();
    let mut client = Client::connect(proxy.address);
    client.write(GET);
    let line = proxy.access_line("/a");
    assert_eq!(line["reason"], "write_timeout");
    let read = client.stream.read_to_end(&mut Vec::new());
    assert!(read.is_ok_and(|read| read < 1_000_000_000));
}

#[test]
fn a_target_and_a_head_that_are_too_large_are_refused() {
    let (origin, proxy) = world("max_uri = \"100B\"\nmax_header_bytes = \"400B\"\nmax_headers = 5");
    for (head, status, reason) in [
        (format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(100)), 414, "uri_too_long"),
        (format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(400)), 431, "headers_too_large"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(6)), 431, "headers_too_large"),
        // The client need not end it to be refused.
        (format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(400)), 431, "headers_too_large"),
    ] {
        let mut client = Client::connect(proxy.address);
        client.write(&head);
        assert_refused(&proxy, &mut client, status, reason);
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_bare_line_feed_is_refused() {
    let (origin, proxy) = world("");
    for head in
        ["GET / HTTP/1.1\nHost: a.test\n\n", "GET / HTTP/1.1\r\nHost: a.test\r\nX: y\nZ: 1\r\n\r\n"]
    {
        let mut client = Client::connect(proxy.address);
        client.write(head);
        assert_refused(&proxy, &mut client, 400, "bad_request");
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_request_behind_the_last_one_is_not_served() {
    let (origin, proxy) = world("");
    let mut client = Client::connect(proxy.address);
    let last = "GET /1 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    client.write(format!("{last}GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    assert_eq!(client.answer("GET").text(), "ok");
    assert!(client.is_closed());
    let lines: Vec<String> = origin.heads().into_iter().map(|head| head.line).collect();
    assert_eq!(lines, ["GET /1 HTTP/1.1"]);
}

#[test]
fn a_chunk_that_is_none_is_answered_400_whenever_it_comes() {
    let (_origin, proxy) = world("");
    let mut client = Client::connect(proxy.address);
    client
        .write("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n");
    assert_refused(&proxy, &mut client, 400, "bad_request");
}

#[test]
fn many_requests_sent_at_once_are_answered_in_order() {
    let origin = Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            let body = head.line.split(' ').nth(1).expect("has a target").to_owned();
            exchange
                .write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    let request = |number: usize| format!("GET /{number} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    // More than may be held back: the rest waits in the sockets.
    let mut writer = client.stream.get_ref().try_clone().expect("can be cloned");
    let all: String = (0..2000).map(request).collect();
    let writing =
        std::thread::spawn(move || std::io::Write::write_all(&mut writer, all.as_bytes()));
    for number in 0..2000 {
        assert_eq!(client.answer("GET").text(), format!("/{number}"));
    }
    writing.join().expect("the writer ends").expect("all is taken");
}

#[test]
fn a_body_that_stops_while_its_answer_streams_has_a_deadline_too() {
    let origin = Origin::start(|exchange| {
        if exchange.request().is_some() {
            exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n");
            exchange.wait_for_close();
        }
    });
    let timeouts = "body_timeout = \"500ms\"\nidle_timeout = \"500ms\"";
    let proxy = Proxy::start(&format!("[server]\n{timeouts}\n{}", origin.config()));
    let mut client = Client::connect(proxy.address);
    client.write("POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\npart");
    let (line, _) = client.head();
    assert_eq!(line, "HTTP/1.1 200 OK");
    assert_eq!(client.chunk().as_deref(), Some(&b"early"[..]));
    // The origin gets no more than what came, and learns that nothing more will.
    eventually("the exchange to end", || {
        (proxy.metric("proxy_upstream_connections{state=\"active\"}") == 0.0).then_some(())
    });
}
