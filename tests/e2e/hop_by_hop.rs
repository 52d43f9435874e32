//! Fields that belong to one connection stay on it, in both directions; what belongs to the
//! message passes untouched, duplicates in their order, and nothing is added that nobody asked for.

use crate::support::{Answer, Client, Head, Origin, Proxy};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the upstream gets when the client sends these fields.
fn received(fields: &[(&str, &str)]) -> Head {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());
    let request =
        fields.iter().fold(proxy.get("/"), |request, (name, value)| request.header(name, value));
    assert_eq!(request.send().status, 200);
    origin.last_head()
}

/// What the client gets when the upstream answers these bytes.
fn answered(answer: &str) -> Answer {
    let origin = Origin::answering(answer);
    Proxy::start(&origin.config()).get("/").send()
}

fn names(fields: &[(String, String)]) -> Vec<String> {
    let mut names: Vec<String> = fields.iter().map(|(name, _)| name.to_lowercase()).collect();
    names.sort_unstable();
    names
}

#[test]
fn hop_by_hop_fields_of_a_request_stay_behind() {
    let head = received(&[
        ("Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("TE", "trailers"),
        ("Trailer", "X-Sum"),
        ("Upgrade", "h2c"),
        ("X-Mine", "stays"),
    ]);
    let expected = [
        "cdn-loop",
        "host",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-mine",
        "x-request-id",
    ];
    assert_eq!(names(&head.fields), expected);
}

#[test]
fn fields_that_connection_names_stay_behind() {
    let head = received(&[
        ("Connection", "x-hop, close,, X-HOP-2"),
        ("Connection", "x-hop-3"),
        ("X-Hop", "1"),
        ("X-Hop-2", "2"),
        ("x-hop-3", "3"),
        ("X-Hop-4", "4"),
    ]);
    for name in ["connection", "x-hop", "x-hop-2", "x-hop-3"] {
        assert_eq!(head.header(name), None, "{name}");
    }
    assert_eq!(head.header("x-hop-4"), Some("4"));
}

/// CVE-2022-31813: what the upstream decides by must not be strippable by whom it decides about.
#[test]
fn connection_cannot_take_away_what_the_upstream_relies_on() {
    let head = received(&[
        (
            "Connection",
            "Authorization, Cookie, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, \
             X-Request-ID, Host, Content-Type",
        ),
        ("Authorization", "Bearer abc"),
        ("Cookie", "sid=1"),
        ("Content-Type", "text/plain"),
        ("X-Request-ID", "request-1"),
    ]);
    for (name, value) in [
        ("authorization", "Bearer abc"),
        ("cookie", "sid=1"),
        ("content-type", "text/plain"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-request-id", "request-1"),
    ] {
        assert_eq!(head.headers(name), [value], "{name}");
    }
    assert!(head.header("x-forwarded-host").is_some() && head.header("host").is_some());
}

#[test]
fn hop_by_hop_fields_of_an_answer_stay_behind() {
    let answer = answered(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop, keep-alive\r\n\
         Connection: x-hop-2\r\nX-Hop: 1\r\nX-Hop-2: 2\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n\
         Trailer: X-Sum\r\nUpgrade: h2c\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
         X-Mine: stays\r\n\r\nok",
    );
    assert_eq!(names(&answer.fields), ["content-length", "date", "x-mine", "x-request-id"]);
    assert_eq!(answer.text(), "ok");
}

#[test]
fn an_answer_cannot_take_away_cookies_by_naming_them() {
    let answer = answered(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Set-Cookie, Content-Type\r\n\
         Set-Cookie: a=1\r\nContent-Type: text/plain\r\n\r\nok",
    );
    assert_eq!(answer.headers("set-cookie"), ["a=1"]);
    assert_eq!(answer.headers("content-type"), ["text/plain"]);
}

#[test]
fn an_answers_fields_pass_untouched_and_two_cookies_stay_two() {
    let answer = answered(
        "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: mine/1.0\r\n\
         Set-Cookie: a=1; Path=/\r\nVary: accept\r\nSet-Cookie: b=2, c=3\r\nVary: x-env\r\n\
         Content-Encoding: gzip\r\nETag: \"x\"\r\nContent-Length: 2\r\n\r\nok",
    );
    for (name, values) in [
        ("set-cookie", &["a=1; Path=/", "b=2, c=3"][..]),
        ("vary", &["accept", "x-env"]),
        ("date", &["Mon, 01 Jan 2024 00:00:00 GMT"]),
        ("server", &["mine/1.0"]),
        ("content-encoding", &["gzip"]),
        ("etag", &["\"x\""]),
        ("content-length", &["2"]),
    ] {
        assert_eq!(answer.headers(name), values, "{name}");
    }
    // Not gzip at all: a proxy that looked into the body would stumble here.
    assert_eq!(answer.text(), "ok");
}

#[test]
fn fields_of_a_request_pass_untouched_and_in_their_order() {
    let head = received(&[
        ("X-List", "one"),
        ("Cookie", "a=1"),
        ("X-List", "two, three"),
        ("Cookie", "b=2"),
        ("X-List", ""),
        ("X-List", "one"),
        ("Accept-Encoding", "br;q=1.0, gzip"),
        ("X-Bytes", "caf\u{e9} \"quoted\"  two spaces"),
    ]);
    assert_eq!(head.headers("x-list"), ["one", "two, three", "", "one"]);
    assert_eq!(head.headers("cookie"), ["a=1", "b=2"]);
    assert_eq!(head.headers("accept-encoding"), ["br;q=1.0, gzip"]);
    assert_eq!(head.headers("x-bytes"), ["caf\u{e9} \"quoted\"  two spaces"]);
}

#[test]
fn nothing_is_added_to_a_request_without_a_body() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let proxy = Proxy::start(&origin.config());
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        proxy.request(method, "/").send();
        let expected = [
            "cdn-loop",
            "host",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-request-id",
        ];
        assert_eq!(names(&origin.last_head().fields), expected, "{method}");
    }
}

#[test]
fn the_length_of_a_body_passes_as_it_was_told() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());
    proxy.request("POST", "/").body("").send();
    assert_eq!(origin.last_head().headers("content-length"), ["0"]);
    proxy.request("POST", "/").body("abc").send();
    assert_eq!(origin.last_head().headers("content-length"), ["3"]);
    let mut client = Client::connect(proxy.address);
    client.write(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    );
    assert_eq!(client.answer("POST").status, 200);
    assert_eq!(origin.last_head().headers("transfer-encoding"), ["chunked"]);
    assert_eq!(origin.last_head().header("content-length"), None);
}

#[test]
fn an_answer_to_head_keeps_its_length_and_gets_none_if_it_had_none() {
    for (length, expected) in [("Content-Length: 12345\r\n", Some("12345")), ("", None)] {
        let origin = Origin::answering(format!("HTTP/1.1 200 OK\r\n{length}\r\n"));
        let answer = Proxy::start(&origin.config()).request("HEAD", "/").send();
        assert_eq!((answer.status, answer.header("content-length")), (200, expected));
    }
}

#[test]
fn expect_is_answered_by_the_proxy_and_not_forwarded() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.head().0, "HTTP/1.1 100 Continue");
    client.write("abc");
    assert_eq!(client.answer("POST").text(), "ok");
    assert_eq!(origin.last_head().header("expect"), None);
}
