//! Another server decides about each request: what it is shown, what becomes of its answer, and
//! that no client can tell it another story than the one that is routed.

use crate::support::{Answer, Authority, ClosedPort, Head, Origin, Proxy, ServerTls};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const YES: &str = "HTTP/1.1 204 No Content\r\nX-User: alice\r\nX-Group: a\r\nX-Group: b\r\n\
                   X-Other: no\r\n\r\n";
const UNAVAILABLE: &str = "proxy; error=destination_unavailable; details=\"auth_unavailable\"";

struct World {
    auth: Origin,
    origin: Origin,
    proxy: Proxy,
}

impl World {
    fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::with_keys(answer, "")
    }

    fn with_keys(answer: impl Into<Vec<u8>>, keys: &str) -> Self {
        Self::of(Origin::answering(answer), keys)
    }

    fn of(auth: Origin, keys: &str) -> Self {
        let origin = Origin::answering(OK);
        let url = format!("http://{}/decide?from=proxy", auth.address);
        Self { proxy: Proxy::start(&config(&origin, &url, keys)), auth, origin }
    }

    /// What the server was shown and what the upstream got.
    fn heads(&self) -> [Head; 2] {
        [self.auth.last_head(), self.origin.last_head()]
    }
}

/// `/open` is for everybody; everything else is asked about.
fn config(origin: &Origin, url: &str, keys: &str) -> String {
    format!(
        "auth = \"main\"\n[auth_schemes.main]\ntype = \"forward\"\nurl = \"{url}\"\n\
         copy_headers = [\"X-User\", \"X-Group\"]\n{keys}\n\
         [[routes]]\npath = \"/open/{{*rest}}\"\nauth = \"none\"\nservice = \"origin\"\n{}",
        origin.config()
    )
}

#[track_caller]
fn assert_unavailable(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.header("proxy-status")), (503, Some(UNAVAILABLE)), "{what}");
}

#[test]
fn the_server_is_shown_the_request_without_its_body() {
    let world = World::answering(YES);
    let request = world.proxy.request("PUT", "/items?q=1&r=a%20b");
    let request = request.header("Cookie", "sid=1").bearer("a-token").header("X-Mine", "1");
    let answer = request.header("Expect", "100-continue").body("the body").send();
    assert_eq!(answer.text(), "ok");
    let [shown, forwarded] = world.heads();
    assert_eq!(shown.line, "GET /decide?from=proxy HTTP/1.1");
    for (name, value) in [
        ("host", world.auth.address.to_string()),
        ("x-forwarded-method", "PUT".to_owned()),
        ("x-forwarded-uri", "/items?q=1&r=a%20b".to_owned()),
        ("x-forwarded-host", world.proxy.address.to_string()),
        ("x-forwarded-proto", "http".to_owned()),
        ("x-forwarded-for", "127.0.0.1".to_owned()),
        ("cookie", "sid=1".to_owned()),
        ("authorization", "Bearer a-token".to_owned()),
        ("x-mine", "1".to_owned()),
    ] {
        assert_eq!(shown.headers(name), [value], "{name}");
    }
    assert_eq!(shown.headers("x-request-id"), forwarded.headers("x-request-id"));
    for name in ["content-length", "transfer-encoding", "expect", "connection"] {
        assert_eq!(shown.header(name), None, "{name}");
    }
    assert_eq!(
        (forwarded.line.as_str(), forwarded.header("content-length")),
        ("PUT /items?q=1&r=a%20b HTTP/1.1", Some("8"))
    );
}

#[test]
fn connections_to_the_server_are_kept() {
    let world = World::answering(YES);
    for _ in 0..3 {
        assert_eq!(world.proxy.get("/").send().status, 200);
    }
    assert_eq!((world.auth.heads().len(), world.auth.connections()), (3, 1));
}

#[test]
fn only_the_fields_named_go_upstream_with_all_their_values() {
    let world = World::answering(YES);
    world.proxy.get("/").send();
    let head = world.origin.last_head();
    assert_eq!((head.headers("x-user"), head.headers("x-group")), (vec!["alice"], vec!["a", "b"]));
    assert_eq!(head.header("x-other"), None);
}

