//! Hostile bytes from both sides, from `tests/fixtures/*wire-cases.json`: each is answered as one
//! of its outcomes allows, nothing is smuggled past the routes, what reaches an origin can be read
//! in one way only, and canaries behind it get their own answers. (Those of HTTP/2
//! are in `http2_cases.rs`.)

use std::{
    io::{BufRead, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    Client, Exchange, Head, Origin, Proxy, eventually,
    hostile::{SMUGGLED, assert_is_one_request, bytes, cases, in_shares, list, text},
};

const CANARY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary";

/// Cases that never end are ended by these.
const DEADLINES: &str = "[server]\nheader_timeout = \"500ms\"\nbody_timeout = \"500ms\"\n\
                         health_path = \"/health\"\n";

/// Answers that the proxy gives itself, each to be followed by a body that nobody wants.
const LOCAL_ROUTES: &str = r#"
[[routes]]
path = "/moved"
redirect = { to = "/elsewhere" }
[[routes]]
path = "/fixed"
respond = { body = "fixed" }
[[routes]]
path = "/only-get"
methods = ["GET"]
service = "origin"
[[routes]]
path = "/small"
max_body = "8B"
service = "origin"
[[routes]]
path = "/private"
auth = "tokens"
service = "origin"
[auth_schemes.tokens]
type = "bearer"
tokens = ["wire-token"]
"#;

/// Answers with the target of the request, so that no answer can be taken for another's.
fn echo() -> Origin {
    Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            exchange.body(&head);
            let target = head.line.split(' ').nth(1).unwrap_or_default();
            let length = target.len();
            let fields = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            exchange.write(if head.line.starts_with("HEAD ") { fields } else { fields + target });
        }
    })
}

/// The status and body of the next final answer; `None` if the connection ends without one.
fn next_answer(client: &mut Client, method: &str) -> Option<(u16, String)> {
    if client.stream.fill_buf().map_or(true, <[u8]>::is_empty) {
        return None;
    }
    let answer = client.answer(method);
    Some((answer.status, answer.text()))
}

/// What the client may see from here on, once it asks for a canary: its own answer, or the end of
/// the connection, before it no more than the answers to what the case had pipelined.
fn follow(client: &mut Client, name: &str) {
    let canary = "GET /canary HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    if client.stream.get_mut().write_all(canary.as_bytes()).is_err() {
        return;
    }
    while let Some((status, body)) = next_answer(client, "GET") {
        if body == "/canary" {
            assert!(client.is_closed(), "{name}: more behind the last answer");
            return;
        }
        assert!(status >= 400 || body.starts_with('/'), "{name}: {status} {body:?}");
    }
}

