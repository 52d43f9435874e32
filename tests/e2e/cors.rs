//! What a browser is told that asks for a page of another origin (Fetch standard, section 3.3).

use crate::support::{Answer, ClosedPort, Origin, Proxy, Request};

/// An upstream that has an opinion of its own.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nVary: accept\r\n\
                      Access-Control-Allow-Origin: https://theirs.test\r\n\
                      access-control-allow-credentials: true\r\n\
                      Access-Control-Expose-Headers: x-theirs\r\n\r\nok";
const APP: &str = "https://app.test";
const CORS: &str = "cors = { origins = [\"https://app.test\", \"https://*.sub.test\"], \
                    headers = [\"Content-Type\", \"X-Token\"], expose = [\"X-Total\"], \
                    credentials = true, max_age = \"1h\" }";

struct World {
    origin: Origin,
    proxy: Proxy,
}

impl World {
    /// `/x` has these lines; everything needs a token.
    fn start(route: &str) -> Self {
        let origin = Origin::answering(ANSWER);
        let config = format!(
            "auth = \"a\"\n[auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"secret-token\"]\n\
             [[routes]]\nname = \"x\"\npath = \"/x\"\nservice = \"origin\"\n{route}\n{}",
            origin.config()
        );
        Self { proxy: Proxy::start(&config), origin }
    }

    fn get(&self, origin: &str) -> Answer {
        self.proxy.get("/x").bearer("secret-token").header("Origin", origin).send()
    }

    fn preflight(&self, origin: &str, method: &str) -> Answer {
        preflight(&self.proxy, "/x", origin, method).send()
    }
}

fn preflight(proxy: &Proxy, target: &str, origin: &str, method: &str) -> Request {
    let request = proxy.request("OPTIONS", target).header("Origin", origin);
    request.header("Access-Control-Request-Method", method)
}

/// The fields of CORS, in order of their names.
fn fields(answer: &Answer) -> Vec<(&str, &str)> {
    let fields = answer.fields.iter().filter(|(name, _)| name.starts_with("access-control-"));
    let mut fields: Vec<_> =
        fields.map(|(name, value)| (&name["access-control-".len()..], value.as_str())).collect();
    fields.sort_unstable();
    fields
}

#[test]
fn a_preflight_is_answered_by_the_proxy_without_a_token() {
    let world = World::start(CORS);
    let answer = world.preflight(APP, "GET");
    assert_eq!(answer.status, 204);
    assert_eq!(
        fields(&answer),
        [
            ("allow-credentials", "true"),
            ("allow-headers", "content-type, x-token"),
            ("allow-methods", "GET, HEAD, POST"),
            ("allow-origin", APP),
            ("max-age", "3600"),
        ]
    );
    assert_eq!(answer.headers("vary"), ["Origin"]);
    assert_eq!(world.origin.connections(), 0);
    let line = world.proxy.access_line("/x");
    assert_eq!((&line["route"], &line["status"]), (&"x".into(), &204.into()));
}

#[test]
fn the_route_of_the_method_that_is_asked_about_answers() {
    let route = "methods = [\"PUT\", \"DELETE\"]\n\
                 cors = { origins = [\"https://app.test\"], max_age = \"0s\" }";
    let world = World::start(route);
    let answer = world.preflight(APP, "DELETE");
    assert_eq!(answer.status, 204);
    assert_eq!(
        fields(&answer),
        [("allow-methods", "PUT, DELETE"), ("allow-origin", APP), ("max-age", "0")]
    );
    // These are another route's, which has no CORS and wants a token.
    for method in ["GET", "PATCH", "put"] {
        let answer = world.preflight(APP, method);
        assert_eq!((answer.status, fields(&answer)), (401, vec![]), "{method}");
    }
}

#[test]
fn what_is_no_preflight_goes_the_way_of_every_request() {
    let world = World::start(CORS);
    let options = || world.proxy.request("OPTIONS", "/x");
    for request in [
        options(),
        options().header("Origin", APP),
        options().header("Access-Control-Request-Method", "GET"),
        options()
            .header("Origin", APP)
            .header("Access-Control-Request-Method", "GET")
            .header("Access-Control-Request-Method", "PUT"),
        world.proxy.get("/x").header("Origin", APP).header("Access-Control-Request-Method", "GET"),
        preflight(&world.proxy, "/other", APP, "GET"),
    ] {
        assert_eq!(request.send().status, 401);
    }
    assert_eq!(options().bearer("secret-token").send().text(), "ok");
    assert_eq!(world.origin.last_head().line, "OPTIONS /x HTTP/1.1");
}

