//! Hostile bytes from both sides, from `tests/fixtures/wire-cases.json`: each is answered as one of
//! its outcomes allows, nothing is smuggled past the routes, and a canary behind it gets its own
//! answer. (`h2` of the file waits for HTTP/2.)

use std::{io::BufRead, time::Duration, time::Instant};

use serde_json::Value;

use crate::support::{Client, Exchange, Origin, Proxy, eventually};

/// Requests for this must reach no origin, unless the case pipelines it openly.
const SMUGGLED: &str = "smuggled-7f3a";
const CANARY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary";

fn cases(of: &str) -> Vec<Value> {
    let file = include_str!("../fixtures/wire-cases.json");
    let mut file: Value = serde_json::from_str(file).expect("is JSON");
    match file[of].take() {
        Value::Array(cases) => cases,
        other => panic!("expected cases, found {other}"),
    }
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} of {case} is a string"))
}

fn list(case: &Value, key: &str) -> Vec<String> {
    let items = case[key].as_array().expect("is a list");
    items.iter().map(|item| item.as_str().expect("is a string").to_owned()).collect()
}

/// The file writes bytes as the characters of Latin-1.
fn bytes(latin_1: &str) -> Vec<u8> {
    latin_1.chars().map(|byte| u8::try_from(u32::from(byte)).expect("is Latin-1")).collect()
}

/// The status of the final answer; `None` if the connection ends without one.
fn final_status(client: &mut Client) -> Option<u16> {
    loop {
        if client.stream.fill_buf().map_or(true, <[u8]>::is_empty) {
            return None;
        }
        let (line, _) = client.head();
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.expect("has a status");
        if status >= 200 {
            return Some(status);
        }
    }
}

#[test]
fn hostile_requests_are_refused_or_forwarded_as_one() {
    let origin = Origin::answering(CANARY);
    let config = origin.config().replace(
        "service = \"origin\"",
        "service = \"origin\"\npath = [\"/\", \"/p\", \"/g\", \"/a\", \"/1\", \"/2\", \"/items/{*rest}\"]",
    );
    let proxy = Proxy::start(&config);
    for case in cases("requests") {
        let name = text(&case, "name");
        let before = origin.heads().len();
        let mut client = Client::connect(proxy.address);
        client.write(bytes(text(&case, "raw")));
        let status = final_status(&mut client);
        let heads = origin.heads().split_off(before);
        let outcomes: Vec<String> = [
            status.map(|status| status.to_string()),
            status.is_none().then(|| "close".to_owned()),
            (!heads.is_empty()).then(|| "forwarded-safely".to_owned()),
            (status.is_some() && heads.is_empty()).then(|| "local".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect();
        let allowed = list(&case, "expect");
        assert!(outcomes.iter().any(|one| allowed.contains(one)), "{name}: {outcomes:?} {heads:?}");
        let is_open = case["pipelined"] == true;
        let smuggled = heads.iter().any(|head| head.line.contains(SMUGGLED));
        assert!(is_open || !smuggled, "{name}: {heads:?}");
        assert_eq!(proxy.get("/g").send().text(), "canary", "behind {name}");
    }
}

/// Sends the pieces of a case, each followed by its pause.
fn play(case: &Value, exchange: &mut Exchange) {
    for piece in case["chunks"].as_array().expect("is a list") {
        exchange.write(bytes(piece[0].as_str().expect("is a string")));
        let pause = Duration::from_secs_f64(piece[1].as_f64().expect("is a number"));
        if pause > Duration::from_secs(60) {
            return exchange.wait_for_close();
        }
        let start = Instant::now();
        eventually("the pause to pass", || (start.elapsed() >= pause).then_some(()));
    }
    if case["end"] == "close" {
        exchange.close();
    }
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
    vec![format!("{status}:{}", answer.text()), status]
}

#[test]
fn hostile_answers_reach_no_client_as_something_else() {
    for case in cases("origins") {
        let (played, name) = (case.clone(), text(&case, "name").to_owned());
        let origin = Origin::start(move |exchange| {
            while let Some(head) = exchange.request() {
                exchange.body(&head);
                if head.line.contains("/case") {
                    play(&played, exchange);
                } else {
                    exchange.write(CANARY);
                }
            }
        });
        let timeouts = "timeouts = { response = \"1s\" }\n";
        let proxy = Proxy::start(&format!("{}{timeouts}", origin.config()));
        let outcomes = outcome(&proxy, text(&case, "method"));
        let allowed = list(&case, "client");
        assert!(outcomes.iter().any(|one| allowed.contains(one)), "{name}: {outcomes:?}");
        let before = origin.connections();
        assert_eq!(proxy.get("/canary").send().text(), "canary", "behind {name}");
        match text(&case, "pool") {
            "reusable" => assert_eq!(origin.connections(), before, "{name}: not reused"),
            "closed" => assert!(origin.connections() > before, "{name}: reused"),
            _ => {}
        }
    }
}
