//! X-Request-ID on every way through, and the trace that a request belongs to.

use crate::support::{Answer, ClosedPort, Origin, Proxy, demo_config};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-ID: the-origins-own\r\n\r\nok";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn world() -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());
    (origin, proxy)
}

fn id(answer: &Answer) -> String {
    let ids = answer.headers("x-request-id");
    assert_eq!(ids.len(), 1, "{ids:?}");
    ids[0].to_owned()
}

fn assert_is_uuid_v4(id: &str) {
    let version = uuid::Uuid::parse_str(id).map(|id| id.get_version_num());
    assert_eq!((version, id.len()), (Ok(4), 36), "{id}");
}

#[test]
fn a_sensible_id_is_kept_for_the_upstream_the_client_and_the_log() {
    let (origin, proxy) = world();
    for sent in ["12345678", "Az09._-x", &"a".repeat(128)] {
        let answer = proxy.get(&format!("/{sent}")).header("X-Request-ID", sent).send();
        assert_eq!(id(&answer), sent);
        assert_eq!(origin.last_head().headers("x-request-id"), [sent]);
        assert_eq!(proxy.access_line(&format!("/{sent}"))["request_id"], sent);
    }
}

#[test]
fn an_id_that_is_too_short_too_long_or_strange_is_replaced() {
    let (origin, proxy) = world();
    let too_long = "a".repeat(129);
    for sent in ["1234567", &too_long, "with space", "semi;colon", "quo\"te-quote", "", "{{7*7}}--"]
    {
        let id = id(&proxy.get("/").header("X-Request-ID", sent).send());
        assert_is_uuid_v4(&id);
        assert_eq!(origin.last_head().headers("x-request-id"), [id], "{sent}");
    }
}

#[test]
fn of_two_ids_none_is_kept() {
    let (origin, proxy) = world();
    let twice =
        proxy.get("/").header("X-Request-ID", "request-1").header("X-Request-ID", "request-2");
    let id = id(&twice.send());
    assert_is_uuid_v4(&id);
    assert_eq!(origin.last_head().headers("x-request-id"), [id]);
}

#[test]
fn every_request_gets_an_id_of_its_own() {
    let (_origin, proxy) = world();
    let (first, second) = (id(&proxy.get("/").send()), id(&proxy.get("/").send()));
    assert_is_uuid_v4(&first);
    assert_ne!(first, second);
}

#[test]
fn the_proxys_own_answers_carry_the_id_too() {
    let (books, movies) = (Origin::answering(OK), ClosedPort::reserve());
    let proxy = Proxy::start(&demo_config(books.address, movies.address));
    for (target, token, status) in [
        ("/health", "", 200),
        ("/items/books", "", 401),
        ("/elsewhere", "secret-token", 404),
        ("/items/unknown", "secret-token", 404),
        ("/items/movies", "secret-token", 502),
    ] {
        let request = proxy.get(target).header("X-Request-ID", "request-1").bearer(token);
        let answer = request.send();
        assert_eq!((answer.status, id(&answer).as_str()), (status, "request-1"), "{target}");
        assert_eq!(proxy.access_line(target)["request_id"], "request-1", "{target}");
    }
}

#[test]
fn the_trace_context_passes_and_its_id_is_logged() {
    let (origin, proxy) = world();
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let request = proxy.get("/").header("traceparent", &parent).header("tracestate", "a=1,b=2");
    request.header("tracestate", "c=3").send();
    let head = origin.last_head();
    assert_eq!(head.headers("traceparent"), [parent]);
    assert_eq!(head.headers("tracestate"), ["a=1,b=2", "c=3"]);
    assert_eq!(proxy.access_line("/")["trace_id"], TRACE);
}

#[test]
fn a_malformed_trace_parent_passes_and_is_not_logged() {
    let (origin, proxy) = world();
    proxy.get("/").header("traceparent", "00-nonsense-01").send();
    assert_eq!(origin.last_head().headers("traceparent"), ["00-nonsense-01"]);
    assert!(proxy.access_line("/")["trace_id"].is_null());
}
