//! Answers over HTTP/2: what a client gets of what an origin says over HTTP/1, and of the proxy's
//! own refusals.

use std::sync::mpsc;

use crate::support::{
    ClosedPort, Origin, PATIENCE, Proxy, eventually,
    http2::{Fields, Http2, Reply, frame},
};

/// What the client gets when the origin answers these bytes to this method.
fn answered(method: &str, answer: &str) -> Reply {
    let origin = Origin::answering(answer);
    let proxy = Proxy::start(&origin.config());
    Http2::connect(proxy.address).ask(&Fields::new(method, "/"))
}

fn names(reply: &Reply) -> Vec<&str> {
    let mut names: Vec<&str> = reply.fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn fields_of_the_connection_stay_behind_and_all_others_pass_in_lower_case() {
    let reply = answered(
        "GET",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\n\
         Proxy-Authenticate: Basic\r\nTE: trailers\r\nTrailer: X-Sum\r\n\
         Date: Mon, 01 Jan 2024 00:00:00 GMT\r\nX-Mixed-Case: Stays\r\n\
         Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nVary: a\r\nVary: b\r\n\r\nok",
    );
    assert_eq!((reply.status, reply.text().as_str(), reply.is_whole), (200, "ok", true));
    let expected = [
        "content-length",
        "date",
        "set-cookie",
        "set-cookie",
        "vary",
        "vary",
        "x-mixed-case",
        "x-request-id",
    ];
    assert_eq!(names(&reply), expected);
    assert_eq!(reply.headers("set-cookie"), ["a=1; Path=/", "b=2"]);
    assert_eq!(reply.headers("vary"), ["a", "b"]);
    assert_eq!(reply.headers("x-mixed-case"), ["Stays"]);
    assert_eq!(reply.headers("content-length"), ["2"]);
    assert_eq!(reply.interim, Vec::<u16>::new());
}

#[test]
fn every_way_to_end_a_body_ends_the_stream() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n2\r\nle\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\nX-Sum: 1\r\n\r\n",
    ] {
        let reply = answered("GET", answer);
        assert_eq!((reply.text().as_str(), reply.is_whole), ("whole", true), "{answer:?}");
        assert_eq!(reply.header("content-length").is_some(), answer.contains("Length"));
        assert_eq!(reply.reset, None);
    }
    for version in ["1.0", "1.1"] {
        let origin = Origin::start(move |exchange| {
            exchange.request();
            exchange.write(format!("HTTP/{version} 200 OK\r\n\r\nwhole"));
        });
        let proxy = Proxy::start(&origin.config());
        let reply = Http2::connect(proxy.address).ask(&Fields::get("/"));
        assert_eq!((reply.text().as_str(), reply.is_whole), ("whole", true), "{version}");
    }
}

#[test]
fn an_empty_body_is_empty() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let reply = answered("GET", answer);
        assert_eq!((reply.status, reply.body.len(), reply.is_whole), (200, 0, true), "{answer:?}");
    }
}

#[test]
fn an_answer_to_head_has_the_length_and_no_body() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX: y\r\n\r\n");
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    for _ in 0..2 {
        let reply = client.ask(&Fields::new("HEAD", "/"));
        assert_eq!((reply.status, reply.body.len(), reply.is_whole), (200, 0, true));
        assert_eq!((reply.headers("content-length"), reply.header("x")), (vec!["1234"], Some("y")));
    }
    assert_eq!(origin.heads().len(), 2);
}

#[test]
fn a_refusal_of_head_has_no_body() {
    let proxy = Proxy::start("");
    let reply = Http2::connect(proxy.address).ask(&Fields::new("HEAD", "/nowhere"));
    assert_eq!((reply.status, reply.body.len(), reply.is_whole), (404, 0, true));
    assert_eq!(reply.reason(), Some("no_route"));
}

#[test]
fn statuses_without_a_body_end_with_their_fields() {
    for (status, given) in [(204, ""), (304, ""), (304, "Content-Length: 7\r\n")] {
        let answer = format!("HTTP/1.1 {status} Word\r\nETag: \"x\"\r\n{given}\r\n");
        let reply = answered("GET", &answer);
        assert_eq!((reply.status, reply.body.len(), reply.is_whole), (status, 0, true), "{given}");
        assert_eq!(reply.headers("etag"), ["\"x\""]);
    }
}

/// The stream must not end with a DATA frame where the head can end it.
#[test]
fn an_answer_without_a_body_is_one_frame() {
    let origin = Origin::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let stream = client.send(&Fields::get("/"));
    loop {
        let next = client.read_on("the answer");
        assert_ne!(next.kind, frame::DATA);
        if next.kind == frame::HEADERS {
            assert!(next.has(frame::END_STREAM), "{next:?}");
            break;
        }
    }
    assert_eq!(client.reply(stream).status, 204);
}

