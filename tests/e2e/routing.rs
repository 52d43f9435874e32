//! Which route takes a request: the path, then methods, then fields, then the order of the file.
//! Every route here answers its own name, and the file lists the worst match first, so that the
//! order of the file alone never explains the answer.

use crate::support::{
    Proxy,
    http2::{Fields, Http2},
    named_routes as routes, route_of as name,
};

fn taken_by(proxy: &Proxy, method: &str, host: &str, target: &str) -> String {
    name(&proxy.request(method, target).header("Host", host).send())
}

fn assert_taken(proxy: &Proxy, expected: &[(&str, &str)]) {
    for (target, route) in expected {
        assert_eq!(taken_by(proxy, "GET", "any.test", target), *route, "{target}");
    }
}

#[test]
fn text_comes_before_placeholders_and_placeholders_before_all_that_follows() {
    let proxy = Proxy::start(&routes([
        ("pathless", ""),
        ("rest", "path = \"/files/{*rest}\""),
        ("one", "path = \"/files/{name}\""),
        ("mixed", "path = \"/files/{name}.txt\""),
        ("text", "path = \"/files/list\""),
        ("deep", "path = \"/files/{name}/{*rest}\""),
    ]));
    assert_taken(
        &proxy,
        &[
            ("/files/list", "text"),
            ("/files/list?x=/files/a.txt", "text"),
            ("/files/a.txt", "mixed"),
            ("/files/a", "one"),
            ("/files/list2", "one"),
            ("/files/a/b", "deep"),
            ("/files/list/b", "deep"),
            ("/files/", "pathless"),
            ("/files", "pathless"),
            ("/", "pathless"),
        ],
    );
}

#[test]
fn paths_are_compared_byte_by_byte_and_whole() {
    let proxy = Proxy::start(&routes([("text", "path = [\"/a/b\", \"/p%20q\"]")]));
    assert_taken(
        &proxy,
        &[
            ("/a/b", "text"),
            ("/p%20q", "text"),
            ("/a/b/", "404"),
            ("/A/b", "404"),
            ("/a//b", "404"),
            ("/a/b/c", "404"),
            ("/a/%62", "404"),
        ],
    );
}

#[test]
fn a_placeholder_takes_one_whole_segment_and_never_nothing() {
    let proxy = Proxy::start(&routes([("one", "path = \"/a/{x}/c\"")]));
    let expected =
        [("/a/b/c", "one"), ("/a/b%2Fb/c", "one"), ("/a//c", "404"), ("/a/b/b/c", "404")];
    assert_taken(&proxy, &expected);
}

#[test]
fn routes_with_methods_come_before_those_without() {
    let proxy = Proxy::start(&routes([
        ("fields", "path = \"/a\"\nheaders = { x-env = \"canary\", x-b = \"1\" }"),
        ("methods", "path = \"/a\"\nmethods = [\"GET\", \"HEAD\"]"),
    ]));
    let request = |method| {
        name(&proxy.request(method, "/a").header("X-Env", "canary").header("X-B", "1").send())
    };
    assert_eq!(request("GET"), "methods");
    assert_eq!(request("POST"), "fields");
}

#[test]
fn the_route_with_more_fields_comes_first() {
    let proxy = Proxy::start(&routes([
        ("plain", ""),
        ("one", "headers = { x-env = \"canary\" }"),
        ("two", "headers = { x-env = \"canary\", x-b = \"1\" }"),
    ]));
    let get = || proxy.get("/");
    assert_eq!(name(&get().send()), "plain");
    assert_eq!(name(&get().header("X-Env", "canary").send()), "one");
    assert_eq!(name(&get().header("X-B", "1").header("X-Env", "canary").send()), "two");
    assert_eq!(name(&get().header("X-B", "1").send()), "plain");
}

#[test]
fn a_field_must_be_there_once_with_just_that_value() {
    let proxy = Proxy::start(&routes([("canary", "headers = { X-Env = \"canary\" }")]));
    let get = |values: &[&str]| {
        let request = proxy.get("/");
        name(&values.iter().fold(request, |request, value| request.header("x-eNV", value)).send())
    };
    assert_eq!(get(&["canary"]), "canary");
    for values in [&[][..], &["Canary"], &["canary2"], &["canary, canary"], &["canary", "canary"]] {
        assert_eq!(get(values), "404", "{values:?}");
    }
}

#[test]
fn equal_routes_are_taken_in_the_order_of_the_file() {
    let proxy = Proxy::start(&routes([
        ("z-first", "path = \"/a/{x}\""),
        // The name of a placeholder makes no difference to what it matches.
        ("a-second", "path = \"/a/{other}\""),
    ]));
    assert_taken(&proxy, &[("/a/b", "z-first")]);
}

