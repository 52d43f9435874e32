//! Tokens that their issuer is asked about (RFC 7662): what it is asked, what becomes of its answer,
//! how long that is believed, and what happens if there is none.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, SystemTime},
};

use serde_json::json;

use crate::support::{
    Answer, Authority, Client, ClosedPort, Ended, Exchange, Origin, Proxy, Request, ServerTls,
    eventually,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const ACTIVE: &str = r#"{"active": true, "sub": "alice", "scope": "read write", "tier": 2}"#;
const UNAVAILABLE: &str = "proxy; error=destination_unavailable; details=\"auth_unavailable\"";

struct World {
    issuer: Origin,
    origin: Origin,
    proxy: Proxy,
    /// The bodies of the questions.
    forms: Arc<Mutex<Vec<String>>>,
}

impl World {
    /// An issuer that says this of every token; `keys` are those of the scheme.
    fn saying(answer: &str, keys: &str) -> Self {
        let answer = with_body("200 OK", answer);
        Self::start(keys, move |exchange, _| exchange.write(&answer))
    }

    /// An issuer whose every answer is up to `answer`, which gets the form; false ends the
    /// connection.
    fn start(
        keys: &str,
        answer: impl Fn(&mut Exchange, &str) -> bool + Send + Sync + 'static,
    ) -> Self {
        let forms = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&forms);
        let issuer = Origin::start(move |exchange| {
            while let Some(head) = exchange.request() {
                let form = String::from_utf8(exchange.body(&head)).expect("is text");
                kept.lock().expect("no test has panicked").push(form.clone());
                if !answer(exchange, &form) {
                    return;
                }
            }
        });
        let origin = Origin::answering(OK);
        let url = format!("http://{}/introspect?tenant=a", issuer.address);
        let proxy = Proxy::start(&config(&origin, &url, keys));
        Self { issuer, origin, proxy, forms }
    }

    fn get(&self, token: &str) -> Request {
        self.proxy.get("/").bearer(token)
    }

    fn questions(&self) -> usize {
        self.issuer.heads().len()
    }
}

fn config(origin: &Origin, url: &str, keys: &str) -> String {
    format!(
        "auth = \"main\"\n[auth_schemes.main]\ntype = \"introspection\"\nurl = \"{url}\"\n\
         client_id = \"my client\"\nclient_secret = \"p:ss%\"\n{keys}\n{}",
        origin.config()
    )
}

fn with_body(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn in_seconds(seconds: f64) -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("is later");
    now.as_secs_f64() + seconds
}

#[track_caller]
fn assert_unavailable(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.header("proxy-status")), (503, Some(UNAVAILABLE)), "{what}");
}

#[test]
fn the_issuer_is_asked_as_rfc_7662_has_it() {
    let world = World::saying(ACTIVE, "");
    assert_eq!(world.get("a+b/c~d==").send().text(), "ok");
    let head = world.issuer.last_head();
    assert_eq!(head.line, "POST /introspect?tenant=a HTTP/1.1");
    assert_eq!(head.headers("host"), [world.issuer.address.to_string()]);
    assert_eq!(head.headers("authorization"), ["Basic bXkrY2xpZW50OnAlM0FzcyUyNQ=="]);
    assert_eq!(head.headers("content-type"), ["application/x-www-form-urlencoded"]);
    assert_eq!(head.headers("accept"), ["application/json"]);
    let form = "token=a%2Bb%2Fc%7Ed%3D%3D&token_type_hint=access_token";
    assert_eq!(*world.forms.lock().expect("no handler has panicked"), [form]);
}

#[test]
fn claims_of_an_active_token_go_upstream_in_place_of_what_the_client_says() {
    let world =
        World::saying(ACTIVE, "claims_to_headers = { sub = \"x-user\", tier = \"x-tier\" }");
    world.get("a-token").header("X-User", "mallory").header("x_tier", "9").send();
    let head = world.origin.last_head();
    assert_eq!((head.headers("x-user"), head.headers("x-tier")), (vec!["alice"], vec!["2"]));
    assert_eq!(head.header("x_tier"), None);
}

