//! With `auth` at the top level, who is not known learns nothing: whatever is asked for, in whatever
//! spelling, the answer is the same as where there is no route.

use proptest::prelude::*;

use crate::support::{
    Answer, Origin, Proxy, Request,
    http2::{Fields, Http2},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const APP: &str = "https://app.test";

/// Routes of every kind, all of them guarded by the top level's scheme.
fn world() -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let config = format!(
        "auth = \"a\"\nsecurity_headers = true\n\
         [auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"secret-token\"]\n\
         [rate_limits.many]\nrequests = 1000000\nburst = 100000\n\
         [[routes]]\npath = \"/admin/{{*rest}}\"\nservice = \"origin\"\n\
         require = {{ claims = {{ sub = [\"root\"] }} }}\n\
         response_headers = {{ set = {{ x-route = \"admin\", x-frame-options = \"DENY\" }} }}\n\
         [[routes]]\npath = \"/limited\"\nservice = \"origin\"\nrate_limits = [\"many\"]\n\
         security_headers = false\n\
         [[routes]]\npath = \"/read\"\nmethods = [\"GET\"]\nservice = \"origin\"\n\
         response_headers = {{ remove = [\"x-frame-options\"], add = {{ x-more = \"1\" }} }}\n\
         [[routes]]\npath = \"/local/{{*rest}}\"\nallow_clients = [\"10.0.0.0/8\"]\n\
         service = \"origin\"\n\
         [[routes]]\npath = \"/old\"\nredirect = {{ to = \"/new\" }}\n\
         [[routes]]\npath = \"/gone/{{*rest}}\"\nrespond = {{ status = 410, body = \"gone\" }}\n\
         [[routes]]\npath = \"/small\"\nservice = \"origin\"\nmax_body = \"1B\"\n\
         [[routes]]\nhost = \"other.test\"\nservice = \"origin\"\n\
         [[routes]]\npath = \"/pages/{{*rest}}\"\nservice = \"origin\"\n\
         cors = {{ origins = [\"{APP}\"], credentials = true }}\n\
         [services.origin]\nendpoints = [\"http://{}\"]\n",
        origin.address
    );
    let proxy = Proxy::start(&config);
    (origin, proxy)
}

/// All that an answer says but when it was given and to which request.
fn said(answer: &Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let mut fields = answer.fields.clone();
    fields.retain(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
    (answer.status, fields, answer.body.clone())
}

/// Paths to, near and far from the routes above, in many spellings.
const TARGETS: &str = "/{1,2}(admin|%61dmin|ADMIN|limited|Limited|read|read;x|local|loc%61l|old|gone|small|none|x)\
                       (/|//|%2f|%3f|/%2e%2e/admin/)?(x|list|%41|y;z|::)?(\\?a=/admin/x)?";
const METHODS: &str = "GET|POST|PUT|DELETE|OPTIONS|PATCH|PROPFIND|BREW|brew";

#[test]
fn a_stranger_gets_the_same_answer_wherever_it_asks() {
    let (origin, proxy) = world();
    let nowhere = said(&proxy.get("/nowhere").send());
    assert_eq!(nowhere.0, 401);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let asked = (METHODS, TARGETS, "(any|other)\\.test", proptest::option::of("wrong-token[a-z]"));
    let ran = runner.run(&asked, |(method, target, host, token)| {
        let request = proxy.request(&method, &target).header("Host", &host);
        let request = token.iter().fold(request, |request, token| request.bearer(token));
        prop_assert_eq!(said(&request.send()), nowhere.clone(), "{} {} {}", method, host, target);
        Ok(())
    });
    ran.expect("every answer is the same");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn over_http_2_as_well() {
    let (_origin, proxy) = world();
    let mut client = Http2::connect(proxy.address);
    let mut ask = |method: &str, path: &str| {
        let reply = client.ask(&Fields::new(method, path));
        let mut fields = reply.fields.clone();
        fields.retain(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
        (reply.status, fields, reply.body)
    };
    let nowhere = ask("GET", "/nowhere");
    assert_eq!(nowhere.0, 401);
    for (method, path) in [
        ("GET", "/admin/x"),
        ("GET", "//admin/x"),
        ("GET", "/limited"),
        ("POST", "/read"),
        ("GET", "/read"),
        ("GET", "/local/x"),
        ("GET", "/old"),
        ("GET", "/%67one/x"),
    ] {
        assert_eq!(ask(method, path), nowhere, "{method} {path}");
    }
}

/// The same requests, once the client is known.
#[test]
fn who_is_known_gets_what_there_is() {
    let (_origin, proxy) = world();
    let ask =
        |method: &str, target: &str| proxy.request(method, target).bearer("secret-token").send();
    for (method, target, status) in [
        ("GET", "/nowhere", 404),
        ("GET", "/admin/x", 403),
        ("GET", "//admin/x", 404),
        ("GET", "/%6cocal/x", 404),
        ("GET", "/limited", 200),
        ("POST", "/read", 405),
        ("GET", "/local/x", 403),
        ("GET", "/old", 308),
        ("GET", "/gone/x", 410),
    ] {
        assert_eq!(ask(method, target).status, status, "{method} {target}");
    }
    let limited = ask("GET", "/limited");
    assert!(limited.header("ratelimit").is_some() && limited.header("x-frame-options").is_none());
    // The client is known: the route may say what it likes.
    assert_eq!(ask("GET", "/admin/x").header("x-route"), Some("admin"));
}

#[test]
fn an_odd_spelling_is_refused_only_to_who_is_known() {
    let origin = Origin::answering(OK);
    let config = format!(
        "auth = \"a\"\n[auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"secret-token\"]\n\
         [[routes]]\npath = \"/secret-admin/{{*rest}}\"\nallow_clients = [\"10.0.0.0/8\"]\n\
         service = \"origin\"\n[[routes]]\npath = \"/{{*rest}}\"\nservice = \"origin\"\n{}",
        origin
            .config()
            .split("[services")
            .last()
            .map(|rest| format!("[services{rest}"))
            .expect("has one")
    );
    let proxy = Proxy::start(&config);
    for target in ["/secret-admin/x", "//secret-admin/x", "/%73ecret-admin/x", "/elsewhere"] {
        assert_eq!(said(&proxy.get(target).send()), said(&proxy.get("/x").send()), "{target}");
    }
    let known = |target: &str| proxy.get(target).bearer("secret-token").send().status;
    assert_eq!([known("//secret-admin/x"), known("/secret-admin/x"), known("/x")], [400, 403, 200]);
}

/// A page must be able to see that it has to sign in.
#[test]
fn a_browser_may_read_that_a_page_has_to_sign_in() {
    let (_origin, proxy) = world();
    let from = |request: Request| request.header("Origin", APP).send();
    let refused = from(proxy.get("/pages/x"));
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some(APP)));
    let mut other = said(&refused);
    other.1.retain(|(name, _)| !name.starts_with("access-control-") && name != "vary");
    assert_eq!(other, said(&proxy.get("/nowhere").send()));
}
