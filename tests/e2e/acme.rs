//! What a proxy with `[acme]` does when no CA can be reached: it answers challenges that others
//! have been set, says what is wrong, and ends in time. Orders are tested against a real CA, by
//! scripts/checks/acme.py.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{ClosedPort, Launch, Origin, Proxy, eventually};

/// A proxy in front of `origin` that orders at `ca`, and the folder of its state.
struct World {
    proxy: Proxy,
    folder: tempfile::TempDir,
}

impl World {
    fn start(ca: SocketAddr, origin: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().display();
        fs::write(folder.path().join("ca.pem"), root()).expect("can be written");
        let config = format!(
            r#"
            auth = "demo"

            [log]
            format = "text"

            [auth_schemes.demo]
            type = "bearer"
            tokens = ["secret-token"]

            [acme]
            directory = "https://{ca}/directory"
            state = "{path}/acme"
            ca = "{path}/ca.pem"

            [[listeners]]
            bind = "127.0.0.1:0"

            [[listeners]]
            bind = "127.0.0.1:0"
            tls = {{ acme = ["a.test", "b.test"] }}

            [[routes]]
            path = "/.well-known/acme-challenge/of-the-endpoint"
            auth = "none"
            service = "site"

            [services.site]
            endpoints = ["http://{origin}"]
            "#
        );
        let proxy = Proxy::start(&config);
        Self { proxy, folder }
    }

    fn state(&self, file: &str) -> PathBuf {
        self.folder.path().join("acme").join(file)
    }

    /// The first event with this text.
    fn event(&self, text: &str) -> String {
        eventually(text, || {
            let lines = self.proxy.program.stderr();
            lines.into_iter().find(|line| line.contains(text))
        })
    }

    /// Status and body for a token.
    fn asked(&self, method: &str, token: &str) -> (u16, String) {
        let path = format!("/.well-known/acme-challenge/{token}");
        let answer = self.proxy.request(method, &path).send();
        (answer.status, answer.text())
    }
}

fn root() -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("can be generated");
    params.self_signed(&key).expect("can be signed").pem()
}

/// One that nobody asks.
fn site() -> Origin {
    Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsite")
}

/// With an answer to a challenge, as another process would have put it there.
fn with_answer(token: &str, answer: &str) -> World {
    let (ca, site) = (ClosedPort::reserve(), site());
    let world = World::start(ca.address, site.address);
    // What lies there at the start is stale.
    world.event("acme order failed");
    fs::write(world.state("challenges/http").join(token), answer).expect("can be written");
    world
}

#[test]
fn a_challenge_is_answered_before_authentication() {
    let world = with_answer("abc-_9", "abc-_9.thumb");
    let answer = world.proxy.get("/.well-known/acme-challenge/abc-_9").send();
    assert_eq!((answer.status, answer.text()), (200, "abc-_9.thumb".to_owned()));
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(world.asked("GET", "x/../abc-_9"), (200, "abc-_9.thumb".to_owned()), "normalised");
}

#[test]
fn a_stranger_who_asks_for_anything_else_is_not_authenticated() {
    let world = with_answer("abc", "abc.thumb");
    for token in [
        "abd",
        "",
        "abc/",
        "abc.",
        "..%2fhttp%2fabc",
        "%2e%2e/%2e%2e/account.json",
        "..%2f..%2ffailures%2fa.test.json",
        &"a".repeat(129),
    ] {
        let status = world.asked("GET", token).0;
        // 400 where dot segments cannot be resolved in one way only.
        assert!(status == 401 || status == 400 && token.contains("%2f"), "{token}: {status}");
    }
    for method in ["POST", "DELETE", "OPTIONS"] {
        assert_eq!(world.asked(method, "abc").0, 401, "{method}");
    }
}

#[test]
fn a_challenge_that_is_not_the_proxy_s_goes_to_the_endpoint() {
    let world = {
        let (ca, site) = (ClosedPort::reserve(), site());
        World::start(ca.address, site.address)
    };
    assert_eq!(world.asked("GET", "of-the-endpoint"), (200, "site".to_owned()));
}