#[test]
fn a_token_that_is_not_active_is_refused() {
    for inactive in [
        r#"{"active": false}"#.to_owned(),
        json!({"active": true, "exp": in_seconds(-1.0)}).to_string(),
    ] {
        let world = World::saying(&inactive, "");
        let answer = world.get("a-token").send();
        assert_eq!(answer.status, 401, "{inactive}");
        assert_eq!(answer.headers("www-authenticate"), ["Bearer error=\"invalid_token\""]);
        assert_eq!(world.origin.connections(), 0);
    }
}

#[test]
fn nobody_is_asked_about_what_cannot_be_a_token() {
    let world = World::saying(ACTIVE, "");
    for (request, challenge) in [
        (world.proxy.get("/"), "Bearer"),
        (world.get("one").bearer("two"), "Bearer"),
        (world.proxy.get("/").header("Authorization", "Basic YTpi"), "Bearer"),
        (world.get(&"x".repeat(8193)), "Bearer error=\"invalid_token\""),
    ] {
        let answer = request.send();
        assert_eq!((answer.status, answer.headers("www-authenticate")), (401, vec![challenge]));
    }
    assert_eq!(world.questions(), 0);
    assert_eq!(world.get(&"x".repeat(8192)).send().status, 200);
}

#[test]
fn claims_that_are_required_must_be_there() {
    for (required, status) in [("sub = [\"bob\", \"alice\"]", 200), ("tier = 3", 403)] {
        let world = World::saying(ACTIVE, &format!("required = {{ {required} }}"));
        // Also from what is kept.
        for _ in 0..2 {
            assert_eq!(world.get("a-token").send().status, status, "{required}");
        }
        assert_eq!(world.questions(), 1);
    }
}

#[test]
fn an_answer_is_believed_for_its_token_alone() {
    let world = World::start("", |exchange, form| {
        let is_active = form.starts_with("token=good");
        exchange.write(with_body("200 OK", &json!({"active": is_active}).to_string()))
    });
    for _ in 0..3 {
        for (token, status) in [("good-1", 200), ("good-2", 200), ("bad-1", 401), ("Good-1", 401)] {
            assert_eq!(world.get(token).send().status, status, "{token}");
        }
    }
    assert_eq!(world.questions(), 4);
}

#[test]
fn without_a_cache_each_request_is_asked_about_over_one_connection() {
    let world = World::saying(ACTIVE, "cache = \"off\"");
    for _ in 0..3 {
        assert_eq!(world.get("a-token").send().status, 200);
    }
    assert_eq!((world.questions(), world.issuer.connections()), (3, 1));
}

#[test]
fn no_answer_is_believed_beyond_the_end_of_its_token() {
    let answer = json!({"active": true, "exp": in_seconds(0.4)}).to_string();
    let world = World::saying(&answer, "cache = \"1h\"");
    eventually("the end of the token", || {
        (world.get("a-token").send().status == 401).then_some(())
    });
}

#[test]
fn no_answer_is_believed_longer_than_the_configuration_says() {
    let world = World::saying(ACTIVE, "cache = \"1s\"");
    eventually("another question", || {
        assert_eq!(world.get("a-token").send().status, 200);
        (world.questions() > 1).then_some(())
    });
}

