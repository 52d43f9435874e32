//! What a route or a service says about fields: rules for requests and answers, and the Host that
//! the upstream sees.

use crate::support::{Answer, Head, Origin, Proxy, Request};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: secret/1.0\r\nX-Env: old\r\n\
                      X-Env: older\r\nVary: accept\r\nSet-Cookie: a=1\r\n\r\nok";

/// Sends the request that `request` makes of `GET /` through a route with these lines.
fn exchange(route: &str, request: impl Fn(Request) -> Request) -> (Head, Answer) {
    let origin = Origin::answering(ANSWER);
    let config = format!(
        "[[routes]]\nservice = \"origin\"\n{route}\n[services.origin]\nendpoints = [\"http://{}\"]\n",
        origin.address
    );
    let answer = request(Proxy::start(&config).get("/")).send();
    assert_eq!(answer.status, 200);
    (origin.last_head(), answer)
}

fn with_host(service: &str) -> (Origin, Head) {
    let origin = Origin::answering(ANSWER);
    let proxy = Proxy::start(&format!("{}{service}\n", origin.config()));
    proxy.get("/").header("Host", "Shop.test:81").send();
    let head = origin.last_head();
    (origin, head)
}

#[test]
fn set_replaces_all_fields_of_a_request_with_that_name() {
    let (head, _) = exchange("request_headers = { set = { X-Env = \"prod\" } }", |request| {
        request.header("x-env", "one").header("X-ENV", "two").header("X-Other", "three")
    });
    assert_eq!(head.headers("x-env"), ["prod"]);
    assert_eq!(head.headers("x-other"), ["three"]);
}

#[test]
fn add_keeps_what_the_client_sent_and_comes_behind_it() {
    let (head, _) = exchange("request_headers = { add = { x-env = \"prod\" } }", |request| {
        request.header("X-Env", "one")
    });
    assert_eq!(head.headers("x-env"), ["one", "prod"]);
}

#[test]
fn remove_takes_all_fields_of_that_name_from_a_request() {
    let (head, _) = exchange("request_headers = { remove = [\"X-Env\", \"cookie\"] }", |request| {
        request.header("x-env", "one").header("Cookie", "a=1").header("X-ENV", "two")
    });
    assert_eq!((head.header("x-env"), head.header("cookie")), (None, None));
}

#[test]
fn a_field_that_is_removed_and_added_has_the_added_value_alone() {
    let rules = "request_headers = { remove = [\"x-env\"], add = { x-env = \"prod\" } }";
    let (head, _) = exchange(rules, |request| request.header("X-Env", "one"));
    assert_eq!(head.headers("x-env"), ["prod"]);
}

#[test]
fn credentials_for_the_upstream_replace_the_clients() {
    let rules = "request_headers = { set = { Authorization = \"Basic b3VyczpvdXJz\" } }";
    let (head, _) = exchange(rules, |request| request.bearer("theirs"));
    assert_eq!(head.headers("authorization"), ["Basic b3VyczpvdXJz"]);
}

#[test]
fn a_client_cannot_add_to_a_field_that_the_route_sets_by_spelling_it_otherwise() {
    for (set, sent) in [
        ("x-tenant", "X_Tenant"),
        ("x-tenant", "x.tenant"),
        ("x_tenant", "X-Tenant"),
        ("x.tenant", "x_tenant"),
    ] {
        let rules = format!("request_headers = {{ set = {{ \"{set}\" = \"ours\" }} }}");
        let (head, _) = exchange(&rules, |request| request.header(sent, "theirs"));
        assert_eq!(head.headers(set), ["ours"], "{set}");
        assert_eq!(head.header(sent), None, "{sent} beside {set}");
    }
}

#[test]
fn a_rule_for_a_field_that_the_proxy_writes_wins() {
    for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"] {
        let set = format!("request_headers = {{ set = {{ {name} = \"by-the-route\" }} }}");
        let (head, _) = exchange(&set, |request| request);
        assert_eq!(head.headers(name), ["by-the-route"], "{name}");
        let remove = format!("request_headers = {{ remove = [\"{name}\"] }}");
        let (head, _) = exchange(&remove, |request| request);
        assert_eq!(head.header(name), None, "{name}");
    }
}

#[test]
fn rules_for_answers_set_add_and_remove() {
    let rules = "response_headers = { remove = [\"Server\"], set = { x-env = \"prod\" }, \
                 add = { vary = \"x-env\", strict-transport-security = \"max-age=1\" } }";
    let (_, answer) = exchange(rules, |request| request);
    assert_eq!(answer.header("server"), None);
    assert_eq!(answer.headers("x-env"), ["prod"]);
    assert_eq!(answer.headers("vary"), ["accept", "x-env"]);
    assert_eq!(answer.headers("strict-transport-security"), ["max-age=1"]);
    assert_eq!(answer.headers("set-cookie"), ["a=1"]);
}

#[test]
fn rules_for_answers_hold_for_the_answers_of_the_proxy_itself() {
    let rules = "response_headers = { set = { x-frame-options = \"DENY\" } }";
    let proxy = Proxy::start(&format!("[[routes]]\nrespond = {{ status = 404 }}\n{rules}"));
    assert_eq!(proxy.get("/").send().headers("x-frame-options"), ["DENY"]);
}

#[test]
fn rules_of_one_route_do_not_touch_another() {
    let origin = Origin::answering(ANSWER);
    let config = format!(
        "[[routes]]\npath = \"/a\"\nservice = \"origin\"\n\
         request_headers = {{ set = {{ x-env = \"prod\" }} }}\n\
         response_headers = {{ remove = [\"server\"] }}\n{}",
        origin.config()
    );
    let answer = Proxy::start(&config).get("/b").header("X-Env", "mine").send();
    assert_eq!(answer.headers("server"), ["secret/1.0"]);
    assert_eq!(origin.last_head().headers("x-env"), ["mine"]);
}

#[test]
fn the_clients_host_is_preserved_by_default_and_when_asked_for() {
    for service in ["", "host = \"preserve\""] {
        assert_eq!(with_host(service).1.headers("host"), ["Shop.test:81"], "{service}");
    }
}

#[test]
fn the_upstream_sees_the_endpoints_own_host_when_asked_for() {
    let (origin, head) = with_host("host = \"endpoint\"");
    assert_eq!(head.headers("host"), [origin.address.to_string()]);
    // Whom the client asked for is still told.
    assert_eq!(head.headers("x-forwarded-host"), ["Shop.test:81"]);
}

#[test]
fn the_upstream_sees_a_named_host_when_asked_for() {
    assert_eq!(with_host("host = \"api.example:8443\"").1.headers("host"), ["api.example:8443"]);
}

#[test]
fn the_host_comes_first_and_once() {
    let (_, head) = with_host("");
    assert_eq!(head.fields[0].0.to_lowercase(), "host");
    assert_eq!(head.headers("host").len(), 1);
}

#[test]
fn the_host_of_an_absolute_target_is_the_one_that_is_preserved() {
    let origin = Origin::answering(ANSWER);
    let proxy = Proxy::start(&origin.config());
    proxy.get("http://target.test/a?b").header("Host", "field.test").send();
    let head = origin.last_head();
    assert_eq!(head.line, "GET /a?b HTTP/1.1");
    assert_eq!(head.headers("host"), ["target.test"]);
    assert_eq!(head.headers("x-forwarded-host"), ["target.test"]);
}
