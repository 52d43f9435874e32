//! Names and passwords from a file, and how many guesses an address has.

use argon2::Argon2;
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};

use crate::support::{Answer, Client, Origin, Proxy, Request};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CHALLENGE: &str = "Basic realm=\"back office\", charset=\"UTF-8\"";

struct World {
    origin: Origin,
    proxy: Proxy,
    _folder: tempfile::TempDir,
}

impl World {
    fn start(more: &str) -> Self {
        Self::costing(64, 1, more)
    }

    /// The more KiB and rounds, the longer takes the password of alice.
    fn costing(memory: u32, rounds: u32, more: &str) -> Self {
        let origin = Origin::answering(OK);
        let folder = tempfile::tempdir().expect("a folder");
        let users = folder.path().join("users");
        let bcrypt = bcrypt::hash("pass:word", 4).expect("can be hashed");
        let params = argon2::Params::new(memory, rounds, 1, None).expect("are valid");
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let mut output = [0; 32];
        let salt = b"salt-of-ours";
        argon2.hash_password_into("größe".as_bytes(), salt, &mut output).expect("can be hashed");
        let encoded = |bytes: &[u8]| BASE64_STANDARD_NO_PAD.encode(bytes);
        let (salt, output) = (encoded(salt), encoded(&output));
        let argon2 = format!("$argon2id$v=19$m={memory},t={rounds},p=1${salt}${output}");
        let text = format!("# two users\nbob:{bcrypt}\n\nalice:{argon2}\n");
        std::fs::write(&users, text).expect("can be written");
        let config = format!(
            r#"
            [server]
            trusted_proxies = ["127.0.0.1"]
            [auth_schemes.people]
            type = "basic"
            users = "{}"
            realm = "back office"
            {more}
            [[routes]]
            auth = "people"
            service = "origin"
            [services.origin]
            endpoints = ["http://{}"]
            "#,
            users.display(),
            origin.address
        );
        Self { proxy: Proxy::start(&config), origin, _folder: folder }
    }

    fn login(&self, credentials: &str) -> Request {
        let encoded = BASE64_STANDARD.encode(credentials);
        self.proxy.get("/").header("Authorization", &format!("Basic {encoded}"))
    }

    /// Behind a trusted proxy.
    fn from(&self, client: &str, credentials: &str) -> Answer {
        self.login(credentials).header("X-Forwarded-For", client).send()
    }
}

#[test]
fn a_right_password_is_let_in_and_the_name_stands_in_the_log() {
    let world = World::start("");
    for credentials in ["bob:pass:word", "alice:größe", "bob:pass:word"] {
        assert_eq!(world.login(credentials).send().status, 200, "{credentials}");
    }
    assert_eq!(world.proxy.access_line("/")["subject"], "bob");
}

#[test]
fn anything_else_is_refused_with_the_realm() {
    let world = World::start("failures = \"off\"");
    for credentials in
        ["bob:pass", "bob:pass:word2", "bob:", "carol:pass:word", ":pass:word", "bob"]
    {
        let answer = world.login(credentials).send();
        assert_eq!((answer.status, answer.headers("www-authenticate")), (401, vec![CHALLENGE]));
    }
    let fields = ["Basic", "Basic ?", "Basic Ym9i Om8=", "Bearer Ym9iOnBhc3M6d29yZA=="];
    for field in fields.map(|field| world.proxy.get("/").header("Authorization", field)) {
        assert_eq!(field.send().status, 401);
    }
    assert_eq!(world.origin.connections(), 0);
}

#[test]
fn who_guesses_too_often_must_wait_and_nobody_else() {
    let world = World::start("failures = { requests = 3, per = \"1h\" }");
    for _ in 0..3 {
        assert_eq!(world.from("192.0.2.1", "bob:guess").status, 401);
    }
    // The right one too: or guessing could go on.
    let answer = world.from("192.0.2.1", "bob:pass:word");
    assert_eq!((answer.status, answer.header("www-authenticate")), (429, None));
    let wait: u64 = answer.header("retry-after").and_then(|s| s.parse().ok()).expect("is told");
    assert!((1..=1200).contains(&wait), "{wait}");
    assert_eq!(world.from("192.0.2.2", "bob:pass:word").status, 200);
    // Those of an IPv6 network count together.
    for last in 1..=3 {
        assert_eq!(world.from(&format!("2001:db8::{last}"), "bob:guess").status, 401);
    }
    assert_eq!(world.from("2001:db8::ffff", "bob:pass:word").status, 429);
    assert_eq!(world.from("2001:db8:0:1::1", "bob:pass:word").status, 200);
}

#[test]
fn right_passwords_and_requests_without_any_are_no_guesses() {
    let world = World::start("failures = { requests = 1, per = \"1h\" }");
    for _ in 0..3 {
        assert_eq!(world.from("192.0.2.1", "bob:pass:word").status, 200);
        let without = world.proxy.get("/").header("X-Forwarded-For", "192.0.2.1").send();
        assert_eq!(without.status, 401);
    }
    assert_eq!(world.from("192.0.2.1", "bob:guess").status, 401);
    assert_eq!(world.from("192.0.2.1", "bob:pass:word").status, 429);
}

#[test]
fn who_leaves_before_a_guess_is_judged_has_spent_it() {
    let world = World::costing(64 << 10, 20, "failures = { requests = 1, per = \"1h\" }");
    let mut client = Client::connect(world.proxy.address);
    client.write(world.login("alice:guess").header("X-Forwarded-For", "192.0.2.1").bytes());
    world.proxy.wait_for_metric("proxy_requests_in_flight", 1.0);
    drop(client);
    world.proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
    assert_eq!(world.from("192.0.2.1", "bob:pass:word").status, 429);
    assert_eq!(world.from("192.0.2.2", "bob:pass:word").status, 200);
}