#[test]
fn a_ca_that_cannot_be_reached_is_logged_and_counted_for_each_name() {
    let (ca, site) = (ClosedPort::reserve(), site());
    let world = World::start(ca.address, site.address);
    let event = world.event("acme order failed");
    for part in ["ERROR", "a.test, b.test", "http-01", &ca.address.to_string(), "acme.directory"] {
        assert!(event.contains(part), "{part}: {event}");
    }
    world.proxy.wait_for_metric("proxy_acme_orders_total{result=\"failed\"}", 2.0);
    assert_eq!(world.proxy.metric("proxy_acme_orders_total{result=\"ok\"}"), 0.0);
    assert!(world.state("failures/a.test.json").exists());
}

#[test]
fn a_ca_that_never_answers_does_not_hold_up_the_end() {
    let (ca, site) = (Origin::start(|exchange| exchange.wait_for_close()), site());
    let mut world = World::start(ca.address, site.address);
    eventually("the CA to be asked", || (ca.connections() > 0).then_some(()));
    let begun = Instant::now();
    world.proxy.program.signal("TERM");
    assert_eq!(world.proxy.program.exit_code(), Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
}

fn section() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tls.md");
    let text = fs::read_to_string(path).expect("is there");
    let section = text.split("\n## ACME\n").nth(1).expect("has the section");
    section.split("\n## ").next().unwrap_or_default().to_owned()
}

#[test]
fn the_example_of_the_documents_is_valid() {
    let section = section();
    let examples: Vec<&str> =
        section.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 1);
    for example in examples {
        let mut launch = Launch::with(example);
        let file = launch.file();
        launch.command.args(["check", "-c", &file]);
        let ended = launch.end();
        assert_eq!(ended.code, Some(0), "{}{example}", ended.stderr);
    }
}

#[test]
fn the_numbers_in_the_documents_stand_in_the_code() {
    let section = section();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tls/acme");
    for (file, constant, bound) in [
        ("http.rs", "PATIENCE: Duration = Duration::from_secs(30)", "30 s, 10 s of them"),
        ("http.rs", "CONNECT: Duration = Duration::from_secs(10)", "30 s, 10 s of them"),
        ("http.rs", "LARGEST_ANSWER: usize = 1 << 20", "an answer of 1 MiB"),
        ("order.rs", "PATIENCE: Duration = Duration::from_secs(5 * 60)", "5 minutes; one at"),
        ("order.rs", "DOWNLOADS: u32 = 5", "5 tries, 2 s apart"),
        ("order.rs", "BETWEEN_DOWNLOADS: Duration = Duration::from_secs(2)", "5 tries, 2 s apart"),
        ("order.rs", ".timeout(Duration::from_secs(120))", "120 s each"),
        ("rounds.rs", "LOOK: Duration = Duration::from_secs(60)", "again within a minute"),
        ("decide.rs", "PART_LEFT: u32 = 3", "less than a third of its lifetime"),
        ("decide.rs", "PART_SPREAD: u32 = 30", "up to a thirtieth of the lifetime"),
        ("decide.rs", "FIRST_RETRY: Duration = Duration::from_secs(60)", "1, 2, 4 … minutes"),
        ("decide.rs", "LONGEST_RETRY: Duration = Duration::from_secs(6 * 60", "up to 6 hours"),
        ("decide.rs", "LONGEST_ASKED: Duration = Duration::from_secs(7 * 24", "up to 7\ndays"),
        ("rounds.rs", "\"acme order failed\"", "`acme order failed`"),
    ] {
        let code = fs::read_to_string(source.join(file)).expect("is there");
        assert!(code.contains(constant), "{constant}");
        assert!(section.contains(bound), "{bound}");
    }
}

#[test]
fn a_folder_that_cannot_be_kept_in_is_said_by_check_and_counted_while_it_runs() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join("file"), "").expect("can be written");
    let config = format!(
        "[acme]\nstate = \"{}/file/acme\"\n[[listeners]]\nbind = \"127.0.0.1:0\"\n\
         [[listeners]]\nbind = \"127.0.0.1:0\"\ntls = {{ acme = [\"a.test\"] }}\n",
        folder.path().display()
    );
    let path = folder.path().join("proxy.toml");
    fs::write(&path, &config).expect("can be written");

    let checked =
        Command::new(env!("CARGO_BIN_EXE_proxy")).args(["check", "-c"]).arg(&path).output();
    let proxy = Proxy::start(&config);

    let checked = checked.expect("can be started");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(said.contains("proxy.toml:2:9: warning: no certificate can be kept"), "{said}");
    assert!(checked.status.success());
    eventually("it to be counted", || {
        (proxy.metric("proxy_acme_state_failures_total") > 0.0).then_some(())
    });
}