fn assert_allowed(name: &str, case: &Value, status: Option<u16>, heads: &[Head]) {
    let outcomes: Vec<String> = [
        status.map(|status| status.to_string()),
        status.is_none().then(|| "close".to_owned()),
        matches!(status, None | Some(408)).then(|| "timeout".to_owned()),
        (status.is_some() && !heads.is_empty()).then(|| "forwarded-safely".to_owned()),
        (status.is_some() && heads.is_empty()).then(|| "local".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let allowed = list(case, "expect");
    assert!(outcomes.iter().any(|one| allowed.contains(one)), "{name}: {outcomes:?} {heads:?}");
    let smuggled = heads.iter().any(|head| head.line.contains(SMUGGLED));
    assert!(case["pipelined"] == true || !smuggled, "{name}: {heads:?}");
}

/// Sends the case; the status of the first final answer.
fn send(client: &mut Client, raw: &str) -> Option<u16> {
    // A proxy that refuses may stop to read.
    let _ = client.stream.get_mut().write_all(&bytes(raw));
    let method = if raw.starts_with("HEAD ") { "HEAD" } else { "GET" };
    next_answer(client, method).map(|(status, _)| status)
}

fn run_requests(cases: &[Value]) {
    let origin = echo();
    let start = |more: &str| {
        let paths = "\"/p\", \"/g\", \"/a\", \"/1\", \"/2\", \"/canary\", \"/items/{*rest}\"";
        let routes = format!("service = \"origin\"\npath = [\"/\", {paths}{more}]");
        let config = origin.config().replace("service = \"origin\"", &routes);
        Proxy::start(&format!("{DEADLINES}{config}{LOCAL_ROUTES}"))
    };
    // What is smuggled has a route, so that it would arrive; but not where the target of the
    // request itself leads there, which routes then decide about.
    let (without, with) = (start(""), start(&format!(", \"/{SMUGGLED}\"")));
    for case in cases {
        let (name, raw) = (text(case, "name"), text(case, "raw"));
        let is_own_target = raw.lines().next().is_some_and(|line| line.contains(SMUGGLED));
        let proxy = if is_own_target { &without } else { &with };
        let before = origin.heads().len();
        let mut client = Client::connect(proxy.address);
        let status = send(&mut client, raw);
        follow(&mut client, name);
        assert_eq!(proxy.get("/canary").send().text(), "/canary", "behind {name}");
        let mut heads = origin.heads().split_off(before);
        heads.iter().for_each(|head| assert_is_one_request(name, head));
        heads.retain(|head| !head.line.contains("/canary"));
        assert_allowed(name, case, status, &heads);
    }
}

#[test]
fn hostile_requests_are_refused_or_forwarded_as_one() {
    in_shares("requests", run_requests);
}

#[test]
fn a_strangers_hostile_requests_reach_no_origin() {
    let origin = echo();
    let config = format!("{DEADLINES}{}{LOCAL_ROUTES}", origin.config());
    let proxy = Proxy::start(&format!("auth = \"tokens\"\n{config}"));
    for case in cases("requests") {
        let (name, raw) = (text(&case, "name"), text(&case, "raw"));
        let status = send(&mut Client::connect(proxy.address), raw);
        let is_health = raw.contains(" /health ") && status == Some(200);
        assert!(is_health || status.is_none_or(|status| status >= 400), "{name}: {status:?}");
    }
    let canary = proxy.get("/canary").bearer("wire-token").send();
    assert_eq!(canary.text(), "/canary");
    let lines: Vec<String> = origin.heads().into_iter().map(|head| head.line).collect();
    assert_eq!(lines, ["GET /canary HTTP/1.1"]);
}

/// Sends the pieces of a case, each followed by its pause; false if the connection is at its end.
fn play(case: &Value, exchange: &mut Exchange) -> bool {
    for piece in case["chunks"].as_array().expect("is a list") {
        exchange.write(bytes(piece[0].as_str().expect("is a string")));
        let pause = Duration::from_secs_f64(piece[1].as_f64().expect("is a number"));
        if pause > Duration::from_secs(60) {
            exchange.wait_for_close();
            return false;
        }
        let start = Instant::now();
        eventually("the pause to pass", || (start.elapsed() >= pause).then_some(()));
    }
    match text(case, "end") {
        "close" => exchange.close(),
        "reset" => exchange.reset(),
        _ => return true,
    }
    false
}

/// What the client got: `200:body`, `abort` if the body broke off, or the status alone.
fn outcome(proxy: &Proxy, method: &str) -> Vec<String> {
    let request = proxy.request(method, "/case");
    let request = if method == "POST" { request.body("body") } else { request };
    let answer = request.send();
    let status = answer.status.to_string();
    if !answer.is_whole {
        return vec!["abort".to_owned()];
    }
    assert!(answer.headers("content-length").len() <= 1, "{:?}", answer.fields);
    vec![format!("{status}:{}", answer.text()), status]
}

/// An origin that plays `case` to `/case` and answers a canary to all else; how often it has played.
fn player(case: &Value) -> (Origin, Arc<AtomicUsize>) {
    let (case, played) = (case.clone(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&played);
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            exchange.body(&head);
            if !head.line.contains("/case") {
                exchange.write(CANARY);
                continue;
            }
            let goes_on = play(&case, exchange);
            count.fetch_add(1, Ordering::SeqCst);
            if !goes_on {
                return;
            }
        }
    });
    (origin, played)
}

fn run_origin(case: &Value) {
    let name = text(case, "name");
    let (origin, played) = player(case);
    let timeouts = "timeouts = { response = \"1s\" }\n";
    let proxy = Proxy::start(&format!("{}{timeouts}", origin.config()));
    let outcomes = outcome(&proxy, text(case, "method"));
    let allowed = list(case, "client");
    assert!(outcomes.iter().any(|one| allowed.contains(one)), "{name}: {outcomes:?}");
    eventually("the case to be played", || (played.load(Ordering::SeqCst) > 0).then_some(()));
    let before = origin.connections();
    for _ in 0..2 {
        assert_eq!(proxy.get("/canary").send().text(), "canary", "behind {name}");
    }
    match text(case, "pool") {
        "reusable" => assert_eq!(origin.connections(), before, "{name}: not reused"),
        "closed" => assert!(origin.connections() > before, "{name}: reused"),
        _ => {}
    }
}

#[test]
fn hostile_answers_reach_no_client_as_something_else() {
    in_shares("origins", |cases| cases.iter().for_each(run_origin));
}
