//! Every failure has a status, a body, a `Proxy-Status`, a reason in the access log and a count
//! in the metrics; what an upstream itself answers is no failure of the proxy.

use std::net::{SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::support::{Answer, Client, Origin, Proxy, eventually};

/// A failure as the table has it: status, message, RFC 9209 error type and reason.
type Failure = (u16, &'static str, &'static str, &'static str);

/// Checks the answer to a request for `path`, and what operators see of it.
fn assert_failed(proxy: &Proxy, path: &str, answer: &Answer, failure: Failure) {
    let (status, message, error, reason) = failure;
    assert_eq!(answer.status, status, "{reason}");
    assert_eq!(answer.text(), format!("{{\"message\": \"{message}\"}}"), "{reason}");
    assert_eq!(answer.headers("content-type"), ["application/json"], "{reason}");
    let why = format!("proxy; error={error}; details=\"{reason}\"");
    assert_eq!(answer.headers("proxy-status"), [why], "{reason}");
    assert!(answer.header("x-request-id").is_some(), "{reason}");
    assert_recorded(proxy, path, status, reason);
}

fn assert_recorded(proxy: &Proxy, path: &str, status: u16, reason: &str) {
    let line = proxy.access_line(path);
    assert_eq!((&line["status"], &line["reason"]), (&status.into(), &reason.into()));
    let series = format!("proxy_errors_total{{reason=\"{reason}\"}}");
    assert_eq!(proxy.metric(&series), 1.0, "{series}");
}

/// A configuration that sends everything to `endpoint`, with more keys of the service.
fn config(endpoint: impl std::fmt::Display, keys: &str) -> String {
    format!(
        "[[routes]]\nname = \"all\"\nservice = \"origin\"\n\n\
         [services.origin]\nendpoints = [\"http://{endpoint}\"]\n{keys}\n"
    )
}

/// An address where nothing listens.
fn unused_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("is bound")
}

#[test]
fn nobody_listens() {
    let proxy = Proxy::start(&config(unused_address(), ""));

    let answer = proxy.get("/a").send();

    let failure = (502, "Bad gateway", "connection_refused", "connection_refused");
    assert_failed(&proxy, "/a", &answer, failure);
}

#[test]
fn the_endpoint_cannot_be_reached() {
    // No system lets a connection be made to the broadcast address.
    let proxy = Proxy::start(&config("255.255.255.255:80", ""));

    let answer = proxy.get("/a").send();

    let failure = (502, "Bad gateway", "connection_refused", "connect_failed");
    assert_failed(&proxy, "/a", &answer, failure);
}

#[test]
fn the_endpoint_does_not_take_the_connection() {
    // A listener that accepts nothing, with its queue full: further handshakes are not answered.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("can be made");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("is an address");
    listener.bind(&any.into()).expect("a port is free");
    listener.listen(0).expect("can listen");
    let address = listener.local_addr().ok().and_then(|address| address.as_socket());
    let address = address.expect("is bound");
    let moment = std::time::Duration::from_millis(100);
    let queued: Vec<TcpStream> =
        std::iter::from_fn(|| TcpStream::connect_timeout(&address, moment).ok()).take(64).collect();
    let proxy = Proxy::start(&config(address, "timeouts = { connect = \"200ms\" }"));

    let answer = proxy.get("/a").send();

    assert!(queued.len() < 64, "the queue has no end here");
    let failure = (504, "Gateway timeout", "connection_timeout", "connect_timeout");
    assert_failed(&proxy, "/a", &answer, failure);
}

#[test]
fn the_name_has_no_address() {
    let proxy = Proxy::start(&config("does-not-exist.invalid", "timeouts = { connect = \"15s\" }"));

    let answer = proxy.get("/a").send();

    assert_failed(&proxy, "/a", &answer, (502, "Bad gateway", "dns_error", "name_unresolved"));
}

#[test]
fn the_origin_closes_without_an_answer() {
    let origin = Origin::start(|exchange| {
        exchange.request();
        exchange.close();
    });
    let proxy = Proxy::start(&origin.config());

    let answer = proxy.get("/a").send();

    let failure = (502, "Bad gateway", "connection_terminated", "upstream_reset");
    assert_failed(&proxy, "/a", &answer, failure);
    assert_eq!(origin.connections(), 1, "a fresh connection is not replaced");
}

#[test]
fn the_origin_does_not_speak_http() {
    let origin = Origin::answering("220 smtp.test ready\r\n");
    let proxy = Proxy::start(&origin.config());

    let answer = proxy.get("/a").send();

    let failure = (502, "Bad gateway", "http_protocol_error", "upstream_protocol");
    assert_failed(&proxy, "/a", &answer, failure);
}

#[test]
fn the_origin_does_not_answer_in_time() {
    let origin = Origin::start(|exchange| {
        exchange.request();
        exchange.wait_for_close();
    });
    let proxy = Proxy::start(&config(origin.address, "timeouts = { response = \"200ms\" }"));

    let answer = proxy.get("/a").send();

    let failure = (504, "Gateway timeout", "http_response_timeout", "response_timeout");
    assert_failed(&proxy, "/a", &answer, failure);
}

#[test]
fn the_origin_begins_an_answer_and_does_not_go_on() {
    let origin = Origin::start(|exchange| {
        exchange.request();
        exchange.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n");
        exchange.wait_for_close();
    });
    let proxy = Proxy::start(&config(origin.address, "timeouts = { response = \"200ms\" }"));

    let answer = proxy.get("/a").send();

    let failure = (504, "Gateway timeout", "http_response_timeout", "response_timeout");
    assert_failed(&proxy, "/a", &answer, failure);
}

#[test]
fn the_body_is_larger_than_its_route_allows() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let config = format!("server = {{ max_body = \"1KiB\" }}\n{}", origin.config());
    let proxy = Proxy::start(&config);

    let allowed = proxy.request("POST", "/allowed").body([b'x'; 1024]).send();
    let answer = proxy.request("POST", "/a").body([b'x'; 1025]).send();

    assert_eq!(allowed.status, 200);
    let failure = (413, "Body too large", "http_request_error", "body_too_large");
    assert_failed(&proxy, "/a", &answer, failure);
    assert_eq!(origin.heads().len(), 1, "nothing of it was sent");
}

