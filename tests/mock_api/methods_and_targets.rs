//! Which method and target get which status, and what every answer carries.

use crate::program::Mock;

const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"];
const NOT_FOUND: (u16, &str) = (404, r#"{"error": "not found"}"#);
const NOT_ALLOWED: (u16, &str) = (405, r#"{"error": "method not allowed"}"#);

#[test]
fn every_server_from_a_to_z_is_healthy_and_has_no_books() {
    let mock = Mock::start();
    let mut connection = mock.connect();
    for letter in 'A'..='Z' {
        let health = connection.exchange("GET", &format!("/server{letter}/health"), &[]);
        assert_eq!(health.json(), (200, r#"{"status": "ok"}"#));
        let books = connection.exchange("GET", &format!("/server{letter}/books"), &[]);
        assert_eq!(books.json(), (200, "[]"));
    }
}

#[test]
fn unknown_target_is_404_whatever_the_method() {
    let mock = Mock::start();
    for target in [
        "/",
        "/serverA",
        "/serverA/",
        "/serverA/movies",
        "/servera/books",
        "/server1/books",
        "/serverAA/books",
        "/serverA/books/",
        "/serverA/books/1",
        "//serverA/books",
        "*",
    ] {
        for method in METHODS {
            let reply = mock.send(method, target);
            assert_eq!(reply.status, 404, "{method} {target}");
            if method != "HEAD" {
                assert_eq!(reply.json(), NOT_FOUND, "{method} {target}");
            }
        }
    }
}

#[test]
fn target_is_matched_as_sent_so_query_and_encoding_are_404() {
    let mock = Mock::start();
    for target in [
        "/serverA/books?",
        "/serverA/books?page=1",
        "/serverA/health?x",
        "/server%41/books",
        "/serverA%2Fbooks",
        "/serverA/./books",
        "http://mock/serverA/books",
    ] {
        assert_eq!(mock.get(target).json(), NOT_FOUND, "{target}");
    }
}

#[test]
fn post_to_health_is_404_as_in_the_original() {
    let mock = Mock::start();
    assert_eq!(mock.send("POST", "/serverA/health").json(), NOT_FOUND);
    let book = br#"{"name": "n", "author": "a"}"#;
    assert_eq!(mock.post("/serverA/health", book).json(), NOT_FOUND);
}

#[test]
fn other_methods_on_books_are_405_and_told_which_are_allowed() {
    let mock = Mock::start();
    for method in &METHODS[3..] {
        let reply = mock.send(method, "/serverA/books");
        assert_eq!(reply.json(), NOT_ALLOWED, "{method}");
        assert_eq!(reply.field("allow"), "GET, HEAD, POST", "{method}");
    }
}

#[test]
fn other_methods_on_health_are_405_and_told_which_are_allowed() {
    let mock = Mock::start();
    for method in &METHODS[3..] {
        let reply = mock.send(method, "/serverZ/health");
        assert_eq!(reply.json(), NOT_ALLOWED, "{method}");
        assert_eq!(reply.field("allow"), "GET, HEAD", "{method}");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let mock = Mock::start();
    mock.post("/serverA/books", r#"{"name": "n", "author": "a"}"#);
    let mut connection = mock.connect();
    for target in ["/serverA/books", "/serverA/health"] {
        let head = connection.exchange("HEAD", target, &[]);
        let get = connection.exchange("GET", target, &[]);
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        for field in ["content-type", "content-length"] {
            assert_eq!(head.field(field), get.field(field), "{target} {field}");
        }
    }
}

#[test]
fn refused_body_leaves_no_bytes_for_the_next_request() {
    let mock = Mock::start();
    for (method, target) in [("PUT", "/serverA/books"), ("POST", "/nowhere")] {
        let mut connection = mock.connect();
        let smuggled = b"GET /serverA/health HTTP/1.1\r\nHost: mock\r\n\r\n";
        connection.exchange(method, target, smuggled);
        assert!(connection.is_closed(), "{method} {target}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mock = Mock::start();
    let mut connection = mock.connect();
    connection.write(
        b"GET /serverA/books HTTP/1.1\r\nHost: mock\r\n\r\n\
          POST /serverA/books HTTP/1.1\r\nHost: mock\r\nContent-Length: 26\r\n\r\n\
          {\"name\": \"n\",\"author\":\"a\"}\
          GET /serverA/health HTTP/1.1\r\nHost: mock\r\n\r\n",
    );
    let statuses = ["GET", "POST", "GET"].map(|method| {
        let reply = connection.read_reply(method).unwrap();
        reply.json();
        reply.status
    });
    assert_eq!(statuses, [200, 201, 200]);
}
