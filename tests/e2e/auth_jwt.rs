//! Signed tokens: whose are believed, for how long, and what the upstream learns from them.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::{Answer, KeyServer, Origin, Proxy, SigningKey, eventually, seconds};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const INVALID: &str = "Bearer error=\"invalid_token\"";

struct World {
    key: SigningKey,
    keys: KeyServer,
    origin: Origin,
    proxy: Proxy,
}

impl World {
    fn start() -> Self {
        let key = SigningKey::new("first");
        let keys = KeyServer::start(&[&key]);
        let origin = Origin::answering(OK);
        let config = format!(
            r#"
            auth = "tokens"
            [auth_schemes.tokens]
            type = "jwt"
            jwks_url = "http://{keys}/keys?of=us"
            issuer = "https://id.test"
            audience = ["https://api.test", "other"]
            algorithms = ["ES256", "RS256"]
            leeway = "2s"
            required = {{ tier = ["gold", 7] }}
            claims_to_headers = {{ sub = "X-User", roles = "x-roles" }}
            [[routes]]
            path = "/"
            service = "origin"
            [[routes]]
            path = "/write"
            require = {{ scopes = ["write"], claims = {{ roles = "admin" }} }}
            service = "origin"
            [[routes]]
            path = "/open"
            auth = "none"
            service = "origin"
            [services.origin]
            endpoints = ["http://{origin}"]
            "#,
            keys = keys.origin.address,
            origin = origin.address,
        );
        let proxy = Proxy::start(&config);
        Self { key, keys, origin, proxy }
    }

    fn ask(&self, token: &str) -> Answer {
        self.proxy.get("/").bearer(token).send()
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://id.test", "aud": "https://api.test", "sub": "alice",
        "exp": seconds(300), "tier": "gold", "roles": ["user", "admin"], "scope": "read write",
    })
}

