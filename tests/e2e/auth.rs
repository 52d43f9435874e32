//! Who is let in: bearer tokens per route, the default for everything else, and the one path that
//! asks nobody.

use crate::support::{Answer, Origin, Proxy, Request};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const REFUSED: &str = r#"{"message": "Not authenticated"}"#;

struct World {
    origin: Origin,
    proxy: Proxy,
}

impl World {
    fn start() -> Self {
        let origin = Origin::answering(OK);
        let config = format!(
            r#"
            auth = "main"
            [server]
            health_path = "/health"
            [auth_schemes.main]
            type = "bearer"
            tokens = ["main-token", "second-token"]
            [auth_schemes.partner]
            type = "bearer"
            tokens = ["partner-token"]
            [[routes]]
            path = "/main"
            service = "origin"
            [[routes]]
            path = "/open"
            methods = ["GET"]
            auth = "none"
            service = "origin"
            [[routes]]
            path = "/partner"
            auth = "partner"
            service = "origin"
            [services.origin]
            endpoints = ["http://{}"]
            "#,
            origin.address
        );
        Self { proxy: Proxy::start(&config), origin }
    }

    fn get(&self, target: &str) -> Request {
        self.proxy.get(target)
    }
}

/// The whole refusal, and that nothing reached the upstream.
fn assert_refused(world: &World, answer: &Answer) {
    assert_eq!((answer.status, answer.text().as_str()), (401, REFUSED));
    assert_eq!(answer.headers("content-type"), ["application/json"]);
    assert_eq!(answer.headers("www-authenticate"), ["Bearer"]);
    assert_eq!(
        answer.headers("proxy-status"),
        ["proxy; error=http_request_denied; details=\"not_authenticated\""]
    );
    assert_eq!(world.origin.connections(), 0);
}

#[test]
fn a_known_token_is_let_in() {
    let world = World::start();
    for token in ["main-token", "second-token"] {
        assert_eq!(world.get("/main").bearer(token).send().text(), "ok", "{token}");
    }
}

#[test]
fn a_request_without_credentials_is_refused() {
    let world = World::start();
    assert_refused(&world, &world.get("/main").send());
}

#[test]
fn wrong_credentials_are_refused() {
    let world = World::start();
    for given in [
        "Bearer main-toke",
        "Bearer main-tokens",
        "Bearer Main-Token",
        "Bearer main-token second-token",
        "Bearer main-token, Bearer second-token",
        "Bearer ",
        "Bearer",
        "main-token",
        "Bearermain-token",
        "Basic main-token",
        "Basic bWFpbi10b2tlbg==",
        "",
    ] {
        assert_refused(&world, &world.get("/main").header("Authorization", given).send());
    }
}

#[test]
fn two_authorization_fields_are_refused_though_both_are_right() {
    let world = World::start();
    let twice = world.get("/main").bearer("main-token").bearer("main-token");
    assert_refused(&world, &twice.send());
}

#[test]
fn a_token_is_not_taken_from_another_spelling_or_place() {
    let world = World::start();
    for request in [
        world.get("/main").header("Proxy-Authorization", "Bearer main-token"),
        world.get("/main").header("X-Authorization", "Bearer main-token"),
        world.get("/main?access_token=main-token"),
        world.get("/main").header("Cookie", "token=main-token"),
    ] {
        assert_refused(&world, &request.send());
    }
}

#[test]
fn the_name_of_the_scheme_is_case_insensitive() {
    let world = World::start();
    for given in ["bearer main-token", "BEARER main-token", "bEaReR  main-token"] {
        let answer = world.get("/main").header("Authorization", given).send();
        assert_eq!(answer.status, 200, "{given}");
    }
}

#[test]
fn a_route_without_auth_asks_nobody() {
    let world = World::start();
    assert_eq!(world.get("/open").send().text(), "ok");
    assert_eq!(world.get("/open").bearer("wrong-token").send().text(), "ok");
}

#[test]
fn a_route_with_a_scheme_of_its_own_takes_that_schemes_tokens_alone() {
    let world = World::start();
    assert_refused(&world, &world.get("/partner").bearer("main-token").send());
    assert_eq!(world.get("/partner").bearer("partner-token").send().text(), "ok");
}

#[test]
fn the_default_scheme_does_not_take_the_tokens_of_a_routes_own() {
    let world = World::start();
    assert_refused(&world, &world.get("/main").bearer("partner-token").send());
}

#[test]
fn the_default_scheme_guards_requests_that_match_no_route() {
    let world = World::start();
    assert_refused(&world, &world.get("/nowhere").send());
    assert_refused(&world, &world.get("/nowhere").bearer("partner-token").send());
    assert_eq!(world.get("/nowhere").bearer("main-token").send().status, 404);
}

#[test]
fn a_stranger_does_not_learn_which_methods_a_path_has() {
    let world = World::start();
    let post = || world.proxy.request("POST", "/open");
    let refused = post().send();
    assert_refused(&world, &refused);
    assert_eq!(refused.header("allow"), None);
    assert_eq!(post().bearer("main-token").send().status, 405);
}

#[test]
fn authorization_still_reaches_the_upstream() {
    let world = World::start();
    world.get("/main").bearer("main-token").send();
    assert_eq!(world.origin.last_head().headers("authorization"), ["Bearer main-token"]);
}

#[test]
fn the_health_path_is_open_for_get_and_head() {
    let world = World::start();
    let answer = world.get("/health").send();
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"status": "ok"}"#));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let answer = world.proxy.request("HEAD", "/health").send();
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("16")));
    assert_eq!(world.origin.connections(), 0);
}

#[test]
fn any_other_method_on_the_health_path_is_routed_like_any_other_path() {
    let world = World::start();
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = || world.proxy.request(method, "/health");
        assert_refused(&world, &request().send());
        assert_eq!(request().bearer("main-token").send().status, 404, "{method}");
    }
}

#[test]
fn only_the_health_path_itself_is_open() {
    let world = World::start();
    for target in ["/health/", "/healthy", "/Health", "//health", "/%68ealth"] {
        assert_refused(&world, &world.get(target).send());
    }
}

#[test]
fn without_a_health_path_the_proxy_answers_none() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());
    assert_eq!(proxy.get("/health").send().text(), "ok");
    assert_eq!(origin.last_head().line, "GET /health HTTP/1.1");
}

#[test]
fn a_token_never_stands_in_the_access_log_or_the_events() {
    let origin = Origin::answering(OK);
    let config = format!(
        "auth = \"main\"\n[log]\nlevel = \"trace\"\n[auth_schemes.main]\ntype = \"bearer\"\n\
         tokens = [\"a-secret-of-ours\"]\n{}",
        origin.config()
    );
    let proxy = Proxy::start(&config);
    proxy.get("/right").bearer("a-secret-of-ours").header("Cookie", "sid=sweet-secret").send();
    proxy.get("/wrong").bearer("a-guess-of-theirs").send();
    proxy.access_line("/right");
    proxy.access_line("/wrong");
    let logged = [proxy.program.stdout(), proxy.program.stderr()].concat().join("\n");
    for secret in ["secret-of-ours", "guess-of-theirs", "sweet-secret"] {
        assert!(!logged.contains(secret), "{logged}");
    }
}
