//! The demo of the specification, byte for byte: every row of its table in front of the mock
//! backend, over HTTP/1.1 and over HTTP/2, and once more in front of the Python original that it was
//! made from.

use std::{net::SocketAddr, process::Command};

use serde_json::json;

use crate::support::{
    Answer, ClosedPort, Mock, Program, Proxy, Request, demo_config, eventually,
    http2::{Fields, Http2},
    skip,
};

/// One line of the table.
struct Row {
    method: &'static str,
    target: &'static str,
    token: Option<&'static str>,
    body: Option<&'static str>,
    status: u16,
    answer: &'static str,
}

const AUTH: Option<&str> = Some("secret-token");
const REFUSED: &str = r#"{"message": "Not authenticated"}"#;
const HOBBIT: &str = r#"{"name": "The Hobbit", "author": "J.R.R. Tolkien"}"#;
const NOT_FOUND: &str = r#"{"message": "Not found"}"#;

const HEALTH: Row = get("/health", None, 200, r#"{"status": "ok"}"#);
const STRANGER: Row = get("/items/books", None, 401, REFUSED);
const WRONG_TOKEN: Row = get("/items/books", Some("secret-tokem"), 401, REFUSED);
const NO_BOOKS: Row = get("/items/books", AUTH, 200, "[]");
const ADD: Row =
    post(HOBBIT, 201, r#"{"book": {"name": "The Hobbit", "author": "J.R.R. Tolkien"}}"#);
const NO_AUTHOR: Row = post(r#"{"name": "Missing Author"}"#, 400, r#"{"error": "bad request"}"#);
const UNKNOWN: Row =
    get("/items/unknown", AUTH, 404, r#"{"message": "Service 'unknown' not found"}"#);
const MOVIES: Row = get("/items/movies", AUTH, 502, r#"{"message": "Bad gateway"}"#);
const OTHER_PATH: Row = get("/elsewhere", AUTH, 404, NOT_FOUND);
const OTHER_PATH_STRANGER: Row = get("/elsewhere", None, 401, REFUSED);
const OTHER_PATH_WRONG_TOKEN: Row = get("/elsewhere", Some("wrong-token"), 401, REFUSED);
const UNKNOWN_STRANGER: Row = get("/items/unknown", None, 401, REFUSED);
const SLASH: Row = get("/items/books/", AUTH, 404, NOT_FOUND);
const SLASH_STRANGER: Row = get("/items/books/", None, 401, REFUSED);

/// In an order that holds for one backend: nothing is listed after something was added.
const TABLE: [Row; 14] = [
    HEALTH,
    STRANGER,
    WRONG_TOKEN,
    NO_BOOKS,
    NO_AUTHOR,
    ADD,
    UNKNOWN,
    MOVIES,
    OTHER_PATH,
    OTHER_PATH_STRANGER,
    OTHER_PATH_WRONG_TOKEN,
    UNKNOWN_STRANGER,
    SLASH,
    SLASH_STRANGER,
];

const fn get(
    target: &'static str,
    token: Option<&'static str>,
    status: u16,
    answer: &'static str,
) -> Row {
    Row { method: "GET", target, token, body: None, status, answer }
}

const fn post(body: &'static str, status: u16, answer: &'static str) -> Row {
    let (method, target) = ("POST", "/items/books");
    Row { method, target, token: AUTH, body: Some(body), status, answer }
}

struct World {
    proxy: Proxy,
    backend: SocketAddr,
    _program: Program,
    _movies: ClosedPort,
}

impl World {
    fn with_mock() -> Self {
        let mock = Mock::start();
        Self::around(mock.program, mock.address)
    }

    /// `None` if this machine has no python3.
    fn with_original() -> Option<Self> {
        if Command::new("python3").arg("--version").output().is_err() {
            skip("python3 not found");
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/mock_api/original.py");
        let program = Program::spawn(Command::new("python3").arg(script));
        let port = eventually("the port of the original", || program.stdout().first().cloned());
        let port: u16 = port.parse().expect("the first line is the port");
        Some(Self::around(program, SocketAddr::from(([127, 0, 0, 1], port))))
    }

    fn around(program: Program, backend: SocketAddr) -> Self {
        let movies = ClosedPort::reserve();
        let proxy = Proxy::start(&demo_config(backend, movies.address));
        Self { proxy, backend, _program: program, _movies: movies }
    }

    fn send(&self, row: &Row) -> Answer {
        let mut request = self.proxy.request(row.method, row.target);
        if let Some(token) = row.token {
            request = request.bearer(token);
        }
        if let Some(body) = row.body {
            request = request.body(body);
        }
        request.send()
    }

    fn expect(&self, row: &Row) {
        let answer = self.send(row);
        let line = format!("{} {} {:?} {:?}", row.method, row.target, row.token, row.body);
        assert_eq!((answer.status, answer.text().as_str()), (row.status, row.answer), "{line}");
        assert!(answer.is_whole, "{line}");
        assert_eq!(answer.headers("content-type"), ["application/json"], "{line}");
        let challenge: &[&str] = if row.status == 401 { &["Bearer"] } else { &[] };
        assert_eq!(answer.headers("www-authenticate"), challenge, "{line}");
    }
}

#[test]
fn health_is_answered_without_authentication() {
    World::with_mock().expect(&HEALTH);
}

#[test]
fn a_request_without_authorization_is_refused_with_401() {
    World::with_mock().expect(&STRANGER);
}

#[test]
fn a_wrong_token_is_refused_with_401() {
    World::with_mock().expect(&WRONG_TOKEN);
}

#[test]
fn a_book_with_name_and_author_is_created_with_201() {
    World::with_mock().expect(&ADD);
}

#[test]
fn a_book_without_author_is_refused_with_400() {
    World::with_mock().expect(&NO_AUTHOR);
}

#[test]
fn an_unknown_service_is_named_in_a_404() {
    World::with_mock().expect(&UNKNOWN);
}

#[test]
fn a_service_that_nobody_listens_for_is_a_502() {
    World::with_mock().expect(&MOVIES);
}

#[test]
fn a_trailing_slash_matches_no_route() {
    World::with_mock().expect(&SLASH);
}

#[test]
fn any_other_path_is_a_404_for_those_who_may_know() {
    World::with_mock().expect(&OTHER_PATH);
}

#[test]
fn a_stranger_does_not_learn_which_routes_exist() {
    let world = World::with_mock();
    for row in [OTHER_PATH_STRANGER, OTHER_PATH_WRONG_TOKEN, UNKNOWN_STRANGER, SLASH_STRANGER] {
        world.expect(&row);
    }
}

#[test]
fn a_list_of_books_is_the_backends_byte_for_byte() {
    let world = World::with_mock();
    for server in ["serverA", "serverB", "serverC"] {
        Request::new(world.backend, "POST", &format!("/{server}/books")).body(HOBBIT).send();
    }
    world.expect(&Row {
        answer: r#"[{"name": "The Hobbit", "author": "J.R.R. Tolkien"}]"#,
        ..NO_BOOKS
    });
}

#[test]
fn a_method_that_the_mock_does_not_have_gets_the_mocks_own_405() {
    let world = World::with_mock();
    let direct = Request::new(world.backend, "PUT", "/serverA/books").body(HOBBIT).send();
    let answer = world.send(&Row { method: "PUT", ..ADD });
    assert_eq!((direct.status, answer.status), (405, 405));
    assert_eq!(answer.body, direct.body);
    // The proxy's own refusals carry this field; an upstream's own errors pass untouched.
    assert_eq!(answer.header("proxy-status"), None);
}

#[test]
fn books_are_spread_over_all_three_servers_and_none_is_lost() {
    let world = World::with_mock();
    for _ in 0..60 {
        assert_eq!(world.send(&ADD).status, 201);
    }
    let books = |server| Request::new(world.backend, "GET", &format!("/{server}/books")).send();
    let counts = ["serverA", "serverB", "serverC"].map(|server| {
        let books = books(server).json();
        books.as_array().map_or(0, |books| books.iter().filter(|book| **book == hobbit()).count())
    });
    assert_eq!(counts.iter().sum::<usize>(), 60, "{counts:?}");
    // With an even choice one server is left out once in ten billion runs.
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

fn hobbit() -> serde_json::Value {
    json!({ "name": "The Hobbit", "author": "J.R.R. Tolkien" })
}

#[test]
fn the_whole_table_holds_in_front_of_the_python_original() {
    let Some(world) = World::with_original() else {
        return;
    };
    for row in &TABLE {
        world.expect(row);
    }
}

#[test]
fn the_whole_table_holds_over_http_2_on_one_connection() {
    let world = World::with_mock();
    let mut client = Http2::connect(world.proxy.address);
    for row in &TABLE {
        let mut fields = Fields::new(row.method, row.target);
        if let Some(token) = row.token {
            fields = fields.bearer(token);
        }
        let reply = match row.body {
            Some(body) => client.ask_with(&fields, body.as_bytes()),
            None => client.ask(&fields),
        };
        let line = format!("{} {} {:?} {:?}", row.method, row.target, row.token, row.body);
        assert_eq!((reply.status, reply.text().as_str()), (row.status, row.answer), "{line}");
        assert!(reply.is_whole, "{line}");
        assert_eq!(reply.headers("content-type"), ["application/json"], "{line}");
        let challenge: &[&str] = if row.status == 401 { &["Bearer"] } else { &[] };
        assert_eq!(reply.headers("www-authenticate"), challenge, "{line}");
    }
}
