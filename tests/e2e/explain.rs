//! `proxy explain`: which route takes a request, why the others do not, and what becomes of it. It
//! must say what the running proxy does.

use std::process::Command;

use crate::support::{Ended, Proxy, proxy_binary};

const ROUTES: &str = r#"
[[routes]]
name = "canary"
path = "/items/{service}"
headers = { x-env = "canary" }
service = "books"

[[routes]]
name = "list"
host = "api.test"
path = "/items/{service}"
methods = ["GET"]
service = "{service}"
rewrite = "/v1/{service}"

[[routes]]
path = "/old"
redirect = { to = "/new" }

[[routes]]
name = "rest"
path = "/{*rest}"
methods = ["GET", "PUT"]
service = "books"

[services.books]
endpoints = ["http://127.0.0.1:1"]
"#;

fn explain(args: &[&str]) -> Ended {
    Ended::with_file("explain", ROUTES, args)
}

#[test]
fn explain_says_which_route_takes_a_request_and_why_the_others_do_not() {
    let ended = explain(&["GET", "http://api.test/items/books"]);
    assert_eq!(
        ended.stdout,
        "route \"list\" sends it to service books as /v1/books\n\
         FILE:2:1: route \"canary\": a header it asks for is missing or different\n\
         FILE:8:1: route \"list\": takes the request\n\
         FILE:16:1: route \"route-3\": another path\n\
         FILE:20:1: route \"rest\": would match, but another route ranks before it\n"
    );
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

/// `{*rest}` is at least one byte: who guards or serves a folder means the folder itself, too.
#[test]
fn the_examples_take_a_folder_with_all_that_is_in_it() {
    for example in ["traffic", "auth"] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
        for path in ["/orders", "/orders/", "/orders/7"] {
            let file = format!("{folder}/{example}.toml");
            let mut command = Command::new(proxy_binary());
            command.args(["explain", "-c", &file, "GET", path]);
            let said = command.output().expect("runs");
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            assert!(said.starts_with("route \"orders\""), "{example} {path}: {said}");
        }
    }
}

#[test]
fn explain_looks_at_fields_method_and_host() {
    let ended =
        explain(&["POST", "/items/books", "-H", "X-Env: canary", "-H", "Host: API.test:80"]);
    assert_eq!(
        ended.stdout,
        "route \"canary\" sends it to service books as /items/books\n\
         FILE:2:1: route \"canary\": takes the request\n\
         FILE:8:1: route \"list\": another method\n\
         FILE:16:1: route \"route-3\": another path\n\
         FILE:20:1: route \"rest\": another method\n"
    );
    let ended = explain(&["GET", "/items/books", "-H", "Host: www.test"]);
    assert!(ended.stdout.contains("FILE:8:1: route \"list\": another host\n"), "{}", ended.stdout);
}

#[test]
fn explain_says_what_else_happens_to_a_request() {
    for (args, outcome) in [
        (&["GET", "/old"][..], "route \"route-3\" redirects it to /new with 308"),
        (&["DELETE", "/other"], "405: the path has a route, for GET, HEAD, PUT"),
        (&["GET", "/"], "404: no route takes this request"),
        (
            &["GET", "http://api.test/items/films"],
            "route \"list\" sends it to service films (unknown: 404) as /v1/films",
        ),
    ] {
        let ended = explain(args);
        assert_eq!(ended.stdout.lines().next(), Some(outcome), "{args:?}");
    }
}

/// The proxy answers there before any route is asked.
#[test]
fn explain_does_not_send_the_health_path_to_a_route() {
    let text = format!("[server]\nhealth_path = \"/health\"\n{ROUTES}");
    let ended = Ended::with_file("explain", &text, &["GET", "/health"]);
    assert!(!ended.stdout.contains("takes the request"), "{}", ended.stdout);
}

#[test]
fn explain_shows_the_location_that_a_redirect_really_has() {
    let proxy = Proxy::start(ROUTES);
    let answer = proxy.get("/old?x=1").send();
    let location = answer.header("location").expect("is there");
    let first = explain(&["GET", "/old?x=1"]).stdout.lines().next().map(str::to_owned);
    assert_eq!(first, Some(format!("route \"route-3\" redirects it to {location} with 308")));
}

#[test]
fn explain_explains_the_demo_if_no_file_is_named() {
    let ended = Ended::of(
        Command::new(proxy_binary())
            .args(["explain", "GET", "/items/books"])
            .env_remove("PROXY_CONFIG"),
    );
    let first = ended.stdout.lines().next();
    assert_eq!(first, Some("route \"items\" sends it to service books as /books"));
}

#[test]
fn explain_of_a_wrong_file_says_what_is_wrong_with_it() {
    let ended = Ended::with_file("explain", "auht = 1", &["GET", "/"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.starts_with("FILE:1:1: unknown key \"auht\""), "{}", ended.stderr);
}

#[test]
fn explain_refuses_a_path_that_could_be_read_as_one_that_another_route_guards() {
    let routes = "[auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"secret-token\"]\n\
                  [[routes]]\npath = \"/admin/{*rest}\"\nauth = \"a\"\nrespond = {}\n\
                  [[routes]]\npath = \"/{*rest}\"\nrespond = {}\n";
    let ended = Ended::with_file("explain", routes, &["GET", "/%61dmin/x"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (
            Some(1),
            "400 bad_request: a server may read this path as one that another route guards\n"
        )
    );
    assert_eq!(Proxy::start(routes).get("/%61dmin/x").send().status, 400);
}

#[test]
fn explain_refuses_the_methods_that_the_proxy_refuses() {
    let proxy = Proxy::start(ROUTES);
    for (method, said) in [("get", "400 bad_request"), ("TRACE", "405 method_not_allowed")] {
        let ended = explain(&[method, "/old"]);
        assert_eq!(ended.code, Some(1), "{method}");
        assert!(ended.stdout.starts_with(said), "{}", ended.stdout);
        let status = proxy.request(method, "/old").send().status;
        assert!(said.starts_with(&status.to_string()), "{method}: {status}");
    }
    assert!(
        explain(&["HEAD", "/other"]).stdout.contains("route \"rest\" sends it to service books")
    );
}