#[test]
fn a_route_for_one_method_or_field_does_not_hide_a_more_general_one() {
    let proxy = Proxy::start(&routes([
        ("rest", "path = \"/items/{*rest}\""),
        ("list", "path = \"/items/list\"\nmethods = [\"GET\"]"),
        ("canary", "path = \"/items/{x}\"\nheaders = { x-env = \"canary\" }"),
        ("exact", "host = \"www.test\"\npath = \"/items/list\"\nmethods = [\"PUT\"]"),
    ]));
    for (method, host, route) in [
        ("GET", "www.test", "list"),
        ("PUT", "www.test", "exact"),
        ("PUT", "any.test", "rest"),
        ("POST", "www.test", "rest"),
    ] {
        assert_eq!(taken_by(&proxy, method, host, "/items/list"), route, "{method} {host}");
    }
    let canary = proxy.request("POST", "/items/list").header("X-Env", "canary").send();
    assert_eq!(name(&canary), "canary");
    assert_eq!(taken_by(&proxy, "GET", "any.test", "/items/else"), "rest");
}

#[test]
fn a_path_without_a_route_for_the_method_is_a_405_that_names_the_methods() {
    let proxy = Proxy::start(&routes([
        ("read", "path = \"/a\"\nmethods = [\"GET\", \"HEAD\"]"),
        ("write", "path = \"/{x}\"\nmethods = [\"HEAD\", \"PUT\"]"),
        ("canary", "path = \"/a\"\nmethods = [\"PATCH\"]\nheaders = { x-env = \"canary\" }"),
    ]));
    let answer = proxy.request("DELETE", "/a").send();
    let body = r#"{"message": "Method not allowed"}"#;
    assert_eq!((answer.status, answer.text().as_str()), (405, body));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.header("proxy-status"),
        Some("proxy; error=http_request_error; details=\"method_not_allowed\"")
    );
    let mut allowed: Vec<&str> = answer.header("allow").expect("is there").split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "PUT"]);
}

/// Some servers take `post` for `POST`, and what guards the one would not guard the other.
#[test]
fn a_known_method_in_other_letters_is_no_method() {
    let proxy = Proxy::start(&routes([("read", "methods = [\"GET\", \"BREW\"]"), ("rest", "")]));
    for method in ["get", "Get", "gET", "post", "Head", "propfind", "connect", "Trace", "options"] {
        assert_eq!(taken_by(&proxy, method, "any.test", "/"), "400", "{method}");
    }
    // One that nobody knows is what it is.
    assert_eq!(taken_by(&proxy, "frobnicate", "any.test", "/"), "rest");
    assert_eq!(taken_by(&proxy, "BREW", "any.test", "/"), "read");

    let mut client = Http2::connect(proxy.address);
    assert_eq!(client.ask(&Fields::new("post", "/")).status, 400);
    assert_eq!(client.ask(&Fields::new("POST", "/")).text(), "rest");
}

#[test]
fn a_method_that_only_the_file_knows_is_not_evaded_by_other_letters() {
    let guard = "methods = [\"FLUSH\"]\nallow_clients = [\"10.0.0.0/8\"]";
    let proxy = Proxy::start(&routes([("guard", guard), ("rest", "")]));
    for (method, taken) in [("FLUSH", "403"), ("flush", "400"), ("Flush", "400"), ("flow", "rest")]
    {
        assert_eq!(taken_by(&proxy, method, "any.test", "/"), taken, "{method}");
    }
}

#[test]
fn head_goes_where_get_goes() {
    let guard = "path = \"/a\"\nmethods = [\"GET\"]\nallow_clients = [\"10.0.0.0/8\"]";
    let proxy = Proxy::start(&routes([
        ("rest", "path = \"/{*rest}\""),
        ("guard", guard),
        ("get", "path = \"/b\"\nmethods = [\"GET\"]"),
        ("head", "path = \"/b\"\nmethods = [\"HEAD\"]"),
        ("head-of-all", "path = \"/{x}\"\nmethods = [\"HEAD\"]"),
    ]));
    let head = |target: &str| proxy.request("HEAD", target).send();
    assert_eq!((head("/a").status, proxy.get("/a").send().status), (403, 403));
    // Odd spellings as well.
    assert_eq!(head("/%61").status, 400);
    // A route that names it comes first, whatever the order of the file.
    for (target, route) in [("/b", "head"), ("/c", "head-of-all"), ("/c/d", "rest")] {
        let length = route.len().to_string();
        assert_eq!(head(target).header("content-length"), Some(length.as_str()), "{target}");
    }
}

#[test]
fn who_allows_get_allows_head() {
    let proxy = Proxy::start(&routes([("read", "path = \"/a\"\nmethods = [\"GET\", \"PUT\"]")]));
    assert_eq!(proxy.request("HEAD", "/a").send().status, 200);
    let answer = proxy.request("DELETE", "/a").send();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, PUT")));
}
