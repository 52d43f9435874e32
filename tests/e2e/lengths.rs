//! How long a body is said to be: a length stays a length, chunks stay chunks, answers without a
//! body have none, and the connections on both sides stay in step.

use crate::support::{Client, Head, Origin, Proxy, Request};

/// An origin that answers with `answer(head)` and keeps the connection.
fn origin(answer: impl Fn(&Head) -> String + Send + Sync + 'static) -> Origin {
    Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            exchange.body(&head);
            exchange.write(answer(&head));
        }
    })
}

/// An answer whose body is the request target.
fn target_of(head: &Head) -> String {
    let target = head.line.split(' ').nth(1).expect("is a request line");
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len())
}

/// An origin that sends `special` to /special and the target to everything else.
fn origin_with(special: &'static str) -> Origin {
    origin(
        move |head| {
            if head.line.contains(" /special ") { special.to_owned() } else { target_of(head) }
        },
    )
}

#[test]
fn a_request_of_known_length_keeps_its_length() {
    let origin = origin(target_of);
    let proxy = Proxy::start(&origin.config());

    proxy.request("POST", "/").body("twelve bytes").send();

    let head = origin.last_head();
    assert_eq!(head.headers("content-length"), ["12"]);
    assert_eq!(head.header("transfer-encoding"), None);
}

#[test]
fn a_request_of_length_zero_keeps_its_length() {
    let origin = origin(target_of);
    let proxy = Proxy::start(&origin.config());

    proxy.request("POST", "/").body("").send();

    let head = origin.last_head();
    assert_eq!(head.headers("content-length"), ["0"]);
    assert_eq!(head.header("transfer-encoding"), None);
}

#[test]
fn a_request_without_body_gets_no_length() {
    let origin = origin(target_of);
    let proxy = Proxy::start(&origin.config());

    proxy.get("/").send();

    let head = origin.last_head();
    assert_eq!(head.header("content-length"), None);
    assert_eq!(head.header("transfer-encoding"), None);
}

#[test]
fn a_chunked_request_stays_chunked() {
    let origin = Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            let body = exchange.body(&head);
            exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            exchange.write(body);
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nfour\r\n5;x=y\r\n five\r\n0\r\n\r\n",
    );
    let answer = client.answer("POST");

    let head = origin.last_head();
    assert_eq!(head.headers("transfer-encoding"), ["chunked"]);
    assert_eq!(head.header("content-length"), None);
    assert_eq!(answer.text(), "four five");
}

#[test]
fn an_answer_of_known_length_keeps_its_length() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let proxy = Proxy::start(&origin.config());

    let answer = proxy.get("/").send();

    assert_eq!(answer.headers("content-length"), ["5"]);
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.text(), "hello");
}

#[test]
fn a_chunked_answer_stays_chunked() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    );
    let proxy = Proxy::start(&origin.config());

    let answer = proxy.get("/").send();

    assert_eq!(answer.headers("transfer-encoding"), ["chunked"]);
    assert_eq!(answer.header("content-length"), None);
    assert_eq!((answer.text().as_str(), answer.is_whole), ("hello", true));
}

/// Sends `method /special` and then `GET /next` over one connection: the answer to the first.
/// The second must get its own answer, over the connection that the origin had already.
fn with_a_request_behind(method: &str, special: &'static str) -> crate::support::Answer {
    let origin = origin_with(special);
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    let answer = proxy.request(method, "/special").send_on(&mut client);
    let next = proxy.get("/next").send_on(&mut client);

    assert_eq!((next.status, next.text().as_str()), (200, "/next"), "after {special:?}");
    assert_eq!(origin.connections(), 1, "after {special:?}");
    answer
}

#[test]
fn an_answer_to_head_keeps_the_length_of_what_get_would_send() {
    let answer = with_a_request_behind("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");

    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers("content-length"), ["5000"]);
}

#[test]
fn an_answer_to_head_without_a_length_gets_none() {
    for special in [
        "HTTP/1.1 200 OK\r\nETag: \"a\"\r\n\r\n",
        "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let answer = with_a_request_behind("HEAD", special);

        assert_eq!((answer.status, answer.header("etag")), (200, Some("\"a\"")));
        assert_eq!(answer.header("content-length"), None, "{special:?}");
    }
}

#[test]
fn no_content_has_no_body_and_no_length() {
    for special in [
        "HTTP/1.1 204 No Content\r\nETag: \"a\"\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nETag: \"a\"\r\nContent-Length: 0\r\n\r\n",
    ] {
        let answer = with_a_request_behind("DELETE", special);

        assert_eq!((answer.status, answer.header("etag")), (204, Some("\"a\"")));
        assert_eq!(answer.header("content-length"), None, "{special:?}");
        assert_eq!(answer.header("transfer-encoding"), None, "{special:?}");
    }
}

#[test]
fn not_modified_has_no_body() {
    let answer = with_a_request_behind("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");

    assert_eq!((answer.status, answer.header("etag")), (304, Some("\"a\"")));
    assert_eq!(answer.header("transfer-encoding"), None);
}

#[test]
fn an_empty_answer_says_so() {
    let answer = with_a_request_behind("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");

    assert_eq!(answer.headers("content-length"), ["0"]);
    assert_eq!((answer.text().as_str(), answer.is_whole), ("", true));
}

#[test]
fn pipelined_requests_get_their_own_answers_in_order() {
    let origin = origin(target_of);
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    let targets: Vec<String> = (0..8).map(|number| format!("/{number}")).collect();

    let requests: Vec<u8> = targets.iter().flat_map(|target| proxy.get(target).bytes()).collect();
    client.write(requests);
    let answers: Vec<String> = targets.iter().map(|_| client.answer("GET").text()).collect();

    assert_eq!(answers, targets);
}

#[test]
fn a_pipelined_body_belongs_to_its_own_request() {
    let origin = Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            let body = exchange.body(&head);
            exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            exchange.write(body);
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    // The bodies look like requests.
    let first = proxy.request("POST", "/1").body("GET /smuggled HTTP/1.1\r\n\r\n").bytes();
    let second = "POST /2 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n\
                  16\r\nGET /evil HTTP/1.1\r\n\r\n\r\n0\r\n\r\n";
    let third = proxy.get("/3").bytes();

    client.write([&first, second.as_bytes(), &third].concat());
    let answers: Vec<String> = (0..3).map(|_| client.answer("POST").text()).collect();

    let bodies = ["GET /smuggled HTTP/1.1\r\n\r\n", "GET /evil HTTP/1.1\r\n\r\n", ""];
    assert_eq!(answers, bodies);
    assert_eq!(origin.heads().len(), 3);
}

#[test]
fn requests_one_after_another_share_a_connection_on_either_side() {
    let origin = origin(target_of);
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    let targets: Vec<String> = (0..20).map(|number| format!("/{number}")).collect();

    let answer = |target: &String| proxy.get(target).send_on(&mut client).text();
    let answers: Vec<String> = targets.iter().map(answer).collect();

    assert_eq!(answers, targets);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_client_that_asks_to_close_gets_its_answer_and_the_close() {
    let origin = origin(target_of);
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    let request = Request::new(proxy.address, "GET", "/last").header("Connection", "close");
    let answer = request.send_on(&mut client);

    assert_eq!(answer.text(), "/last");
    assert!(client.is_closed());
}
