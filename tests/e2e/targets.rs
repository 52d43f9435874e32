//! What real clients write into a request line and a `Host`, and HTTP has a word for: each is served, or
//! refused as what it is.

use crate::support::{
    Client, Origin, Proxy,
    http2::{Fields, World},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Guards `/admin` and `/café` beside an open route for the rest.
const GUARDED: &str = "[auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"secret-token\"]\n\
    [[routes]]\npath = [\"/admin\", \"/admin/{*rest}\", \"/caf%C3%A9\"]\nauth = \"a\"\n\
    service = \"origin\"\n";

fn world(more: &str) -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&format!("{more}{}", origin.config()));
    (origin, proxy)
}

/// The status for a request that begins with these bytes, on a connection of its own.
fn status(proxy: &Proxy, method: &str, start: &[u8]) -> u16 {
    let mut client = Client::connect(proxy.address);
    client.write([start, b"\r\nHost: a.test\r\n\r\n"].concat());
    client.answer(method).status
}

fn get(proxy: &Proxy, target: &[u8]) -> u16 {
    status(proxy, "GET", &[b"GET ", target, b" HTTP/1.1"].concat())
}

#[test]
fn a_target_goes_on_as_it_came_whatever_clients_do_not_encode() {
    let origin = Origin::start(|exchange| {
        let mut buffer = [0; 4096];
        while let read @ 1.. = exchange.read(&mut buffer) {
            let line = buffer[..read].split(|byte| *byte == b'\r').next().unwrap_or_default();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", line.len());
            exchange.write([head.as_bytes(), line].concat());
        }
    });
    let proxy = Proxy::start(&origin.config());
    let echoed = |target: &[u8]| {
        let mut client = Client::connect(proxy.address);
        client.write([b"GET ", target, b" HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat());
        client.answer("GET").body
    };
    for target in [
        &b"/api?query=up{job=\"x\"}"[..],
        b"/api?a=<b>&c=`d`&e=|^[]\\",
        b"/a\"b<c>d`e{f}|g^[h]",
        b"/caf\xc3\xa9?q=\xe2\x82\xac",
        b"/latin\xe9?q=\xff",
        b"/a?b?c=\"",
    ] {
        let line = [b"GET ", target, b" HTTP/1.1"].concat();
        assert_eq!(echoed(target), line, "{}", target.escape_ascii());
    }
    assert_eq!(echoed(b"http://a.test/x<y?\""), b"GET /x<y?\" HTTP/1.1");
    // What is resolved is written as a URI has it; the query is not touched.
    assert_eq!(echoed(b"/x/../<y>?\""), b"GET /%3Cy%3E?\" HTTP/1.1");
    let line = proxy.access_line("/latin%E9");
    assert_eq!(line["status"], 200);
}

#[test]
fn bytes_that_are_not_encoded_evade_no_guard() {
    let (origin, proxy) = world(GUARDED);
    assert_eq!(get(&proxy, b"/caf%C3%A9"), 401);
    for target in [
        &b"/caf\xc3\xa9"[..],
        b"/CAF\xc3\x89",
        b"/\xef\xbd\x81dmin",
        b"/admin\xef\xbc\x8fx",
        b"/\xc0\xafadmin/x",
        b"/adm\xc4\xb1n/x",
        b"/x/\xc0\xae\xc0\xae/admin",
    ] {
        let status = get(&proxy, target);
        assert!([400, 401].contains(&status), "{}: {status}", target.escape_ascii());
    }
    assert_eq!(origin.heads().len(), 0);
    assert_eq!(get(&proxy, b"/th\xc3\xa9"), 200);
}

#[test]
fn what_ends_a_word_or_a_line_is_no_part_of_a_target() {
    let (origin, proxy) = world("");
    for target in
        [&b"/a\x01"[..], b"/a\x7f\"", b"/a\"\0", b"/a\"#b", b"/\xe9#b", b"/a\xe9\t", b"\xe9"]
    {
        assert_eq!(get(&proxy, target), 400, "{}", target.escape_ascii());
    }
    assert_eq!(status(&proxy, "GET", b"GET /\xe9 /b HTTP/1.1"), 400);
    assert_eq!(status(&proxy, "GET", b"G\xe9T /\xe9 HTTP/1.1"), 400);
    let long = [&b"/"[..], &b"<".repeat(9000)].concat();
    assert_eq!(get(&proxy, &long), 414);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn over_http2_a_target_is_taken_likewise() {
    let world = World::start();
    let mut client = world.client();
    for (target, line) in [
        ("/a\"{b}?q={c}|", "GET /a\"{b}?q={c}| HTTP/1.1"),
        ("/caf\u{e9}?q=\u{20ac}", "GET /caf\u{e9}?q=\u{20ac} HTTP/1.1"),
    ] {
        assert_eq!(client.ask(&Fields::get(target)).text(), "ok", "{target}");
        assert_eq!(world.origin.last_head().line, line);
    }
}

#[test]
fn the_proxy_itself_says_what_it_can_do() {
    let (origin, proxy) = world(GUARDED);
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        client.write("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let answer = client.answer("OPTIONS");
        assert_eq!((answer.status, answer.text().as_str()), (204, ""));
        let methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        assert_eq!(answer.header("allow"), Some(methods));
        assert_eq!(answer.header("content-length"), None);
    }
    assert_eq!(status(&proxy, "GET", b"GET * HTTP/1.1"), 400);
    assert_eq!(origin.connections(), 0);
    let (_origin, closed) = world(&format!("auth = \"a\"\n{GUARDED}"));
    assert_eq!(status(&closed, "OPTIONS", b"OPTIONS * HTTP/1.1"), 401);
}

#[test]
fn a_host_may_have_an_empty_port_and_no_empty_label() {
    let origin = Origin::answering(OK);
    let config = origin.config().replace("name = \"all\"", "host = \"a.test\"");
    let proxy = Proxy::start(&config);
    let asked = |host: &str| {
        let mut client = Client::connect(proxy.address);
        client.write(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.answer("GET").status
    };
    for host in ["a.test", "a.test:", "a.test:80", "A.TEST.:"] {
        assert_eq!(asked(host), 200, "{host}");
    }
    for host in ["a.test..", "a.test..:80", "a..test", ".a.test", ".", "..", "a.test::", ":"] {
        assert_eq!(asked(host), 400, "{host}");
    }
}

#[test]
fn a_few_empty_lines_may_come_before_a_request() {
    let (origin, proxy) = world("");
    let mut client = Client::connect(proxy.address);
    for empty in ["\r\n", "", "\r\n\r\n", "\r\n\r\n\r\n\r\n"] {
        client.write(format!("{empty}GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert_eq!(client.answer("GET").status, 200, "{empty:?}");
    }
    // In pieces, too.
    client.write("\r");
    client.write("\n");
    client.write("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer("GET").status, 200);
    client.write("\r\n".repeat(5) + "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer("GET").status, 400);
    assert!(client.is_closed());
    for other in ["\n", "\r", " \r\n"] {
        let start = format!("{other}GET /a HTTP/1.1");
        assert_eq!(status(&proxy, "GET", start.as_bytes()), 400, "{other:?}");
    }
    assert_eq!(origin.heads().len(), 5);
}

#[test]
fn a_later_minor_version_is_spoken_to_as_1_1() {
    let (origin, proxy) = world("");
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        client.write("GET /a HTTP/1.2\r\nHost: a.test\r\n\r\n");
        assert!(client.answer("GET").status_line.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(origin.last_head().line, "GET /a HTTP/1.1");
    assert_eq!(status(&proxy, "GET", b"GET /\xe9 HTTP/1.9"), 200);
    for version in ["HTTP/2.0", "HTTP/1.10", "HTTP/0.9", "HTTP/1.22", "http/1.2", "HTTP/1.x"] {
        let start = format!("GET /a {version}");
        assert_eq!(status(&proxy, "GET", start.as_bytes()), 400, "{version}");
    }
}

#[test]
fn a_transfer_coding_that_the_proxy_does_not_have_is_501() {
    let (origin, proxy) = world("");
    let asked = |fields: &str| {
        let mut client = Client::connect(proxy.address);
        client.write(format!("POST /p HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\n0\r\n\r\n"));
        let status = client.answer("POST").status;
        assert!(client.is_closed(), "{fields}");
        status
    };
    for codings in ["gzip, chunked", "GZIP,Chunked", "deflate , gzip, chunked"] {
        assert_eq!(asked(&format!("Transfer-Encoding: {codings}")), 501, "{codings}");
    }
    assert_eq!(asked("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"), 501);
    // Where the body ends is not known, or known twice.
    for codings in
        ["gzip", "chunked, gzip", "chunked, chunked", "gzip, chunked, chunked", "gzip,, chunked"]
    {
        assert_eq!(asked(&format!("Transfer-Encoding: {codings}")), 400, "{codings}");
    }
    assert_eq!(asked("Transfer-Encoding: gzip, chunked\r\nContent-Length: 3"), 400);
    let method = "M".repeat(100 << 10);
    assert_eq!(status(&proxy, "GET", format!("{method} /a HTTP/1.1").as_bytes()), 400);
    assert_eq!(status(&proxy, "GET", format!("{} /a HTTP/1.1", &method[..33]).as_bytes()), 400);
    assert_eq!(origin.connections(), 0);
}
