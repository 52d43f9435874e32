//! Answers that break their own framing: a cut body never looks complete, a byte too many never
//! becomes part of another answer, and a head that two readers could understand differently is
//! refused.

use std::sync::{Mutex, mpsc};

use crate::support::{Answer, Client, Origin, PATIENCE, Proxy};

const UPSTREAM_PROTOCOL: &str = "proxy; error=http_protocol_error; details=\"upstream_protocol\"";

/// The start of a body of which more was promised, in every way to promise it.
const CUT: [&str; 5] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun",
    "HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nbegun",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nbegun",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n0\r\n",
];

/// Sends `request` to an origin that sends `begun` and closes, and reads the answer. The origin
/// waits with the close until the client has seen the head, if `patiently`.
fn cut_answer(begun: &'static str, request: &str, patiently: bool) -> Answer {
    let (seen, is_seen) = mpsc::channel();
    let is_seen = Mutex::new(is_seen);
    let origin = Origin::start(move |exchange| {
        if exchange.request().is_some() {
            exchange.write(begun);
            if patiently {
                let _ = is_seen.lock().expect("one connection").recv_timeout(PATIENCE);
            }
            exchange.close();
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    client.write(request);
    if patiently {
        let mut buffered = [0; 17];
        client.stream.get_ref().peek(&mut buffered).expect("the answer begins");
        seen.send(()).expect("the origin waits");
    }
    client.answer("GET")
}

#[test]
fn a_body_that_is_cut_is_cut_for_the_client_too() {
    for begun in CUT {
        let answer = cut_answer(begun, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", true);

        assert_eq!((answer.status, answer.is_whole), (200, false), "{begun:?}");
    }
}

#[test]
fn what_came_before_a_cut_arrives() {
    for begun in CUT {
        let answer = cut_answer(begun, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", false);

        assert_eq!((answer.text().as_str(), answer.is_whole), ("begun", false), "{begun:?}");
    }
}

#[test]
fn a_cut_body_does_not_look_complete_to_a_client_of_http_1_0() {
    // Without chunks the end of the connection is the end of the body: only a reset tells.
    for begun in &CUT[2..] {
        let answer = cut_answer(begun, "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n", true);

        assert_eq!((answer.status, answer.is_whole), (200, false), "{begun:?}");
    }
}

#[test]
fn a_body_with_a_broken_chunk_is_cut_for_the_client_too() {
    for chunk in
        ["xyz\r\n", "5\r\nmore than five\r\n", "-1\r\n", "5 5\r\n", "ffffffffffffffffff\r\n"]
    {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n";
        let origin = Origin::answering(format!("{head}{chunk}0\r\n\r\n"));
        let proxy = Proxy::start(&origin.config());
        let mut client = Client::connect(proxy.address);

        client.write(proxy.get("/").bytes());
        let mut received = Vec::new();
        let ended = std::io::Read::read_to_end(&mut client.stream, &mut received);

        assert!(ended.is_ok() || !received.is_empty(), "{chunk:?}");
        assert!(!received.ends_with(b"0\r\n\r\n"), "{chunk:?} passed as whole");
        assert_eq!(proxy.access_line("/")["reason"], "upstream_protocol", "{chunk:?}");
    }
}

/// Sends `method /`, to which the origin sends `answer` with too much behind it, and then
/// `GET /next` from another client. The second must get its own answer over a fresh connection.
fn assert_left_over_bytes_stay_away(method: &str, answer: &'static str) {
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            let own = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext";
            exchange.write(if head.line.contains("/next") { own } else { answer });
        }
    });
    let proxy = Proxy::start(&origin.config());

    let first = proxy.request(method, "/").send();
    let next = proxy.get("/next").send();

    assert!(first.is_whole && first.status < 400, "{method} {answer:?}");
    assert_eq!((next.status, next.text().as_str()), (200, "next"), "{method} {answer:?}");
    assert_eq!(origin.connections(), 2, "{method} {answer:?}");
}

#[test]
fn bytes_behind_an_answer_never_become_another_answer() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let behind = |answer: &str| -> &'static str { format!("{answer}{evil}").leak() };
    for (method, answer) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
    ] {
        assert_left_over_bytes_stay_away(method, behind(answer));
    }
}

#[test]
fn a_body_where_none_may_be_never_becomes_another_answer() {
    for (method, answer) in [
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nbody"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"),
    ] {
        assert_left_over_bytes_stay_away(method, answer);
    }
}

#[test]
fn bytes_that_come_while_nobody_asks_never_become_an_answer() {
    let (go, asked) = mpsc::channel();
    let (done, is_written) = mpsc::channel();
    let asked = Mutex::new(asked);
    let origin = Origin::start(move |exchange| {
        while exchange.request().is_some() {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            if exchange.connection == 0 {
                let _ = asked.lock().expect("one connection").recv_timeout(PATIENCE);
                exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
                let _ = done.send(());
            }
        }
    });
    let proxy = Proxy::start(&origin.config());

    let first = proxy.get("/").send();
    go.send(()).expect("the origin waits");
    is_written.recv_timeout(PATIENCE).expect("the origin writes");
    let next = proxy.get("/").send();

    assert_eq!((first.text().as_str(), next.text().as_str()), ("ok", "ok"));
    assert_eq!(origin.connections(), 2);
}

#[test]
fn no_content_with_a_length_does_not_hang() {
    for (answer, status) in [
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304),
    ] {
        let origin = Origin::answering(answer);
        let proxy = Proxy::start(&origin.config());
        let mut client = Client::connect(proxy.address);

        let answers = [(); 2].map(|()| proxy.get("/").send_on(&mut client).status);

        assert_eq!(answers, [status; 2]);
    }
}

#[test]
fn a_head_that_is_ambiguous_or_no_http_is_a_bad_gateway() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello",
        "HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/3.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: nul\0\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\nok",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\x15\x03\x01\x00\x02\x02\x28",
        "garbage\r\n\r\n",
    ] {
        let origin = Origin::answering(head);
        let proxy = Proxy::start(&origin.config());

        let answer = proxy.get("/").send();

        assert_eq!(answer.status, 502, "{head:?}");
        assert_eq!(answer.text(), r#"{"message": "Bad gateway"}"#, "{head:?}");
        assert_eq!(answer.header("proxy-status"), Some(UPSTREAM_PROTOCOL), "{head:?}");
    }
}

#[test]
fn a_head_larger_than_its_bound_is_a_bad_gateway() {
    let bound = "max_response_header_bytes = \"4KiB\"\n";
    for (length, status) in [(3900, 200), (4100, 502), (1_000_000, 502)] {
        let field = "x".repeat(length);
        let origin = Origin::answering(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {field}\r\n\r\n"
        ));
        let proxy = Proxy::start(&format!("{}{bound}", origin.config()));

        let answer = proxy.get("/").send();

        assert_eq!(answer.status, status, "a field of {length} bytes");
    }
}
