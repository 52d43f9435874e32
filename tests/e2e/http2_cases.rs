//! Hostile requests over HTTP/2, from `h2` of `tests/fixtures/*wire-cases.json`: each is refused or
//! reaches the origin as one request of HTTP/1.1, and what is refused reaches no origin whole.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::{
    Head, Origin, Proxy,
    hostile::{SMUGGLED, assert_is_one_request, bytes, cases, list, text},
    http2::{Fields, Http2, Outcome, frame},
};

const DEADLINES: &str = "[server]\nheader_timeout = \"500ms\"\nbody_timeout = \"500ms\"\n";

/// Heads and bodies that came whole.
type Requests = Vec<(Head, Vec<u8>)>;

/// An origin that answers with the target of the request, and keeps what came whole.
struct Echo {
    origin: Origin,
    whole: Arc<Mutex<Requests>>,
}

impl Echo {
    fn start() -> Self {
        let whole: Arc<Mutex<Requests>> = Arc::default();
        let kept = Arc::clone(&whole);
        let origin = Origin::start(move |exchange| {
            while let Some(head) = exchange.request() {
                let Some(body) = exchange.whole_body(&head) else { return };
                let target = head.line.split(' ').nth(1).unwrap_or_default().to_owned();
                kept.lock().expect("no handler has panicked").push((head, body));
                let length = target.len();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}");
                exchange.write(answer);
            }
        });
        Self { origin, whole }
    }

    fn taken(&self) -> Requests {
        std::mem::take(&mut *self.whole.lock().expect("no handler has panicked"))
    }
}

fn fields(list: &Value) -> Fields {
    let list = list.as_array().expect("is a list");
    list.iter().fold(Fields::none(), |all, field| {
        let part = |index: usize| bytes(field[index].as_str().expect("is a string"));
        all.with(part(0), part(1))
    })
}

/// Sends a case: its head, its body and its trailers, each if it has one.
fn send(client: &mut Http2, case: &Value, head: &Fields) -> u32 {
    let stream = client.next_stream();
    let ends = case["end_stream"].as_bool().expect("is a boolean");
    let mut all = frame::headers(stream, &head.block(), ends);
    let trailers = &case["trailers"];
    if let Some(body) = case["body"].as_str() {
        all.extend(frame::data(stream, &bytes(body), trailers.is_null()));
    }
    if !trailers.is_null() {
        all.extend(frame::headers(stream, &fields(trailers).block(), true));
    }
    // A proxy that refuses may have closed.
    client.try_write(all);
    stream
}

/// The words of the file for how a case ended.
fn words(outcome: Outcome, is_forwarded: bool) -> Vec<String> {
    match outcome {
        Outcome::Status(status) if is_forwarded => {
            vec![status.to_string(), "forwarded-safely".to_owned()]
        }
        Outcome::Status(status) => vec![status.to_string(), "local".to_owned()],
        Outcome::Reset(_) => vec!["rst".to_owned()],
        Outcome::GoAway(_) => vec!["goaway".to_owned()],
        Outcome::Closed => vec!["close".to_owned()],
    }
}

/// What is wrong with how the proxy took a case.
fn wrong(case: &Value, echo: &Echo, outcome: Outcome) -> Option<String> {
    let mut taken = echo.taken();
    taken.retain(|(head, _)| !head.line.contains("/canary"));
    for (head, _) in &taken {
        assert_is_one_request(text(case, "name"), head);
    }
    let words = words(outcome, !taken.is_empty());
    let allowed = list(case, "expect");
    if !words.iter().any(|word| allowed.contains(word)) {
        return Some(format!("{outcome:?} ({words:?}) is none of {allowed:?}"));
    }
    if taken.len() > 1 || taken.iter().any(|(head, _)| head.line.contains(SMUGGLED)) {
        return Some(format!("smuggled: {taken:?}"));
    }
    let is_refused = outcome != Outcome::Status(200) && case["late"] != true;
    (is_refused && !taken.is_empty()).then(|| format!("refused, and forwarded whole: {taken:?}"))
}

/// Runs a case, and behind it a canary on its connection, if that goes on, and on one of its own.
fn run(proxy: &Proxy, echo: &Echo, case: &Value, head: &Fields) -> Option<String> {
    let mut client = Http2::connect(proxy.address);
    let stream = send(&mut client, case, head);
    let outcome = client.outcome(stream);
    let canary = Fields::get("/canary");
    let ends = matches!(outcome, Outcome::GoAway(_) | Outcome::Closed) || client.goaway().is_some();
    if !ends && client.ask(&canary).text() != "/canary" {
        return Some("a canary on the same connection got another answer".to_owned());
    }
    if Http2::connect(proxy.address).ask(&canary).text() != "/canary" {
        return Some("a canary on another connection got another answer".to_owned());
    }
    wrong(case, echo, outcome)
}

#[test]
fn hostile_requests_are_refused_or_forwarded_as_one() {
    let echo = Echo::start();
    let proxy = Proxy::start(&format!("{DEADLINES}{}", echo.origin.config()));
    let mut found = Vec::new();
    for case in cases("h2") {
        let given = fields(&case["headers"]);
        // The given file's are `https`, which alone may be refused where there is no TLS.
        let plain = text(&case, "name") != "scheme-odd"
            && case["headers"].as_array().is_some_and(|all| all.iter().any(|f| f[1] == "https"));
        let heads =
            if plain { vec![given.clone().set(":scheme", "http"), given] } else { vec![given] };
        for head in heads {
            if let Some(wrong) = run(&proxy, &echo, &case, &head) {
                found.push(format!("{}: {wrong}\n  {head:?}\n  {}", case["name"], case["why"]));
            }
        }
    }
    assert!(found.is_empty(), "{} cases:\n{}", found.len(), found.join("\n"));
}
