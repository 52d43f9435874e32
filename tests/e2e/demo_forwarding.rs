//! The demo's services: which target an endpoint sees, that the choice is random, and what the
//! client is told when an upstream is silent.

use std::time::{Duration, Instant};

use crate::support::{ClosedPort, Origin, Proxy, demo_config, eventually};

/// Without a body, so that it is an answer to HEAD too.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

struct World {
    origin: Origin,
    proxy: Proxy,
    _movies: ClosedPort,
}

impl World {
    fn start() -> Self {
        let origin = Origin::answering(OK);
        let movies = ClosedPort::reserve();
        let proxy = Proxy::start(&demo_config(origin.address, movies.address));
        Self { origin, proxy, _movies: movies }
    }

    fn send(&self, method: &str, target: &str) {
        let answer = self.proxy.request(method, target).bearer("secret-token").send();
        assert_eq!(answer.status, 200, "{method} {target}");
    }

    /// The last request line, with the letter of the server taken out: which one is chance.
    fn line(&self) -> String {
        let line = self.origin.last_head().line;
        let at = line.find("/server").expect("an endpoint's path comes first") + "/server".len();
        assert!(line[at..].starts_with(['A', 'B', 'C']), "{line}");
        format!("{}X{}", &line[..at], &line[at + 1..])
    }
}

#[test]
fn an_item_goes_to_the_endpoint_under_the_name_of_its_service() {
    let world = World::start();
    world.send("GET", "/items/books");
    assert_eq!(world.line(), "GET /serverX/books HTTP/1.1");
}

#[test]
fn what_follows_the_service_and_the_query_are_kept() {
    let world = World::start();
    world.send("GET", "/items/books/by/tolkien?page=2&q=a%20b&q=%C3%A9");
    assert_eq!(world.line(), "GET /serverX/books/by/tolkien?page=2&q=a%20b&q=%C3%A9 HTTP/1.1");
}

#[test]
fn a_query_without_a_rest_is_kept() {
    let world = World::start();
    world.send("GET", "/items/books?");
    assert_eq!(world.line(), "GET /serverX/books? HTTP/1.1");
}

#[test]
fn every_method_passes() {
    let world = World::start();
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        world.send(method, "/items/books");
        assert_eq!(world.line(), format!("{method} /serverX/books HTTP/1.1"));
    }
}

#[test]
fn every_endpoint_is_chosen_sooner_or_later_and_in_no_fixed_order() {
    let world = World::start();
    eventually("all three servers in an order that is no rotation", || {
        world.send("GET", "/items/books");
        let heads = world.origin.heads();
        let servers: Vec<char> =
            heads.iter().filter_map(|head| head.line.chars().nth("GET /server".len())).collect();
        let all = ['A', 'B', 'C'].iter().all(|server| servers.contains(server));
        // Taking turns would never choose the same server twice running.
        let twice = servers.windows(2).any(|pair| pair[0] == pair[1]);
        (all && twice).then_some(())
    });
}

#[test]
fn an_upstream_that_stays_silent_is_a_504() {
    let origin = Origin::start(|exchange| {
        exchange.request();
        exchange.wait_for_close();
    });
    let movies = ClosedPort::reserve();
    let config = demo_config(origin.address, movies.address);
    let proxy = Proxy::start(&config.replace("response = \"5s\"", "response = \"200ms\""));
    let started = Instant::now();
    let answer = proxy.get("/items/books").bearer("secret-token").send();
    let took = started.elapsed();
    assert_eq!((answer.status, answer.text().as_str()), (504, r#"{"message": "Gateway timeout"}"#));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.header("proxy-status"),
        Some("proxy; error=http_response_timeout; details=\"response_timeout\"")
    );
    assert!(Duration::from_millis(200) <= took, "{took:?}");
}

#[test]
fn a_refused_connection_is_named_in_proxy_status_and_in_the_log() {
    let world = World::start();
    let answer = world.proxy.get("/items/movies").bearer("secret-token").send();
    assert_eq!(
        answer.header("proxy-status"),
        Some("proxy; error=connection_refused; details=\"connection_refused\"")
    );
    let line = world.proxy.access_line("/items/movies");
    assert_eq!((&line["status"], &line["reason"]), (&502.into(), &"connection_refused".into()));
    assert_eq!((&line["route"], &line["service"]), (&"items".into(), &"movies".into()));
}
