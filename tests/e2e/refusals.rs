//! What is refused before it is a request, and what only looks as if it should be: an answer, a
//! line in the log and a number in the metrics for each, and nothing for the origin.

use std::{
    net::Shutdown,
    time::{Duration, Instant},
};

use crate::support::{Client, Origin, Proxy, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn world() -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());
    (origin, proxy)
}

#[test]
fn a_head_that_is_no_http_is_answered_logged_and_counted() {
    let (origin, proxy) = world();
    let heads = [
        "GET / HTTP/2.0\r\nHost: a.test\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX : y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: \0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ];
    for head in heads {
        let mut client = Client::connect(proxy.address);
        client.write(head);
        let answer = client.answer("GET");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (400, "{\"message\": \"Bad request\"}")
        );
        let why = "proxy; error=http_request_error; details=\"bad_request\"";
        assert_eq!(answer.header("proxy-status"), Some(why), "{head:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{head:?}");
        let id = answer.header("x-request-id").expect("has an id").to_owned();
        eventually("its access line", || {
            let lines = proxy.access_lines();
            lines
                .into_iter()
                .find(|line| line["request_id"] == id.as_str() && line["status"] == 400)
        });
    }
    let refused = "proxy_errors_total{reason=\"bad_request\"}";
    proxy.wait_for_metric(refused, f64::from(u8::try_from(heads.len()).expect("are few")));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn more_fields_than_the_bound_are_a_431() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&format!("[server]\nmax_headers = 100\n{}", origin.config()));
    for (fields, status) in [(99, 200), (100, 431)] {
        let mut client = Client::connect(proxy.address);
        let fields = "X: y\r\n".repeat(fields);
        client.write(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"));
        assert_eq!(client.answer("GET").status, status);
    }
}

#[test]
fn connect_and_trace_are_refused_whatever_they_bring() {
    let (origin, proxy) = world();
    for request in [
        "CONNECT a.test:25 HTTP/1.1\r\nHost: a.test:25\r\n\r\n",
        "CONNECT a.test:25 HTTP/1.1\r\nHost: a.test:25\r\nContent-Length: 3\r\n\r\nabc",
        "TRACE / HTTP/1.1\r\nHost: a.test\r\nCookie: secret=1\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc",
    ] {
        let mut client = Client::connect(proxy.address);
        client.write(request);
        let answer = client.answer("GET");
        assert_eq!(answer.status, 405, "{request:?}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        assert!(!answer.text().contains("secret"), "{request:?}");
        // What a client sends behind CONNECT is meant for the tunnel that it hoped for.
        let is_connect = request.starts_with("CONNECT");
        assert_eq!(answer.header("connection").is_some(), is_connect, "{request:?}");
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn an_empty_line_behind_a_body_is_skipped() {
    let (origin, proxy) = world();
    let mut client = Client::connect(proxy.address);
    client.write("POST /post HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc\r\n");
    assert_eq!(client.answer("POST").text(), "ok");
    client.write(GET);
    assert_eq!(client.answer("GET").text(), "ok");
    assert_eq!(origin.last_head().line, "GET /next HTTP/1.1");
}

#[test]
fn an_upgrade_that_nobody_speaks_is_ignored_and_the_close_announced() {
    let (origin, proxy) = world();
    let bare = "GET /bare HTTP/1.1\nHost: a.test\n\n";
    let upgrade = "Connection: Upgrade\r\nUpgrade: h2c\r\n";
    let mut client = Client::connect(proxy.address);
    client.write(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{upgrade}\r\n{bare}"));
    let answer = client.answer("GET");
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("ok", Some("close")));
    assert!(client.is_closed());
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn an_upgrade_that_connection_does_not_name_is_no_upgrade() {
    let (origin, proxy) = world();
    let mut client = Client::connect(proxy.address);
    client.write(format!("GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: h2c\r\n\r\n{GET}"));
    assert_eq!(client.answer("GET").text(), "ok");
    assert_eq!(client.answer("GET").text(), "ok");
    client.write("GET /bare HTTP/1.1\nHost: a.test\n\n");
    assert_eq!(client.answer("GET").status, 400);
    assert_eq!(origin.last_head().line, "GET /next HTTP/1.1");
}

#[test]
fn what_follows_a_request_for_a_websocket_is_no_request() {
    let (origin, proxy) = world();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let mut client = Client::connect(proxy.address);
    client.write(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{upgrade}\r\n{GET}"));
    let answer = client.answer("GET");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(client.is_closed());
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn a_client_that_closes_its_side_before_the_answer_has_left() {
    let origin = Origin::start(|exchange| {
        if exchange.request().is_some() {
            exchange.wait_for_close();
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    client.write(GET);
    eventually("the request to come", || origin.heads().pop());
    client.stream.get_ref().shutdown(Shutdown::Write).expect("is open");
    assert_eq!(proxy.access_line("/next")["reason"], "client_closed");
    assert!(client.is_closed());
}

#[test]
fn a_service_that_does_not_answer_holds_up_no_other() {
    let silent = Origin::start(|exchange| {
        if exchange.request().is_some() {
            exchange.wait_for_close();
        }
    });
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&format!(
        "[[routes]]\npath = \"/silent\"\nservice = \"silent\"\n{}\
         [services.silent]\nendpoints = [\"http://{}\"]\n",
        origin.config(),
        silent.address
    ));
    // awc alone would let no more than 100 through.
    let waiting: Vec<Client> = (0..120)
        .map(|_| {
            let mut client = Client::connect(proxy.address);
            client.write("GET /silent HTTP/1.1\r\nHost: a.test\r\n\r\n");
            client
        })
        .collect();
    eventually("all of them to wait", || (silent.heads().len() == waiting.len()).then_some(()));
    assert_eq!(proxy.get("/").send().text(), "ok");
}

#[test]
fn an_upload_may_take_longer_than_the_answer() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&format!("{}timeouts.response = \"300ms\"\n", origin.config()));
    let mut client = Client::connect(proxy.address);
    client.write("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\n\r\n");
    for piece in ["ab", "cd", "ef"] {
        let start = Instant::now();
        eventually("a while", || (start.elapsed() > Duration::from_millis(250)).then_some(()));
        client.write(piece);
    }
    assert_eq!(client.answer("POST").status, 200);
}

#[test]
fn a_body_that_waits_for_100_goes_up_whatever_the_origin_answers() {
    let early = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            // Answers before it reads, and reads on as if the body were the next request.
            exchange.write(if head.line.starts_with("POST") { early } else { OK });
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    let expect = "Expect: 100-continue\r\nContent-Length: 100000\r\n";
    client.write(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{expect}\r\n"));
    assert_eq!(client.answer("POST").status, 401);
    // What the client has not sent would be the beginning of this on the same connection.
    for _ in 0..3 {
        assert_eq!(proxy.get("/").send().text(), "ok");
    }
    assert!(origin.connections() > 1);
}

#[test]
fn a_redirect_of_the_origin_is_the_clients_to_follow() {
    let moved = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let origin = Origin::answering(moved);
    let proxy = Proxy::start(&origin.config());
    let answer = proxy.get("/").send();
    assert_eq!((answer.status, answer.header("location")), (302, Some("http://127.0.0.1:1/")));
    assert_eq!(origin.heads().len(), 1);
}