#[test]
fn an_origin_that_is_not_named_is_told_nothing() {
    let world = World::start(CORS);
    for origin in [
        "https://evil.test",
        "http://app.test",
        "https://app.test:8443",
        "https://app.test.evil.test",
        "https://evil.test/.sub.test",
        "https://sub.test",
        "https://evilsub.test",
        "null",
        "*",
        "",
    ] {
        let refused = world.preflight(origin, "GET");
        assert_eq!((refused.status, fields(&refused)), (403, vec![]), "{origin}");
        let answer = world.get(origin);
        assert_eq!((answer.status, fields(&answer)), (200, vec![]), "{origin}");
        assert_eq!(answer.headers("vary"), ["accept", "Origin"], "{origin}");
    }
    let twice = world.proxy.get("/x").bearer("secret-token").header("Origin", APP);
    let answer = twice.header("Origin", "https://evil.test").send();
    assert_eq!(fields(&answer), []);
}

#[test]
fn an_answer_carries_the_proxys_fields_instead_of_the_upstreams() {
    let world = World::start(CORS);
    for origin in [APP, "https://a.b.sub.test"] {
        let answer = world.get(origin);
        assert_eq!(
            fields(&answer),
            [
                ("allow-credentials", "true"),
                ("allow-origin", origin),
                ("expose-headers", "x-total"),
            ]
        );
        assert_eq!(answer.headers("vary"), ["accept", "Origin"]);
    }
}

#[test]
fn what_the_proxy_refuses_itself_can_be_read_too() {
    let world = World::start(CORS);
    let refused = world.proxy.get("/x").header("Origin", APP).send();
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some(APP)));

    let dead = ClosedPort::reserve();
    let config = format!(
        "[[routes]]\nservice = \"dead\"\n{CORS}\n[services.dead]\nendpoints = [\"http://{}\"]\n",
        dead.address
    );
    let failed = Proxy::start(&config).get("/").header("Origin", APP).send();
    assert_eq!((failed.status, failed.header("access-control-allow-origin")), (502, Some(APP)));

    let config = format!(
        "[rate_limits.few]\nrequests = 1\nper = \"1h\"\nburst = 1\n\
         [[routes]]\nrespond = {{}}\nrate_limits = [\"few\"]\n{CORS}\n"
    );
    let limited = Proxy::start(&config);
    for expected in [200, 429] {
        // A preflight is no request of the route's limits.
        assert_eq!(preflight(&limited, "/", APP, "GET").send().status, 204);
        let answer = limited.get("/").header("Origin", APP).send();
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!((answer.status, allowed), (expected, Some(APP)));
    }

    let denied = World::start(&format!("{CORS}\ndeny_clients = [\"127.0.0.1\"]"));
    for answer in [denied.get(APP), denied.preflight(APP, "GET")] {
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, Some(APP)));
        assert_eq!(answer.header("access-control-allow-methods"), None);
    }
}

#[test]
fn every_origin_is_allowed_by_a_star_and_the_answer_is_the_same_for_all() {
    let world = World::start("cors = { origins = [\"*\"], methods = [\"*\"], headers = [\"*\"] }");
    for origin in [APP, "null"] {
        let answer = world.get(origin);
        assert_eq!(fields(&answer), [("allow-origin", "*")]);
        assert_eq!(answer.headers("vary"), ["accept"]);
    }
    // A cache may keep this one, and give it to a page.
    let answer = world.proxy.get("/x").bearer("secret-token").send();
    assert_eq!(fields(&answer), [("allow-origin", "*")]);
    let answer = world.preflight(APP, "PATCH");
    assert_eq!(
        fields(&answer),
        [("allow-headers", "*"), ("allow-methods", "*"), ("allow-origin", "*"), ("max-age", "600"),]
    );
}

#[test]
fn null_is_allowed_where_it_is_named() {
    let world = World::start("cors = { origins = [\"null\"] }");
    assert_eq!(fields(&world.get("null")), [("allow-origin", "null")]);
}

#[test]
fn without_cors_the_upstream_speaks_for_itself() {
    let world = World::start("");
    let answer = world.get(APP);
    assert_eq!(answer.headers("access-control-allow-origin"), ["https://theirs.test"]);
    assert_eq!(answer.headers("vary"), ["accept"]);
    assert_eq!(world.preflight(APP, "GET").status, 401);
}