/// The claims with some of them changed, or taken away by `null`.
fn changed(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().expect("is an object") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("is one").remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn assert_invalid(answer: &Answer, why: &str) {
    assert_eq!(answer.status, 401, "{why}");
    let challenge = answer.headers("www-authenticate");
    assert!(challenge.len() == 1 && challenge[0].starts_with(INVALID), "{why}: {challenge:?}");
}

#[test]
fn a_token_of_the_issuer_is_let_in_and_its_claims_reach_the_upstream() {
    let world = World::start();
    let token = world.key.sign(&claims());
    let request = world.proxy.get("/").bearer(&token).header("x-user", "root");
    let request = request.header("X_User", "root").header("x.roles", "root").header("X-ROLES", "a");
    for _ in 0..2 {
        assert_eq!(request.send().text(), "ok");
        let head = world.origin.last_head();
        assert_eq!(head.headers("x-user"), ["alice"]);
        assert_eq!(head.headers("x-roles"), ["user,admin"]);
        let forged = head.fields.iter().filter(|(_, value)| value == "root" || value == "a");
        assert_eq!(forged.count(), 0, "{:?}", head.fields);
    }
    assert_eq!(world.proxy.access_line("/")["subject"], "alice");
}

#[test]
fn no_client_can_say_who_it_is_where_nobody_is_asked() {
    let world = World::start();
    let request = world.proxy.get("/open").header("x-user", "root").header("x_roles", "admin");
    assert_eq!(request.header("X.User", "root").send().status, 200);
    let head = world.origin.last_head();
    let forged = head.fields.iter().filter(|(_, value)| value == "root" || value == "admin");
    assert_eq!(forged.count(), 0, "{:?}", head.fields);
}

#[test]
fn a_request_without_token_is_told_the_scheme_alone() {
    let world = World::start();
    let answer = world.proxy.get("/").send();
    assert_eq!((answer.status, answer.headers("www-authenticate")), (401, vec!["Bearer"]));
}

#[test]
fn claims_that_do_not_hold_are_refused() {
    let world = World::start();
    for changes in [
        json!({"exp": seconds(-10)}),
        json!({"exp": null}),
        json!({"exp": "never"}),
        json!({"nbf": seconds(60)}),
        json!({"nbf": "now"}),
        json!({"iss": "https://evil.test"}),
        json!({"iss": null}),
        json!({"iss": ["https://id.test", "https://evil.test"]}),
        json!({"aud": "https://other.test"}),
        json!({"aud": ["https://other.test"]}),
        json!({"aud": null}),
    ] {
        let token = world.key.sign(&changed(&changes));
        assert_invalid(&world.ask(&token), &changes.to_string());
    }
    for changes in [
        json!({"exp": seconds(-1)}),
        json!({"nbf": seconds(1)}),
        json!({"aud": ["https://other.test", "other"]}),
        json!({"tier": 7}),
    ] {
        let token = world.key.sign(&changed(&changes));
        assert_eq!(world.ask(&token).status, 200, "{changes}");
    }
    let expired = world.ask(&world.key.sign(&changed(&json!({"exp": seconds(-10)}))));
    let told = expired.headers("www-authenticate")[0];
    assert!(told.contains("error_description=\"the token has expired\""), "{told}");
}

#[test]
fn a_valid_token_without_what_is_required_is_forbidden() {
    let world = World::start();
    for tier in [json!("silver"), json!(null), json!("7")] {
        for _ in 0..2 {
            let token = world.key.sign(&changed(&json!({ "tier": tier })));
            let answer = world.ask(&token);
            assert_eq!(answer.status, 403, "{tier}");
            let lacks = "Bearer error=\"insufficient_scope\"";
            assert_eq!(answer.headers("www-authenticate"), [lacks], "{tier}");
        }
    }
    let write = |token: &str| world.proxy.get("/write").bearer(token).send().status;
    assert_eq!(write(&world.key.sign(&claims())), 200);
    let reader = world.key.sign(&changed(&json!({"scope": "read"})));
    let answer = world.proxy.get("/write").bearer(&reader).send();
    let lacks = "Bearer error=\"insufficient_scope\", scope=\"write\"";
    assert_eq!((answer.status, answer.headers("www-authenticate")), (403, vec![lacks]));
    assert_eq!(write(&world.key.sign(&changed(&json!({"roles": ["user"]})))), 403);
}

#[test]
fn signatures_that_anybody_could_make_are_refused() {
    let world = World::start();
    let encoded = |header: &Value, claims: &Value| {
        use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
        let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        format!("{}.{}", part(header), part(claims))
    };
    for algorithm in ["none", "None", "NONE", "nOnE"] {
        let token = encoded(&json!({"alg": algorithm, "kid": "first"}), &claims()) + ".";
        assert_invalid(&world.ask(&token), algorithm);
    }
    // The public key, which everybody can read, as a secret.
    for algorithm in [Algorithm::HS256, Algorithm::HS384] {
        let mut header = Header::new(algorithm);
        header.kid = Some("first".to_owned());
        let secret = EncodingKey::from_secret(world.key.public_pem().as_bytes());
        let token = encode(&header, &claims(), &secret).expect("can be signed");
        assert_invalid(&world.ask(&token), "HMAC");
    }
    // Another key under the id of ours.
    let forged = SigningKey::new("first").sign(&claims());
    assert_invalid(&world.ask(&forged), "forged");
    // A field that must be understood.
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("first".to_owned());
    header.crit = Some(vec!["exp".to_owned()]);
    assert_invalid(&world.ask(&world.key.sign_with(&header, &claims())), "crit");
    let good = world.key.sign(&claims());
    let (signed, signature) = good.rsplit_once('.').expect("has a signature");
    let (header, _) = signed.split_once('.').expect("has claims");
    let other = world.key.sign(&changed(&json!({"sub": "bob"})));
    let other = other.split('.').nth(1).expect("has claims");
    for token in [
        format!("{header}.{other}.{signature}"),
        format!("{signed}."),
        signed.to_owned(),
        format!("{good}A"),
        format!("{good}.{signature}"),
        "a.b.c".to_owned(),
        "x".repeat(9000),
    ] {
        assert_invalid(&world.ask(&token), &token);
    }
    assert_eq!(world.origin.connections(), 0);
    assert_eq!(world.ask(&good).status, 200);
}

#[test]
fn strangers_cannot_make_the_proxy_ask_for_keys_again_and_again() {
    let world = World::start();
    assert_eq!(world.ask(&world.key.sign(&claims())).status, 200);
    for number in 0..50 {
        let unknown = SigningKey::new(&format!("unknown-{number}"));
        assert_invalid(&world.ask(&unknown.sign(&claims())), "unknown");
    }
    assert_eq!(world.keys.asked(), 1);
    assert_eq!(world.keys.origin.last_head().line, "GET /keys?of=us HTTP/1.1");
    let fetched = "proxy_jwks_fetches_total{scheme=\"tokens\",result=\"ok\"}";
    assert_eq!(world.proxy.metric(fetched), 1.0);
}

/// A proxy that was started while its key server was down.
fn without_keys() -> (SigningKey, KeyServer, Proxy) {
    let key = SigningKey::new("first");
    let keys = KeyServer::start(&[&key]);
    keys.go_down();
    let config = format!(
        "auth = \"tokens\"\n[auth_schemes.tokens]\ntype = \"jwt\"\nissuer = \"a\"\naudience = \"off\"\n\
         algorithms = \"ES256\"\njwks_url = \"http://{}/\"\n",
        keys.origin.address
    );
    let proxy = Proxy::start(&config);
    (key, keys, proxy)
}

/// OpenID Connect Core 1.0 section 10.1: of several keys, a token must say which.
#[test]
fn a_token_that_names_no_key_is_of_the_only_one() {
    let (first, second) = (SigningKey::new("first"), SigningKey::new("second"));
    for (keys, status) in [(&[&first][..], 404), (&[&first, &second], 401)] {
        let server = KeyServer::start(keys);
        let config = format!(
            "auth = \"tokens\"\n[auth_schemes.tokens]\ntype = \"jwt\"\n\
             issuer = \"https://id.test\"\naudience = \"off\"\nalgorithms = \"ES256\"\n\
             jwks_url = \"http://{}/\"\n",
            server.origin.address
        );
        let proxy = Proxy::start(&config);
        let token = |kid: Option<&str>| {
            let mut header = Header::new(Algorithm::ES256);
            header.kid = kid.map(str::to_owned);
            first.sign_with(&header, &claims())
        };
        // Once the keys are there.
        eventually("the keys", || {
            (proxy.get("/").bearer(&token(Some("first"))).send().status == 404).then_some(())
        });
        for _ in 0..3 {
            assert_eq!(proxy.get("/").bearer(&token(None)).send().status, status);
        }
        assert_eq!(server.asked(), 1, "it is no reason to fetch them again");
    }
}

#[test]
fn without_any_keys_nobody_can_be_known_and_that_is_said() {
    let (key, _keys, proxy) = without_keys();
    let answer = proxy.get("/").bearer(&key.sign(&claims())).send();
    assert_eq!(answer.status, 503);
    let status = "proxy; error=destination_unavailable; details=\"auth_unavailable\"";
    assert_eq!(answer.headers("proxy-status"), [status]);
    assert!(answer.header("retry-after").is_some());
    eventually("the log says why", || {
        let lines = proxy.program.stderr();
        lines.iter().any(|line| line.contains("key set could not be fetched")).then_some(())
    });
}

#[test]
fn keys_are_fetched_again_though_nobody_asks_for_anything() {
    let (key, keys, proxy) = without_keys();
    let fetches =
        |result: &str| format!("proxy_jwks_fetches_total{{scheme=\"tokens\",result=\"{result}\"}}");
    proxy.wait_for_metric(&fetches("failed"), 1.0);
    keys.publish(&[&key]);
    proxy.wait_for_metric(&fetches("ok"), 1.0);
}

#[test]
fn keys_may_stand_in_the_configuration() {
    let key = SigningKey::new("any");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key.pem");
    std::fs::write(&file, key.public_pem() + "\n").expect("can be written");
    let secret = "0123456789abcdef0123456789abcdef";
    let config = format!(
        r#"
        auth = "public"
        [auth_schemes.public]
        type = "jwt"
        public_key = {{ file = "{}" }}
        issuer = "https://id.test"
        audience = "off"
        algorithms = ["ES256"]
        [auth_schemes.shared]
        type = "jwt"
        secret = "{secret}"
        issuer = "https://id.test"
        audience = "https://api.test"
        algorithms = ["HS256"]
        [[routes]]
        path = "/shared"
        auth = "shared"
        respond = {{ status = 200, body = "shared" }}
        [[routes]]
        path = "/public"
        respond = {{ status = 200, body = "public" }}
        "#,
        file.display()
    );
    let proxy = Proxy::start(&config);
    let by_secret = EncodingKey::from_secret(secret.as_bytes());
    let by_secret = encode(&Header::new(Algorithm::HS256), &claims(), &by_secret).expect("signs");
    let by_key = key.sign(&changed(&json!({"aud": "anybody"})));
    assert_eq!(proxy.get("/public").bearer(&by_key).send().text(), "public");
    assert_eq!(proxy.get("/shared").bearer(&by_secret).send().text(), "shared");
    assert_eq!(proxy.get("/public").bearer(&by_secret).send().status, 401);
    assert_eq!(proxy.get("/shared").bearer(&by_key).send().status, 401);
}
