//! Keys that are kept as SHA-256: tokens and API keys by name, several schemes for one route, and
//! what a route requires of a client that is known.

use sha2::{Digest, Sha256};

use crate::support::{Answer, Origin, Proxy};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn world() -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let config = format!(
        r#"
        auth = "header"
        [auth_schemes.header]
        type = "api_key"
        header = "X-Api-Key"
        key_sha256 = {{ alice = "{alice}", bob = "{bob}" }}
        [auth_schemes.query]
        type = "api_key"
        query = "api_key"
        key_sha256 = ["{alice}"]
        [auth_schemes.token]
        type = "bearer"
        token_sha256 = {{ ci = "{ci}" }}
        [auth_schemes.either]
        type = "any"
        schemes = ["token", "header"]
        [[routes]]
        path = "/header"
        service = "origin"
        [[routes]]
        path = "/query"
        auth = "query"
        service = "origin"
        [[routes]]
        path = "/either"
        auth = "either"
        service = "origin"
        [[routes]]
        path = "/named"
        auth = "either"
        require = {{ claims = {{ sub = ["alice", "carol"] }} }}
        service = "origin"
        [services.origin]
        endpoints = ["http://{address}"]
        "#,
        alice = sha256("alice-key-1234"),
        bob = sha256("bob-key-5678"),
        ci = sha256("token-of-ci"),
        address = origin.address,
    );
    let proxy = Proxy::start(&config);
    (origin, proxy)
}

fn assert_refused(answer: &Answer, challenges: &[&str]) {
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers("www-authenticate"), challenges);
}

#[test]
fn a_key_is_known_by_its_digest_and_its_name_stands_in_the_log() {
    let (_origin, proxy) = world();
    let answer = proxy.get("/header").header("x-api-key", "alice-key-1234").send();
    assert_eq!(answer.status, 200);
    assert_eq!(proxy.access_line("/header")["subject"], "alice");
    assert_eq!(proxy.get("/query?a=1&api_key=alice-key-1234").send().status, 200);
    assert_eq!(proxy.get("/either").bearer("token-of-ci").send().status, 200);
    assert_eq!(proxy.access_line("/either")["subject"], "ci");
    assert_eq!(proxy.access_line("/query")["subject"], serde_json::Value::Null);
}

#[test]
fn no_key_stands_in_the_log() {
    let (_origin, proxy) = world();
    proxy.get("/query?api_key=alice-key-1234").send();
    proxy.get("/query?api_key=wrong-key-1234").send();
    proxy.access_line("/query");
    let logged = proxy.program.stdout().join("\n") + &proxy.program.stderr().join("\n");
    assert!(!logged.contains("key-1234"), "{logged}");
}

#[test]
fn wrong_missing_and_doubled_keys_are_refused() {
    let (origin, proxy) = world();
    let key = |value: &str| proxy.get("/header").header("X-Api-Key", value);
    for request in [
        proxy.get("/header"),
        key(""),
        key("alice-key-123"),
        key("alice-key-12345"),
        key(&sha256("alice-key-1234")),
        key("alice-key-1234").header("X-Api-Key", "alice-key-1234"),
        proxy.get("/header").header("X_Api_Key", "alice-key-1234"),
        proxy.get("/header?x-api-key=alice-key-1234"),
        proxy.get("/header").bearer("alice-key-1234"),
    ] {
        assert_refused(&request.send(), &["ApiKey"]);
    }
    for target in
        ["/query", "/query?api_key=bob-key-5678", "/query?api_key=alice-key-1234&api_key="]
    {
        assert_refused(&proxy.get(target).send(), &["ApiKey"]);
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn any_takes_the_first_that_fits_and_names_all_when_none_does() {
    let (_origin, proxy) = world();
    let key = proxy.get("/either").header("X-Api-Key", "bob-key-5678");
    assert_eq!(key.send().status, 200);
    assert_refused(&proxy.get("/either").send(), &["Bearer", "ApiKey"]);
}

#[test]
fn who_is_known_but_has_another_name_than_is_required_is_forbidden() {
    let (origin, proxy) = world();
    let answer = proxy.get("/named").bearer("token-of-ci").send();
    assert_eq!((answer.status, answer.text().as_str()), (403, r#"{"message": "Forbidden"}"#));
    assert_eq!(answer.headers("www-authenticate"), ["Bearer error=\"insufficient_scope\""]);
    let status = "proxy; error=http_request_denied; details=\"forbidden\"";
    assert_eq!(answer.headers("proxy-status"), [status]);
    assert_eq!(proxy.get("/named").send().status, 401);
    assert_eq!(origin.connections(), 0);
    let count = |result: &str| {
        proxy.metric(&format!("proxy_auth_total{{scheme=\"either\",result=\"{result}\"}}"))
    };
    assert_eq!((count("forbidden"), count("missing")), (1.0, 1.0));
    let alice = proxy.get("/named").header("X-Api-Key", "alice-key-1234");
    assert_eq!(alice.send().status, 200);
}

/// Two schemes that look at the same token, and one that looks at another field.
fn with_guesses() -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let config = format!(
        r#"
        [auth_schemes.few]
        type = "bearer"
        token_sha256 = ["{ci}"]
        failures = {{ requests = 2, per = "1h" }}
        [auth_schemes.header]
        type = "api_key"
        header = "X-Api-Key"
        key_sha256 = ["{alice}"]
        failures = {{ requests = 2, per = "1h" }}
        [auth_schemes.other]
        type = "bearer"
        token_sha256 = ["{other}"]
        [auth_schemes.either]
        type = "any"
        schemes = ["few", "header", "other"]
        [[routes]]
        auth = "either"
        service = "origin"
        [services.origin]
        endpoints = ["http://{address}"]
        "#,
        ci = sha256("token-of-ci"),
        alice = sha256("alice-key-1234"),
        other = sha256("another-token"),
        address = origin.address,
    );
    let proxy = Proxy::start(&config);
    (origin, proxy)
}

#[test]
fn what_another_scheme_lets_in_was_no_guess() {
    let (_origin, proxy) = with_guesses();
    for _ in 0..8 {
        assert_eq!(proxy.get("/").bearer("another-token").send().status, 200);
        let both = proxy.get("/").bearer("a-wrong-token").header("X-Api-Key", "alice-key-1234");
        assert_eq!(both.send().status, 200);
    }
    assert_eq!(proxy.get("/").bearer("token-of-ci").send().status, 200);
}

#[test]
fn what_no_scheme_lets_in_is_a_guess_of_each_that_was_shown_something() {
    let (_origin, proxy) = with_guesses();
    let guess = || proxy.get("/").bearer("a-wrong-token").send().status;
    assert_eq!([guess(), guess(), guess()], [401, 401, 429]);
    assert_eq!(proxy.get("/").bearer("token-of-ci").send().status, 429);
    // Others are not held to it, nor is who shows the scheme nothing.
    assert_eq!(proxy.get("/").bearer("another-token").send().status, 200);
    assert_eq!(proxy.get("/").header("X-Api-Key", "alice-key-1234").send().status, 200);
    assert_eq!(proxy.get("/").header("X-Api-Key", "a-wrong-key").send().status, 401);
    assert_eq!(proxy.get("/").send().status, 401);
}