#[test]
fn interim_answers_of_the_origin_are_not_the_answer() {
    let reply = answered(
        "GET",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
    assert_eq!(reply.header("link"), None);
}

#[test]
fn refusals_say_why_as_over_http_1() {
    let (closed, mute) = (ClosedPort::reserve(), Origin::answering("no HTTP at all\r\n\r\n"));
    let routes = format!(
        "[[routes]]\npath = \"/dead\"\nservice = \"dead\"\n\
         [[routes]]\npath = \"/mute\"\nservice = \"mute\"\n\
         [[routes]]\npath = \"/get\"\nmethods = [\"GET\"]\nservice = \"dead\"\n\
         [services.dead]\nendpoints = [\"http://{}\"]\n[services.mute]\nendpoints = [\"http://{}\"]\n",
        closed.address, mute.address
    );
    let proxy = Proxy::start(&routes);
    let mut client = Http2::connect(proxy.address);
    for (method, path, status, reason, body) in [
        ("GET", "/nowhere", 404, "no_route", r#"{"message": "Not found"}"#),
        ("PUT", "/get", 405, "method_not_allowed", r#"{"message": "Method not allowed"}"#),
        ("GET", "/dead", 502, "connection_refused", r#"{"message": "Bad gateway"}"#),
        ("GET", "/mute", 502, "upstream_protocol", r#"{"message": "Bad gateway"}"#),
    ] {
        let reply = client.ask(&Fields::new(method, path));
        assert_eq!(
            (reply.status, reply.reason(), reply.text().as_str()),
            (status, Some(reason), body)
        );
        assert_eq!(reply.headers("content-type"), ["application/json"], "{path}");
        assert_eq!(reply.headers("x-request-id").len(), 1, "{path}");
        let line = proxy.access_line(path);
        assert_eq!((&line["status"], &line["reason"]), (&status.into(), &reason.into()));
    }
    assert_eq!(client.goaway(), None, "a refusal is no matter of the connection");
}

#[test]
fn an_upstream_that_stays_silent_is_504() {
    let origin = Origin::start(|exchange| {
        exchange.request();
        exchange.wait_for_close();
    });
    let proxy =
        Proxy::start(&format!("{}timeouts = {{ response = \"200ms\" }}\n", origin.config()));
    let reply = Http2::connect(proxy.address).ask(&Fields::get("/"));
    assert_eq!((reply.status, reply.reason()), (504, Some("response_timeout")));
}

/// The start of a body of which more was promised, in every way to promise it.
const CUT: [&str; 4] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nbegun",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\nno size\r\n",
];

/// RFC 9113 section 8.1: an intermediary must not let a cut body look complete.
#[test]
fn a_body_that_is_cut_resets_the_stream_and_no_other() {
    for begun in CUT {
        let (go, asked) = mpsc::channel::<()>();
        let asked = std::sync::Mutex::new(asked);
        let origin = Origin::start(move |exchange| {
            while let Some(head) = exchange.request() {
                if head.line.contains("/cut") {
                    exchange.write(begun);
                    let _ = asked.lock().expect("one request").recv_timeout(PATIENCE);
                    return;
                }
                exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        let proxy = Proxy::start(&origin.config());
        let mut client = Http2::connect(proxy.address);
        let stream = client.send(&Fields::get("/cut"));
        client.until(stream, |reply| reply.body.len() == 5 || reply.has_ended());
        go.send(()).expect("the origin waits");
        let reply = client.reply(stream);
        assert!(!reply.is_whole, "{begun:?} looks complete");
        // What is broken from the start may be noticed before anything is sent.
        let is_sent = (reply.status, &reply.body[..]) == (200, b"begun");
        assert!(is_sent || begun.contains("no size"), "{begun:?}");
        assert_eq!(reply.reset, Some(frame::INTERNAL_ERROR), "{begun:?}");
        assert_eq!(client.ask(&Fields::get("/next")).text(), "ok", "behind {begun:?}");
        let line = proxy.access_line("/cut");
        assert!(line["reason"].is_string(), "{line}");
        proxy.wait_for_metric("proxy_http2_resets_total{by=\"proxy\"}", 1.0);
    }
}

#[test]
fn a_body_that_stalls_is_cut_by_its_deadline() {
    let origin = Origin::start(|exchange| {
        exchange.request();
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun");
        exchange.wait_for_close();
    });
    let proxy = Proxy::start(&format!("{}timeouts = {{ idle = \"300ms\" }}\n", origin.config()));
    let reply = Http2::connect(proxy.address).ask(&Fields::get("/stall"));
    assert_eq!((reply.is_whole, reply.reset), (false, Some(frame::INTERNAL_ERROR)));
    assert_eq!(proxy.access_line("/stall")["reason"], "idle_timeout");
}

/// A field of the origin's that is longer than a frame.
#[test]
fn a_head_longer_than_a_frame_arrives_in_pieces() {
    let long: Vec<String> =
        (0..5).map(|n| format!("X-{n}: {}\r\n", "v".repeat(8000 + n))).collect();
    let answer = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 2\r\n\r\nok", long.concat());
    let reply = answered("GET", &answer);
    assert_eq!(reply.text(), "ok");
    for n in 0..5 {
        assert_eq!(reply.header(&format!("x-{n}")).map(str::len), Some(8000 + n));
    }
}

/// Bytes that are no ASCII, and white space around a value, which HTTP/1 allows and HTTP/2 does
/// not: the client of these tests refuses the latter.
#[test]
fn values_arrive_as_they_are() {
    let reply = answered(
        "GET",
        "HTTP/1.1 200 OK\r\nX-Latin: caf\u{e9}\r\nX-Space: \t a  b \t \r\nX-None:\r\n\
         Content-Length: 0\r\n\r\n",
    );
    let latin = reply.header("x-latin").map(|value| value.chars().count());
    assert_eq!(latin, Some("caf\u{e9}".len()));
    assert_eq!((reply.header("x-space"), reply.header("x-none")), (Some("a  b"), Some("")));
}

#[test]
fn a_switch_of_protocols_is_none_over_http_2() {
    let origin = Origin::answering(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    let proxy = Proxy::start(&origin.config());
    let reply = Http2::connect(proxy.address).ask(&Fields::get("/switch"));
    assert_eq!((reply.status, reply.reason()), (502, Some("upstream_protocol")));
    eventually("its line", || proxy.access_lines().pop());
}
