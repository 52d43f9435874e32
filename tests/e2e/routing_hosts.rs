//! The host of a request decides first: exact, then the longest wildcard, then any. The file lists
//! the worst match first, so that its order never explains the answer.

use crate::support::{Client, Proxy, named_routes as routes, route_of as name};

fn taken_by(proxy: &Proxy, host: &str, target: &str) -> String {
    name(&proxy.get(target).header("Host", host).send())
}

#[test]
fn an_exact_host_comes_before_wildcards_and_wildcards_before_any() {
    let proxy = Proxy::start(&routes([
        ("any", ""),
        ("short", "host = \"*.test\""),
        ("long", "host = \"*.a.test\""),
        ("exact", "host = [\"www.a.test\", \"other.test\"]"),
    ]));
    for (host, route) in [
        ("www.a.test", "exact"),
        ("other.test", "exact"),
        ("api.a.test", "long"),
        ("x.y.a.test", "long"),
        ("a.test", "short"),
        ("wwwa.test", "short"),
        ("test", "any"),
        ("www.a.test.evil.example", "any"),
        ("evil-test", "any"),
    ] {
        assert_eq!(taken_by(&proxy, host, "/"), route, "{host}");
    }
}

#[test]
fn port_case_and_final_dot_of_a_host_do_not_matter() {
    let proxy = Proxy::start(&routes([
        ("any", ""),
        ("wild", "host = \"*.B.test\""),
        ("exact", "host = [\"A.test\", \"[::1]\"]"),
    ]));
    for (host, route) in [
        ("a.test", "exact"),
        ("A.TEST", "exact"),
        ("a.test:8080", "exact"),
        ("a.test.", "exact"),
        ("A.Test.:80", "exact"),
        ("[::1]:8080", "exact"),
        ("X.b.TEST:80", "wild"),
    ] {
        assert_eq!(taken_by(&proxy, host, "/"), route, "{host}");
    }
}

#[test]
fn the_host_counts_more_than_the_path() {
    let proxy = Proxy::start(&routes([
        ("any", "path = \"/a/b\""),
        ("wild", "host = \"*.test\"\npath = \"/a/{x}\""),
        ("exact", "host = \"www.test\"\npath = \"/{*rest}\""),
    ]));
    assert_eq!(taken_by(&proxy, "www.test", "/a/b"), "exact");
    assert_eq!(taken_by(&proxy, "api.test", "/a/b"), "wild");
    assert_eq!(taken_by(&proxy, "example", "/a/b"), "any");
}

#[test]
fn the_authority_of_an_absolute_target_is_the_host() {
    let proxy = Proxy::start(&routes([
        ("other", "host = \"field.test\""),
        ("authority", "host = \"target.test\"\npath = \"/a\""),
    ]));
    let request = proxy.get("http://Target.test:81/a").header("Host", "field.test");
    assert_eq!(name(&request.send()), "authority");
}

#[test]
fn the_host_that_was_routed_is_the_host_that_is_logged() {
    let proxy = Proxy::start(&routes([("any", "")]));
    // RFC 9112 section 3.2.2: the field is to be ignored beside an absolute target.
    proxy.get("http://target.test/a").header("Host", "field.test").send();
    assert_eq!(proxy.access_line("/a")["host"], "target.test");
}

#[test]
fn a_user_name_in_an_absolute_target_is_not_taken_for_the_host() {
    let proxy = Proxy::start(&routes([
        ("any", ""),
        ("inner", "host = \"inner.test\""),
        ("outer", "host = \"outer.test\""),
    ]));
    // Refusing it is right too (RFC 9110 section 4.2.4).
    let taken = taken_by(&proxy, "any.test", "http://inner.test:x@outer.test/");
    assert!(["outer", "400"].contains(&taken.as_str()), "{taken}");
}

#[test]
fn a_request_without_a_host_is_taken_by_a_route_for_any_host() {
    let proxy = Proxy::start(&routes([("any", ""), ("wild", "host = \"*.test\"")]));
    let mut client = Client::connect(proxy.address);
    client.write("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(name(&client.answer("GET")), "any");
}