#[test]
fn a_client_cannot_say_who_it_is_in_any_spelling() {
    let world = World::answering("HTTP/1.1 204 No Content\r\n\r\n");
    for name in ["X-User", "x_user", "X.USER", "x-Group", "X_group"] {
        for target in ["/", "/open/a"] {
            world.proxy.get(target).header(name, "root").send();
            assert_eq!(world.origin.last_head().header(name), None, "{name} {target}");
        }
        assert_eq!(world.auth.last_head().header(name), None, "{name}");
    }
}

#[test]
fn a_client_cannot_tell_the_server_another_story() {
    let world = World::answering(YES);
    for name in [
        "X-Forwarded-Uri",
        "x_forwarded_uri",
        "X-Forwarded.Uri",
        "X-Forwarded-Method",
        "X_Forwarded-Method",
        "X-Forwarded-Host",
        "x.forwarded.host",
        "X-Forwarded-Proto",
        "X-Forwarded_Proto",
        "X-Forwarded-For",
        "X_Forwarded_For",
        "X-Original-Url",
        "X-Original-Uri",
        "x_original_uri",
        "X-Original-Method",
        "X-Rewrite-Url",
        "Forwarded",
    ] {
        world.proxy.get("/items").header(name, "/open/spoofed").send();
        let shown = world.auth.last_head();
        let is_spoofed = shown.fields.iter().any(|(_, value)| value.contains("spoofed"));
        assert!(!is_spoofed, "{name}: {shown:?}");
        assert_eq!(shown.headers("x-forwarded-uri"), ["/items"], "{name}");
        assert_eq!(shown.headers("x-forwarded-method"), ["GET"], "{name}");
    }
}

#[test]
fn a_client_cannot_have_fields_taken_away_by_naming_them_in_connection() {
    let world = World::answering(YES);
    let names = "close, X-Forwarded-Uri, X-Forwarded-Method, X-Forwarded-Host, X-Forwarded-For, \
                 X-Forwarded-Proto, Authorization, Cookie, X-User, X-Group";
    let request = world.proxy.get("/items").bearer("a-token").header("Cookie", "sid=1");
    assert_eq!(request.header("Connection", names).send().status, 200);
    let [shown, forwarded] = world.heads();
    for name in names.split(", ").skip(1).take(7) {
        assert_eq!(shown.headers(name).len(), 1, "{name}");
    }
    for (name, count) in [("authorization", 1), ("cookie", 1), ("x-user", 1), ("x-group", 2)] {
        assert_eq!(forwarded.headers(name).len(), count, "{name}");
    }
}

#[test]
fn the_server_sees_the_path_that_is_routed() {
    let world = World::answering(YES);
    for (target, uri) in [
        ("/open/../admin?a=1", "/admin?a=1"),
        ("/open/%2e%2e/admin", "/admin"),
        ("/open/./../admin", "/admin"),
        ("/a/b/../c/?x=/../y", "/a/c/?x=/../y"),
    ] {
        assert_eq!(world.proxy.get(target).send().status, 200, "{target}");
        let [shown, forwarded] = world.heads();
        assert_eq!(shown.headers("x-forwarded-uri"), [uri], "{target}");
        assert_eq!(forwarded.line, format!("GET {uri} HTTP/1.1"), "{target}");
    }
    world.proxy.get("/admin/../open/a").send();
    assert_eq!(world.auth.heads().len(), 4, "what is open is not asked about");
    let whole = format!("http://{}?x=1", world.proxy.address);
    world.proxy.get(&whole).send();
    assert_eq!(world.auth.last_head().headers("x-forwarded-uri"), ["/?x=1"]);
}

#[test]
fn conditions_and_ranges_are_for_the_upstream_alone() {
    let world = World::answering(YES);
    for name in [
        "If-None-Match",
        "If-Match",
        "If-Modified-Since",
        "If-Unmodified-Since",
        "Range",
        "If-Range",
    ] {
        world.proxy.get("/").header(name, "\"a\"").send();
        let [shown, forwarded] = world.heads();
        assert_eq!((shown.header(name), forwarded.header(name)), (None, Some("\"a\"")), "{name}");
    }
}