#[test]
fn the_chunked_body_grows_larger_than_its_route_allows() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let proxy = Proxy::start(&format!("server = {{ max_body = \"1KiB\" }}\n{}", origin.config()));
    let mut client = Client::connect(proxy.address);

    client.write("POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.write(format!("400\r\n{}\r\n", "x".repeat(1024)));
    client.write("1\r\nx\r\n0\r\n\r\n");
    let answer = client.answer("POST");

    let failure = (413, "Body too large", "http_request_error", "body_too_large");
    assert_failed(&proxy, "/a", &answer, failure);
}

#[test]
fn the_chunked_body_is_not_chunked() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    eventually("the request to arrive", || origin.heads().pop());
    client.write("no size\r\n");
    let answer = client.answer("POST");

    let failure = (400, "Bad request", "http_request_error", "bad_request");
    assert_failed(&proxy, "/a", &answer, failure);
}

#[test]
fn no_route_takes_the_request() {
    let proxy = Proxy::start("");

    let answer = proxy.get("/a").send();

    assert_failed(&proxy, "/a", &answer, (404, "Not found", "destination_not_found", "no_route"));
}

#[test]
fn the_path_names_a_service_that_does_not_exist() {
    let proxy = Proxy::start("[[routes]]\npath = \"/{service}\"\nservice = \"{service}\"\n");

    let answer = proxy.get("/a").send();

    let failure = (404, "Service 'a' not found", "destination_not_found", "unknown_service");
    assert_failed(&proxy, "/a", &answer, failure);
}

#[test]
fn the_method_is_not_allowed() {
    let config =
        "[[routes]]\npath = \"/a\"\nmethods = [\"GET\", \"PUT\"]\nrespond = { status = 200 }\n";
    let proxy = Proxy::start(config);

    let answer = proxy.request("POST", "/a").send();

    assert_eq!(answer.headers("allow"), ["GET, HEAD, PUT"]);
    let failure = (405, "Method not allowed", "http_request_error", "method_not_allowed");
    assert_failed(&proxy, "/a", &answer, failure);
}

#[test]
fn the_client_is_a_stranger() {
    let config = "auth = \"a\"\n[auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"right-token\"]\n";
    let proxy = Proxy::start(config);

    let answer = proxy.get("/a").bearer("wrong-token").send();

    assert_eq!(answer.headers("www-authenticate"), ["Bearer"]);
    let failure = (401, "Not authenticated", "http_request_denied", "not_authenticated");
    assert_failed(&proxy, "/a", &answer, failure);
}

#[test]
fn the_answer_is_cut() {
    let origin = Origin::start(|exchange| {
        exchange.request();
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        exchange.close();
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n");

    assert_recorded(&proxy, "/a", 200, "upstream_reset");
}

#[test]
fn what_the_origin_answers_is_no_failure_of_the_proxy() {
    for status in [400, 401, 404, 413, 429, 500, 502, 503, 504] {
        let body = r#"{"error": "mine"}"#;
        let origin = Origin::answering(format!(
            "HTTP/1.1 {status} Own Words\r\nContent-Type: text/x-own\r\nRetry-After: 7\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let proxy = Proxy::start(&origin.config());

        let answer = proxy.get("/a").send();

        assert_eq!((answer.status, answer.text().as_str()), (status, body));
        assert_eq!(answer.headers("content-type"), ["text/x-own"], "{status}");
        assert_eq!(answer.headers("retry-after"), ["7"], "{status}");
        assert_eq!(answer.header("proxy-status"), None, "{status}");
        assert_eq!(proxy.access_line("/a")["reason"], serde_json::Value::Null, "{status}");
        assert_eq!((origin.heads().len(), proxy.metric("proxy_retries_total")), (1, 0.0));
    }
}
