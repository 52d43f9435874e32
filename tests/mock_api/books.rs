//! Adding books and listing them: what is kept, what is refused, and the bounds.

use std::thread;

use crate::program::Mock;

const MIB: usize = 1 << 20;
const HOBBIT: &str = r#"{"name": "The Hobbit", "author": "J.R.R. Tolkien"}"#;
const BAD_REQUEST: (u16, &str) = (400, r#"{"error": "bad request"}"#);
const TOO_LARGE: (u16, &str) = (413, r#"{"error": "payload too large"}"#);

/// A book whose JSON text has exactly `length` bytes.
fn book_of_length(length: usize) -> String {
    let filling = "x".repeat(length - r#"{"name": "", "author": "a"}"#.len());
    format!(r#"{{"name": "{filling}", "author": "a"}}"#)
}

fn chunked(target: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: mock\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut request = head.into_bytes();
    for chunk in chunks {
        request.extend(format!("{:x}\r\n", chunk.len()).bytes());
        request.extend(*chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    request
}

#[test]
fn posted_book_is_answered_and_listed_as_in_the_seed() {
    let mock = Mock::start();
    let reply = mock.post("/serverA/books", HOBBIT);
    let expected = r#"{"book": {"name": "The Hobbit", "author": "J.R.R. Tolkien"}}"#;
    assert_eq!(reply.json(), (201, expected));
    let list = format!("[{HOBBIT}]");
    assert_eq!(mock.get("/serverA/books").json(), (200, list.as_str()));
}

#[test]
fn book_keeps_all_its_keys_their_order_and_the_last_value_of_a_repeated_one() {
    let mock = Mock::start();
    let body = r#"{"year":1937,"name":1,"tags":["é",null],"author":"a","name":{"en":"x"}}"#;
    let book = r#"{"year": 1937, "name": {"en": "x"}, "tags": ["\u00e9", null], "author": "a"}"#;
    let expected = format!(r#"{{"book": {book}}}"#);
    let reply = mock.post("/serverA/books", body);
    assert_eq!(reply.json(), (201, expected.as_str()));
    assert_eq!(mock.get("/serverA/books").body, format!("[{book}]"));
}

#[test]
fn books_of_one_server_are_not_those_of_another() {
    let mock = Mock::start();
    mock.post("/serverA/books", HOBBIT);
    assert_eq!(mock.get("/serverB/books").json(), (200, "[]"));
}

#[test]
fn object_without_both_keys_is_400_and_not_kept() {
    let mock = Mock::start();
    for body in [
        "{}",
        r#"{"name": "n"}"#,
        r#"{"author": "a"}"#,
        r#"{"Name": "n", "author": "a"}"#,
        r#"{"book": {"name": "n", "author": "a"}}"#,
        r#"{"name": "author"}"#,
    ] {
        assert_eq!(mock.post("/serverA/books", body).json(), BAD_REQUEST);
    }
    assert_eq!(mock.get("/serverA/books").json(), (200, "[]"));
}

#[test]
fn body_that_the_original_misjudges_or_drops_is_400_and_not_kept() {
    let mock = Mock::start();
    for body in [
        r#""both name and author""#,
        r#"["name", "author"]"#,
        "null",
        "1",
        "{",
        r#"{"name": "n", "author": "a",}"#,
        r#"{"name": "n", "author": "a"} x"#,
        "name=n&author=a",
        " ",
    ] {
        assert_eq!(mock.post("/serverA/books", body).json(), BAD_REQUEST);
    }
    let not_utf8 = b"{\"name\": \"\xff\", \"author\": \"a\"}";
    assert_eq!(mock.post("/serverA/books", not_utf8).json(), BAD_REQUEST);
    assert_eq!(mock.get("/serverA/books").json(), (200, "[]"));
}

#[test]
fn empty_body_with_or_without_a_length_is_400() {
    let mock = Mock::start();
    let mut connection = mock.connect();
    for field in ["", "Content-Length: 0\r\n"] {
        let head = format!("POST /serverA/books HTTP/1.1\r\nHost: mock\r\n{field}\r\n");
        connection.write(head.as_bytes());
        assert_eq!(connection.read_reply("POST").unwrap().json(), BAD_REQUEST);
    }
    connection.write(&chunked("/serverA/books", &[]));
    assert_eq!(connection.read_reply("POST").unwrap().json(), BAD_REQUEST);
}

#[test]
fn chunked_body_is_read_and_the_connection_goes_on() {
    let mock = Mock::start();
    let mut connection = mock.connect();
    let (start, end) = HOBBIT.as_bytes().split_at(9);
    for _ in 0..2 {
        connection.write(&chunked("/serverA/books", &[start, end]));
        assert_eq!(connection.read_reply("POST").unwrap().json().0, 201);
    }
    let list = format!("[{HOBBIT}, {HOBBIT}]");
    assert_eq!(mock.get("/serverA/books").body, list);
}

#[test]
fn client_that_waits_for_100_continue_is_told_to_go_on() {
    let mock = Mock::start();
    let mut connection = mock.connect();
    let length = HOBBIT.len();
    let head = format!(
        "POST /serverA/books HTTP/1.1\r\nHost: mock\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.write(head.as_bytes());
    assert_eq!(connection.read_reply("POST").unwrap().status, 100);
    connection.write(HOBBIT.as_bytes());
    assert_eq!(connection.read_reply("POST").unwrap().json().0, 201);
}

#[test]
fn body_of_one_mebibyte_is_accepted() {
    let mock = Mock::start();
    let book = book_of_length(MIB);
    assert_eq!(mock.post("/serverA/books", &book).json().0, 201);
    let mut connection = mock.connect();
    let halves = book.as_bytes().split_at(MIB / 2);
    connection.write(&chunked("/serverB/books", &[halves.0, halves.1]));
    assert_eq!(connection.read_reply("POST").unwrap().json().0, 201);
}

#[test]
fn declared_length_beyond_one_mebibyte_is_413_before_the_body_is_sent() {
    let mock = Mock::start();
    for length in [(MIB + 1).to_string(), u64::MAX.to_string()] {
        let mut connection = mock.connect();
        let head = format!(
            "POST /serverA/books HTTP/1.1\r\nHost: mock\r\nContent-Length: {length}\r\n\r\n"
        );
        connection.write(head.as_bytes());
        assert_eq!(connection.read_reply("POST").unwrap().json(), TOO_LARGE);
    }
}

#[test]
fn chunked_body_beyond_one_mebibyte_is_413_and_not_kept() {
    let mock = Mock::start();
    let mut connection = mock.connect();
    let book = book_of_length(MIB + 1);
    let halves = book.as_bytes().split_at(MIB / 2);
    connection.write(&chunked("/serverA/books", &[halves.0, halves.1]));
    assert_eq!(connection.read_reply("POST").unwrap().json(), TOO_LARGE);
    assert_eq!(mock.get("/serverA/books").json(), (200, "[]"));
}

#[test]
fn nesting_of_256_levels_is_accepted_and_more_is_400() {
    let mock = Mock::start();
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        format!(r#"{{"name": {open}{close}, "author": "a"}}"#)
    };
    assert_eq!(mock.post("/serverA/books", nested(256)).json().0, 201);
    for levels in [257, 500_000] {
        let reply = mock.post("/serverA/books", nested(levels));
        assert_eq!(reply.json(), BAD_REQUEST);
    }
}

#[test]
fn list_of_several_megabytes_arrives_whole() {
    let mock = Mock::start();
    let book = book_of_length(MIB - 7);
    let mut connection = mock.connect();
    for _ in 0..5 {
        assert_eq!(connection.post("/serverA/books", book.as_bytes()).status, 201);
    }
    let expected = format!("[{}]", vec![book; 5].join(", "));
    let reply = connection.exchange("GET", "/serverA/books", &[]);
    assert!(reply.json() == (200, expected.as_str()));
    assert_eq!(connection.exchange("GET", "/serverB/books", &[]).body, "[]");
}

#[test]
fn books_posted_at_once_to_all_workers_are_all_listed_once() {
    const THREADS: usize = 8;
    const BOOKS: usize = 50;
    let mock = Mock::start_with(&["--listen", "127.0.0.1:0", "--workers", "4"]);
    let book = |thread, n| format!(r#"{{"name": "{thread}-{n}", "author": "a"}}"#);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let mut connection = mock.connect();
            scope.spawn(move || {
                for n in 0..BOOKS {
                    let reply = connection.post("/serverA/books", book(thread, n).as_bytes());
                    assert_eq!(reply.status, 201);
                    let list = connection.exchange("GET", "/serverA/books", &[]).body;
                    assert!(list.contains(&book(thread, n)), "{thread}-{n}");
                }
            });
        }
    });
    let list = mock.get("/serverA/books").body;
    let mut listed: Vec<&str> = list[1..list.len() - 1].split_inclusive('}').collect();
    assert_eq!(listed.len(), THREADS * BOOKS);
    listed.iter_mut().for_each(|text| *text = text.trim_start_matches(", "));
    for thread in 0..THREADS {
        let of_thread = |text: &&&str| text.contains(&format!("\"{thread}-"));
        let in_order: Vec<String> = (0..BOOKS).map(|n| book(thread, n)).collect();
        let found: Vec<&str> = listed.iter().filter(of_thread).copied().collect();
        assert_eq!(found, in_order);
    }
}
