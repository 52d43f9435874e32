//! Services that the path names: found by their exact name, or said in a 404 that is JSON whatever
//! the name holds.

use crate::support::{Origin, Proxy};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn world() -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let config = format!(
        "[[routes]]\nname = \"items\"\npath = [\"/items/{{service}}\", \"/{{service}}/x/{{*rest}}\"]\n\
         service = \"{{service}}\"\n[services.books]\nendpoints = [\"http://{0}/b\"]\n\
         [services.\"films.v-2_x\"]\nendpoints = [\"http://{0}/f\"]\n",
        origin.address
    );
    (origin, Proxy::start(&config))
}

#[test]
fn the_path_names_the_service() {
    let (origin, proxy) = world();
    for (target, line) in [
        ("/items/books", "GET /b/items/books HTTP/1.1"),
        ("/items/films.v-2_x", "GET /f/items/films.v-2_x HTTP/1.1"),
        ("/books/x/y", "GET /b/books/x/y HTTP/1.1"),
    ] {
        assert_eq!(proxy.get(target).send().text(), "ok", "{target}");
        assert_eq!(origin.last_head().line, line);
    }
    assert_eq!(proxy.access_line("/books/x/y")["service"], "books");
}

#[test]
fn an_unknown_service_is_a_404_that_names_it() {
    let (origin, proxy) = world();
    let answer = proxy.get("/items/unknown").send();
    let body = r#"{"message": "Service 'unknown' not found"}"#;
    assert_eq!((answer.status, answer.text().as_str()), (404, body));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.header("proxy-status"),
        Some("proxy; error=destination_not_found; details=\"unknown_service\"")
    );
    let line = proxy.access_line("/items/unknown");
    assert_eq!((&line["route"], &line["reason"]), (&"items".into(), &"unknown_service".into()));
    assert!(line["service"].is_null(), "{line}");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_service_is_found_by_its_exact_name_alone() {
    let (_origin, proxy) = world();
    for name in ["Books", "book", "books2", "b%6Foks", "books%20", "books;x", "books%2e"] {
        let answer = proxy.get(&format!("/items/{name}")).send();
        assert_eq!(answer.status, 404, "{name}");
        assert_eq!(answer.json()["message"], format!("Service '{name}' not found"));
    }
}

#[test]
fn the_name_in_the_404_is_escaped_for_json() {
    let (_origin, proxy) = world();
    for (name, escaped) in [
        (r#"a"b"#, r#"a\"b"#),
        (r#"","admin":true,"x":""#, r#"\",\"admin\":true,\"x\":\""#),
        ("it's", "it's"),
    ] {
        let answer = proxy.get(&format!("/items/{name}")).send();
        assert_eq!(answer.text(), format!(r#"{{"message": "Service '{escaped}' not found"}}"#));
        assert_eq!(answer.json()["message"], format!("Service '{name}' not found"));
    }
}

#[test]
fn the_name_of_an_unknown_service_does_not_become_a_label() {
    let (_origin, proxy) = world();
    proxy.get("/items/made-up-by-a-stranger").send();
    proxy.access_line("/items/made-up-by-a-stranger");
    assert!(!proxy.admin("/metrics").text().contains("made-up"));
}
