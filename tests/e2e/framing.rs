//! Answers framed in every way HTTP/1 allows arrive as what they are: interim ones are skipped,
//! bodies that end with the connection are whole, trailers go.

use crate::support::{Answer, Client, Origin, Proxy};

/// Sends `GET /special`, to which the origin sends `special`, and then `GET /next`. The answer to
/// the first; the second must get its own answer over the same upstream connection.
fn with_a_request_behind(special: String) -> Answer {
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            let own = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext";
            exchange.write(if head.line.contains("/special") { &special } else { own });
        }
    });
    let proxy = Proxy::start(&origin.config());

    let answer = proxy.get("/special").send();
    let next = proxy.get("/next").send();

    assert_eq!((next.status, next.text().as_str()), (200, "next"));
    assert_eq!(origin.connections(), 1);
    answer
}

/// An origin that answers once and closes.
fn closing_origin(answer: &'static str) -> Origin {
    Origin::start(move |exchange| {
        if exchange.request().is_some() {
            exchange.write(answer);
            exchange.close();
        }
    })
}

/// Sends an HTTP/1.0 request and reads everything up to the end of the connection.
fn answer_to_1_0(origin: &Origin, fields: &str) -> (Answer, bool) {
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    client.write(format!("GET / HTTP/1.0\r\nHost: a.test\r\n{fields}\r\n"));
    let answer = client.answer("GET");
    let is_closed = client.is_closed();
    (answer, is_closed)
}

const FINAL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal";

#[test]
fn early_hints_are_skipped() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";

    let answer = with_a_request_behind(format!("{hints}{FINAL}"));

    assert_eq!((answer.status, answer.text().as_str()), (200, "final"));
    assert_eq!(answer.header("link"), None);
}

#[test]
fn an_unasked_continue_is_skipped() {
    let answer = with_a_request_behind(format!("HTTP/1.1 100 Continue\r\n\r\n{FINAL}"));

    assert_eq!((answer.status, answer.text().as_str()), (200, "final"));
}

#[test]
fn several_interim_answers_are_skipped() {
    let interim =
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n";

    let answer = with_a_request_behind(format!("{}{FINAL}", interim.repeat(4)));

    assert_eq!((answer.status, answer.text().as_str()), (200, "final"));
}

#[test]
fn interim_answers_without_end_are_a_bad_gateway() {
    let origin = Origin::start(|exchange| {
        if exchange.request().is_some() {
            while exchange.write("HTTP/1.1 100 Continue\r\n\r\n") {}
        }
    });
    let proxy = Proxy::start(&origin.config());

    let answer = proxy.get("/").send();

    assert_eq!(answer.status, 502);
    let why = "proxy; error=http_protocol_error; details=\"upstream_protocol\"";
    assert_eq!(answer.header("proxy-status"), Some(why));
}

#[test]
fn a_body_that_ends_with_the_connection_arrives_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nto the end",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end",
        "HTTP/1.0 200 OK\r\n\r\nto the end",
        "HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nto the end",
    ] {
        let origin = closing_origin(answer);
        let proxy = Proxy::start(&origin.config());
        let mut client = Client::connect(proxy.address);

        let answers = [(); 2].map(|()| proxy.get("/").send_on(&mut client));

        for answer in answers {
            assert_eq!((answer.text().as_str(), answer.is_whole), ("to the end", true));
            assert_eq!(answer.status_line, "HTTP/1.1 200 OK");
        }
        assert_eq!(origin.connections(), 2);
    }
}

#[test]
fn a_client_of_http_1_0_gets_a_body_of_unknown_length_without_chunks() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\nto the end",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nto the end\r\n0\r\n\r\n",
    ] {
        for fields in ["", "Connection: keep-alive\r\n"] {
            let (answer, is_closed) = answer_to_1_0(&closing_origin(answer), fields);

            assert_eq!(answer.header("transfer-encoding"), None);
            assert_eq!((answer.text().as_str(), answer.is_whole), ("to the end", true));
            assert!(is_closed);
        }
    }
}

#[test]
fn a_client_of_http_1_0_gets_a_body_of_known_length_and_the_close() {
    let (answer, is_closed) = answer_to_1_0(&closing_origin(FINAL), "");

    assert_eq!(answer.headers("content-length"), ["5"]);
    assert_eq!((answer.text().as_str(), answer.is_whole), ("final", true));
    assert!(is_closed);
}

#[test]
fn a_client_of_http_1_0_may_keep_its_connection() {
    let origin = Origin::answering(FINAL);
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    let answers = [(); 2].map(|()| {
        client.write("GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
        client.answer("GET")
    });

    for answer in answers {
        assert_eq!((answer.text().as_str(), answer.is_whole), ("final", true));
    }
}

#[test]
fn a_body_without_a_byte_that_ends_with_the_connection_is_empty() {
    let origin = closing_origin("HTTP/1.1 200 OK\r\n\r\n");
    let proxy = Proxy::start(&origin.config());

    let answer = proxy.get("/").send();

    assert_eq!((answer.text().as_str(), answer.is_whole), ("", true));
}

#[test]
fn an_encoded_body_passes_untouched() {
    // Looks like gzip and is not: whoever decodes it fails.
    let body = b"\x1f\x8b\x08\x00 not really\x00\xff";
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let origin = Origin::answering([head.as_bytes(), body].concat());
    let proxy = Proxy::start(&origin.config());

    let answer = proxy.get("/").header("Accept-Encoding", "gzip").send();

    assert_eq!(answer.headers("content-encoding"), ["gzip"]);
    assert_eq!(answer.body, body);
    assert_eq!(origin.last_head().headers("accept-encoding"), ["gzip"]);
}

#[test]
fn a_body_of_one_byte_chunks_arrives_whole() {
    let letters: String = ('a'..='z').cycle().take(3000).collect();
    let chunk = |letter: char| format!("1\r\n{letter}\r\n");
    let chunks: String = letters.chars().map(chunk).collect();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    let answer = with_a_request_behind(format!("{head}{chunks}0\r\n\r\n"));

    assert_eq!((answer.text(), answer.is_whole), (letters, true));
}

#[test]
fn an_answer_that_comes_byte_by_byte_arrives_whole() {
    let origin = Origin::start(|exchange| {
        while exchange.request().is_some() {
            let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\
                          Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n";
            answer.bytes().all(|byte| exchange.write([byte]));
        }
    });
    let proxy = Proxy::start(&origin.config());

    let answers = [(); 2].map(|()| proxy.get("/").send());

    for answer in answers {
        assert_eq!((answer.text().as_str(), answer.is_whole), ("abc", true));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn trailers_are_dropped() {
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                  4\r\nbody\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n";

    let answer = with_a_request_behind(chunks.to_owned());

    assert_eq!((answer.text().as_str(), answer.is_whole), ("body", true));
    assert_eq!((answer.header("x-sum"), answer.header("trailer")), (None, None));
}

#[test]
fn an_answer_gets_no_field_but_the_request_id_and_a_date() {
    let answer = with_a_request_behind(FINAL.to_owned());

    let mut names: Vec<&str> = answer.fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    // A date is to be added where the origin sent none (RFC 9110 section 6.6.1).
    assert_eq!(names, ["content-length", "date", "x-request-id"]);
}