#[test]
fn what_is_no_answer_lets_nobody_in_and_is_not_kept() {
    for useless in [
        with_body("500 Internal Server Error", ACTIVE),
        with_body("401 Unauthorized", ACTIVE),
        with_body("201 Created", ACTIVE),
        with_body("302 Found", ACTIVE),
        with_body("200 OK", "active"),
        with_body("200 OK", "[]"),
        with_body("200 OK", "{}"),
        with_body("200 OK", r#"{"active": "true"}"#),
        with_body("200 OK", r#"{"active": true, "exp": "tomorrow"}"#),
        with_body("200 OK", &json!({"active": true, "sub": "x".repeat(64 << 10)}).to_string()),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"act\r\n".to_owned(),
        "not HTTP at all\r\n\r\n".to_owned(),
    ] {
        let (sent, what) = (Mutex::new(false), useless.chars().take(120).collect::<String>());
        let world = World::start("", move |exchange, _| {
            let mut was_sent = sent.lock().expect("no handler has panicked");
            let answer = if *was_sent { with_body("200 OK", ACTIVE) } else { useless.clone() };
            exchange.write(answer) && std::mem::replace(&mut *was_sent, true)
        });
        assert_unavailable(&world.get("a-token").send(), &what);
        assert_eq!(world.origin.connections(), 0);
        assert_eq!(world.get("a-token").send().status, 200, "{what}");
    }
}

#[test]
fn a_token_of_a_kind_that_the_issuer_does_not_look_at_is_refused() {
    let unsupported = r#"{"error": "unsupported_token_type"}"#;
    let unsupported = with_body("400 Bad Request", unsupported);
    let world = World::start("", move |exchange, _| exchange.write(&unsupported));
    assert_eq!(world.get("a.signed.token").send().status, 401);
    assert_eq!(world.get("a.signed.token").send().status, 401);
    assert_eq!(world.questions(), 1);
}

#[test]
fn that_the_issuer_fails_is_said_once_in_a_while_and_that_it_is_back_too() {
    let answers = ["401 Unauthorized", "500 Oops", "200 OK", "500 Oops", "200 OK"];
    let answers = answers.map(|status| with_body(status, ACTIVE));
    let given = Mutex::new(answers.into_iter());
    let world = World::start("cache = \"off\"", move |exchange, _| {
        let next = given.lock().expect("no panic").next();
        exchange.write(next.expect("is asked five times"))
    });
    for status in [503, 503, 200, 503, 200] {
        assert_eq!(world.get("token-1234").send().status, status);
    }
    let said = |what: &str| {
        let lines = world.proxy.program.stderr();
        lines.iter().filter(|line| line.contains(what)).count()
    };
    eventually("it is said", || (said("answers again") == 1).then_some(()));
    assert_eq!(said("does not answer"), 1);
    assert_eq!(said("status 401"), 1);
}

#[test]
fn an_issuer_that_cannot_be_reached_or_says_nothing_lets_nobody_in() {
    let origin = Origin::answering(OK);
    let closed = ClosedPort::reserve();
    let gone = Proxy::start(&config(&origin, &format!("http://{}/", closed.address), ""));
    assert_unavailable(&gone.get("/").bearer("a-token").send(), "closed");
    let silent = World::start("timeout = \"50ms\"", |exchange, _| {
        exchange.wait_for_close();
        false
    });
    assert_unavailable(&silent.get("a-token").send(), "silent");
    assert_eq!(silent.proxy.access_line("/")["reason"], "auth_unavailable");
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_not_waited_for() {
    let world = World::start("timeout = \"200ms\"", |exchange, _| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n");
        while exchange.write(" ") {
            thread::park_timeout(Duration::from_millis(20));
        }
        false
    });
    assert_unavailable(&world.get("a-token").send(), "endless");
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced() {
    let world = World::start("cache = \"off\"", |exchange, form| {
        // The first connection ends when it is asked for the second time.
        if exchange.connection == 0 && form.starts_with("token=second") {
            exchange.reset();
            return false;
        }
        exchange.write(with_body("200 OK", ACTIVE))
    });
    assert_eq!(world.get("first").send().status, 200);
    assert_eq!(world.get("second").send().status, 200);
    assert_eq!(world.issuer.connections(), 2);
}

#[test]
fn requests_with_one_token_wait_for_one_answer() {
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let world = World::start("", move |exchange, _| {
        let _ = gate.lock().expect("no handler has panicked").recv();
        exchange.write(with_body("200 OK", ACTIVE))
    });
    thread::scope(|scope| {
        let asking: Vec<_> =
            (0..5).map(|_| scope.spawn(|| world.get("a-token").send().status)).collect();
        world.proxy.wait_for_metric("proxy_requests_in_flight", 5.0);
        drop(open);
        for one in asking {
            assert_eq!(one.join().expect("is answered"), 200);
        }
    });
    assert_eq!(world.questions(), 1);
}

#[test]
fn a_client_that_leaves_does_not_take_the_answer_from_the_others() {
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let world = World::start("", move |exchange, _| {
        let _ = gate.lock().expect("no handler has panicked").recv();
        exchange.write(with_body("200 OK", ACTIVE))
    });
    let mut first = Client::connect(world.proxy.address);
    first.write(world.get("a-token").bytes());
    eventually("the question", || (world.questions() == 1).then_some(()));
    thread::scope(|scope| {
        let second = scope.spawn(|| world.get("a-token").send().status);
        world.proxy.wait_for_metric("proxy_requests_in_flight", 2.0);
        drop(first);
        world.proxy.wait_for_metric("proxy_requests_in_flight", 1.0);
        drop(open);
        assert_eq!(second.join().expect("is answered"), 200);
    });
}

/// Those of one client, which has half of the places while it is alone.
#[test]
fn a_question_that_not_even_may_wait_fails_at_once() {
    let world = World::start("timeout = \"60s\"", |exchange, _| {
        exchange.wait_for_close();
        false
    });
    let ask = |number| {
        let mut client = Client::connect(world.proxy.address);
        client.write(world.get(&format!("token-{number}")).bytes());
        client
    };
    let waiting: Vec<Client> = (0..64 + 512).map(ask).collect();
    eventually("the questions", || (world.questions() == 64).then_some(()));
    world.proxy.wait_for_metric("proxy_requests_in_flight", 64.0 + 512.0);
    assert_unavailable(&world.get("one-too-many").send(), "one too many");
    assert_eq!(world.questions(), 64);
    drop(waiting);
}

#[test]
fn the_issuer_is_verified_where_it_is_asked_by_https() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("can be made"));
    let certified = authority.server(&["localhost"]);
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("is written");
    let issuer =
        Origin::answering_tls(&ServerTls::showing(&certified), with_body("200 OK", ACTIVE));
    let origin = Origin::answering(OK);
    let url = format!("https://localhost:{}/", issuer.address.port());
    let trusting = config(&origin, &url, &format!("tls = {{ ca = \"{}\" }}", ca.display()));
    let get = |config: &str| Proxy::start(config).get("/").bearer("a-token").send();
    assert_eq!(get(&trusting).text(), "ok");
    let stranger = Authority::new();
    std::fs::write(&ca, stranger.pem()).expect("is written");
    assert_unavailable(&get(&trusting), "signed by another CA");
    let named = trusting.replace("localhost", "127.0.0.1");
    std::fs::write(&ca, authority.pem()).expect("is written");
    assert_unavailable(&get(&named), "for another name");
}

#[test]
fn a_ca_of_a_scheme_that_is_not_there_is_a_mistake_of_the_configuration() {
    let origin = Origin::answering(OK);
    let text = config(&origin, "https://localhost/", "tls = { ca = \"/nowhere/ca.pem\" }");
    let ended = Ended::with_file("check", &text, &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("FILE:7:14: \"/nowhere/ca.pem\""), "{}", ended.stderr);
}

#[test]
fn neither_token_nor_secret_stands_in_the_log() {
    let world = World::saying("no JSON", "[log]\nlevel = \"trace\"");
    assert_unavailable(&world.get("a-guess-of-theirs").send(), "no JSON");
    world.proxy.access_line("/");
    let logged = [world.proxy.program.stdout(), world.proxy.program.stderr()].concat().join("\n");
    assert!(logged.contains("nothing about the token"), "{logged}");
    for secret in ["guess-of-theirs", "p:ss%", "bXkrY2xpZW50"] {
        assert!(!logged.contains(secret), "{logged}");
    }
}