#[test]
fn what_the_server_answers_goes_to_the_client() {
    for status in [301, 302, 303, 307, 400, 401, 403, 404, 429] {
        let world = World::answering(format!(
            "HTTP/1.1 {status} Whatever\r\nContent-Type: text/html\r\nLocation: https://id.test/\r\n\
             WWW-Authenticate: Bearer realm=\"a\"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
             Cache-Control: no-store\r\nRetry-After: 7\r\nServer: inside\r\nX-Secret: 1\r\n\
             X-User: alice\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nContent-Length: 5\r\n\r\nlogin"
        ));
        let answer = world.proxy.request("POST", "/items").body("unread").send();
        assert_eq!((answer.status, answer.text().as_str()), (status, "login"));
        for (name, values) in [
            ("content-type", vec!["text/html"]),
            ("location", vec!["https://id.test/"]),
            ("www-authenticate", vec!["Bearer realm=\"a\""]),
            ("set-cookie", vec!["a=1", "b=2"]),
            ("cache-control", vec!["no-store"]),
            ("retry-after", vec!["7"]),
            ("server", vec![]),
            ("x-secret", vec![]),
            ("x-user", vec![]),
            ("x-hop", vec![]),
        ] {
            assert_eq!(answer.headers(name), values, "{status} {name}");
        }
        assert_eq!(world.origin.connections(), 0, "{status}");
        assert_eq!(world.proxy.access_line("/items")["reason"], "not_authenticated");
    }
}

#[test]
fn an_answer_to_head_has_no_body() {
    let world = World::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let mut client = crate::support::Client::connect(world.proxy.address);
    for _ in 0..2 {
        let answer = world.proxy.request("HEAD", "/").send_on(&mut client);
        assert_eq!(answer.status, 403);
    }
    assert_eq!(world.auth.last_head().headers("x-forwarded-method"), ["HEAD"]);
}

#[test]
fn what_is_no_decision_lets_nobody_in() {
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n{}", "x".repeat(65537));
    for answer in [
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 600 What\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "not HTTP at all\r\n\r\n",
        &long,
    ] {
        let world = World::answering(answer);
        assert_unavailable(&world.proxy.get("/").send(), &answer[..20.min(answer.len())]);
        assert_eq!(world.origin.connections(), 0);
    }
}

#[test]
fn an_answer_of_64_kib_is_passed_on() {
    let body = "x".repeat(64 << 10);
    let world = World::answering(format!("HTTP/1.1 403 No\r\nContent-Length: 65536\r\n\r\n{body}"));
    assert_eq!(world.proxy.get("/").send().text(), body);
}

#[test]
fn a_server_that_cannot_be_reached_or_says_nothing_lets_nobody_in() {
    let (origin, closed) = (Origin::answering(OK), ClosedPort::reserve());
    let gone = Proxy::start(&config(&origin, &format!("http://{}/", closed.address), ""));
    assert_unavailable(&gone.get("/").send(), "closed");
    let silent = Origin::start(|exchange| exchange.wait_for_close());
    let silent = World::of(silent, "timeout = \"50ms\"");
    assert_unavailable(&silent.proxy.get("/").send(), "silent");
    assert_eq!((origin.connections(), silent.origin.connections()), (0, 0));
}

#[test]
fn the_server_is_verified_where_it_is_asked_by_https() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("can be made"));
    let certified = authority.server(&["localhost"]);
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("is written");
    let auth = Origin::answering_tls(&ServerTls::showing(&certified), YES);
    let origin = Origin::answering(OK);
    let url = format!("https://localhost:{}/", auth.address.port());
    let trusting = config(&origin, &url, &format!("tls = {{ ca = \"{}\" }}", ca.display()));
    assert_eq!(Proxy::start(&trusting).get("/").send().text(), "ok");
    let trusting_the_system = config(&origin, &url, "");
    assert_unavailable(&Proxy::start(&trusting_the_system).get("/").send(), "the system's CAs");
}

#[test]
fn what_it_sets_for_the_client_comes_with_the_answer_of_the_endpoint() {
    let yes = "HTTP/1.1 200 OK\r\nSet-Cookie: session=2\r\nSet-Cookie: csrf=3\r\nX-Left: 1\r\n\
               X-Not: 1\r\nContent-Length: 0\r\n\r\n";
    let keys = "copy_to_client = [\"Set-Cookie\", \"x-left\"]";
    for (keys, cookies, left) in [(keys, &["session=2", "csrf=3"][..], Some("1")), ("", &[], None)]
    {
        let world = World::with_keys(yes, keys);
        let answer = world.proxy.get("/").send();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        assert_eq!(answer.headers("set-cookie"), cookies);
        assert_eq!((answer.header("x-left"), answer.header("x-not")), (left, None));
        assert!(world.origin.last_head().header("set-cookie").is_none());
    }
}
