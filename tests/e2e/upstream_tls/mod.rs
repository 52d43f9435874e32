//! Endpoints with `https`: who is believed, what is shown, and that bodies, tunnels, checks and the
//! reuse of connections are what they are without TLS.

mod bodies;
mod by_host;

use std::sync::{Arc, Mutex};

use rustls::{NamedGroup, ProtocolVersion};

use crate::support::{
    Answer, Authority, Certified, Ended, Exchange, Launch, Origin, Proxy, Request, ServerTls,
    eventually,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const REFUSED: &str = "proxy; error=tls_protocol_error; details=\"upstream_tls\"";
const DEBUG: &[&str] = &["--listen", "127.0.0.1:0", "--workers", "1", "--log", "debug"];

/// Files that a configuration names, and an origin's certificate.
struct World {
    folder: tempfile::TempDir,
    authority: Authority,
    certified: Certified,
}

impl World {
    /// The origin's certificate is for these names, of the CA in `ca.pem`.
    fn new(names: &[&str]) -> Self {
        let authority = Authority::new();
        let certified = authority.server(names);
        let world =
            Self { folder: tempfile::tempdir().expect("can be made"), authority, certified };
        world.write("ca.pem", &world.authority.pem());
        world
    }

    fn localhost() -> Self {
        Self::new(&["localhost"])
    }

    fn tls(&self) -> ServerTls<'_> {
        ServerTls::showing(&self.certified)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("can be written");
    }

    /// A configuration that sends everything to `https://localhost` at the port of `origin`;
    /// `keys` are those of `tls`, and stand where files are named by their names alone.
    fn config(&self, origin: &Origin, keys: &str) -> String {
        self.config_of(&[&format!("https://localhost:{}", origin.address.port())], keys, "")
    }

    /// A program for which the CAs of the system are those in this file.
    fn with_system(&self, config: &str, file: &str) -> Launch {
        let mut launch =
            Launch::with(config).env("SSL_CERT_FILE", &self.folder.path().join(file).display());
        launch.command.env_remove("SSL_CERT_DIR");
        launch
    }

    fn config_of(&self, endpoints: &[&str], keys: &str, settings: &str) -> String {
        let folder = self.folder.path().display();
        let keys = keys.replace("= \"./", &format!("= \"{folder}/"));
        format!(
            "[[routes]]\nname = \"all\"\nservice = \"origin\"\n\n\
             [services.origin]\nendpoints = {endpoints:?}\n{settings}\n\
             [services.origin.tls]\n{keys}\n"
        )
    }
}

const BY_CA: &str = "ca = \"./ca.pem\"";

fn assert_refused(answer: &Answer) {
    assert_eq!((answer.status, answer.header("proxy-status")), (502, Some(REFUSED)));
    assert_eq!(answer.text(), "{\"message\": \"Bad gateway\"}");
}

/// The cause of a failure stands in the log, and is no business of the client.
fn wait_for_event(proxy: &Proxy, words: &str) {
    eventually(words, || {
        proxy.program.stderr().iter().any(|line| line.contains(words)).then_some(())
    });
}

#[test]
fn an_endpoint_whose_certificate_a_ca_of_the_service_has_signed_is_spoken_to() {
    let world = World::localhost();
    let agreed = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&agreed);
    let origin = Origin::start_tls(&world.tls(), move |exchange| {
        while exchange.request().is_some() {
            let tls = exchange.tls();
            let group = tls.negotiated_key_exchange_group().map(|group| group.name());
            let name = tls.server_name().map(str::to_owned);
            let alpn = tls.alpn_protocol().map(<[u8]>::to_vec);
            *seen.lock().expect("is whole") = Some((tls.protocol_version(), group, name, alpn));
            exchange.write(OK);
        }
    });
    let proxy = Proxy::start(&world.config(&origin, BY_CA));

    let answer = proxy.get("/a?b").send();

    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(origin.last_head().line, "GET /a?b HTTP/1.1");
    let expected = (
        Some(ProtocolVersion::TLSv1_3),
        Some(NamedGroup::X25519MLKEM768),
        Some("localhost".to_owned()),
        Some(b"http/1.1".to_vec()),
    );
    assert_eq!(*agreed.lock().expect("is whole"), Some(expected));
    let line = proxy.access_line("/a");
    assert_eq!(line["endpoint"], format!("https://localhost:{}", origin.address.port()));
}

#[test]
fn an_address_is_a_name_too() {
    let world = World::new(&["127.0.0.1"]);
    let origin = Origin::answering_tls(&world.tls(), OK);
    let url = format!("https://{}", origin.address);
    let proxy = Proxy::start(&world.config_of(&[&url], BY_CA, ""));
    assert_eq!(proxy.get("/").send().status, 200);
}

#[test]
fn a_certificate_that_no_ca_of_the_service_has_signed_is_refused() {
    let world = World::localhost();
    let stranger = Authority::new().server(&["localhost"]);
    let origin = Origin::answering_tls(&ServerTls::showing(&stranger), OK);
    let proxy = Proxy::start_with(&world.config(&origin, BY_CA), DEBUG);

    assert_refused(&proxy.get("/a").send());

    wait_for_event(&proxy, "unknown issuer");
    assert!(origin.heads().is_empty());
    assert_eq!(proxy.access_line("/a")["reason"], "upstream_tls");
}

#[test]
fn without_a_ca_file_the_system_says_who_is_believed() {
    let world = World::localhost();
    let origin = Origin::answering_tls(&world.tls(), OK);
    let config = world.config(&origin, "");
    let start = |file: &str| {
        let launch = world.with_system(&config, file);
        let (mut program, folder) =
            launch.run(&["--listen", "127.0.0.1:0", "--workers", "1"]).start();
        let address = program.listening("traffic", 0);
        (Request::new(address, "GET", "/").send(), program, folder)
    };
    world.write("others.pem", &Authority::new().pem());
    assert_eq!(start("ca.pem").0.status, 200);
    assert_refused(&start("others.pem").0);
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let world = World::new(&["other.test"]);
    let origin = Origin::answering_tls(&world.tls(), OK);
    let proxy = Proxy::start_with(&world.config(&origin, BY_CA), DEBUG);
    assert_refused(&proxy.get("/").send());
    wait_for_event(&proxy, "certificate not valid for name \\\"localhost\\\"");
}

#[test]
fn server_name_stands_for_the_host_of_every_endpoint() {
    let world = World::new(&["api.test"]);
    let names = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&names);
    let origin = Origin::start_tls(&world.tls(), move |exchange| {
        while exchange.request().is_some() {
            let name = exchange.tls().server_name().map(str::to_owned);
            seen.lock().expect("is whole").push(name);
            exchange.write(OK);
        }
    });
    let keys = format!("{BY_CA}\nserver_name = \"api.test\"");
    let proxy = Proxy::start(&world.config(&origin, &keys));
    assert_eq!(proxy.get("/").send().status, 200);
    assert_eq!(*names.lock().expect("is whole"), [Some("api.test".to_owned())]);
    let host = origin.last_head().header("host").map(str::to_owned);
    assert_eq!(host, Some(proxy.address.to_string()), "Host is another matter");
}

#[test]
fn with_verify_off_whoever_answers_is_believed_and_a_warning_says_so() {
    let world = World::localhost();
    let stranger = Certified::self_signed(&["other.test"]);
    for tls in [ServerTls::showing(&stranger), ServerTls::showing(&stranger).only_1_2()] {
        let origin = Origin::answering_tls(&tls, OK);
        let proxy = Proxy::start(&world.config(&origin, "verify = false"));
        assert_eq!(proxy.get("/").send().status, 200);
        wait_for_event(&proxy, "the certificates of its endpoints are not verified");
        let warnings = proxy.program.stderr();
        let warnings = warnings.iter().filter(|line| line.contains("not verified"));
        let warnings: Vec<_> = warnings.collect();
        assert!(warnings.len() == 1 && warnings[0].contains("origin"), "{warnings:?}");
    }
}

#[test]
fn a_certificate_that_stands_in_the_ca_file_itself_is_believed_for_its_name() {
    let world = World::localhost();
    let (own, other) =
        (Certified::self_signed(&["localhost"]), Certified::self_signed(&["other.test"]));
    world.write("ca.pem", &(own.pem() + &other.pem()));
    let status = |shown: &Certified| {
        let origin = Origin::answering_tls(&ServerTls::showing(shown), OK);
        Proxy::start(&world.config(&origin, BY_CA)).get("/").send().status
    };
    assert_eq!(status(&own), 200);
    assert_eq!(status(&other), 502);
    assert_eq!(status(&Certified::self_signed(&["localhost"])), 502, "another of the name");
}

#[test]
fn a_client_certificate_is_shown_to_those_who_ask_for_one() {
    let world = World::localhost();
    let clients = Authority::new();
    let client = clients.client("proxy");
    world.write("client.pem", &client.pem());
    world.write("client.key", &client.key_pem());
    let with_client =
        format!("{BY_CA}\nclient_cert = \"./client.pem\"\nclient_key = \"./client.key\"");
    for tls in [world.tls().asking_for(&clients), world.tls().asking_for(&clients).only_1_2()] {
        let origin = Origin::answering_tls(&tls, OK);
        let proxy = Proxy::start(&world.config(&origin, &with_client));
        assert_eq!(proxy.get("/").send().status, 200);

        // In TLS 1.3 the client has long begun when it learns that it is refused.
        let proxy = Proxy::start_with(&world.config(&origin, BY_CA), DEBUG);
        for number in 0..5 {
            assert_refused(&proxy.get(&format!("/{number}")).send());
        }
        wait_for_event(&proxy, "received fatal alert: ");
        assert_eq!(origin.heads().len(), 1);
    }
}

#[test]
fn an_endpoint_that_knows_only_tls_1_2_is_spoken_to() {
    let world = World::localhost();
    let origin = Origin::answering_tls(&world.tls().only_1_2(), OK);
    let proxy = Proxy::start(&world.config(&origin, BY_CA));
    for _ in 0..3 {
        assert_eq!(proxy.get("/").send().text(), "ok");
    }
    assert_eq!(origin.connections(), 1);
}

/// nginx CVE-2026-1642: an answer before the handshake was taken for the endpoint's.
#[test]
fn an_answer_in_clear_is_no_answer() {
    let world = World::localhost();
    let at_once = Origin::start(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ninjected");
        exchange.wait_for_close();
    });
    let to_the_hello = Origin::start(|exchange| {
        exchange.read(&mut [0; 4096]);
        exchange.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 8\r\n\r\ninjected");
        exchange.close();
    });
    for origin in [at_once, to_the_hello] {
        for keys in [BY_CA, "verify = false"] {
            let proxy = Proxy::start_with(&world.config(&origin, keys), DEBUG);
            assert_refused(&proxy.get("/").send());
            wait_for_event(&proxy, "plaintext answer");
        }
    }
}

#[test]
fn an_endpoint_that_leaves_during_the_handshake_is_no_closed_port() {
    let world = World::localhost();
    let origin = Origin::start(|exchange| {
        exchange.read(&mut [0; 4096]);
        exchange.close();
    });
    let proxy = Proxy::start(&world.config(&origin, BY_CA));
    assert_refused(&proxy.get("/").send());
}

#[test]
fn the_connect_timeout_holds_for_connection_and_handshake_together() {
    let world = World::localhost();
    let silent = Origin::start(Exchange::wait_for_close);
    let url = format!("https://localhost:{}", silent.address.port());
    let settings = "timeouts = { connect = \"200ms\" }\nretry = { attempts = 1 }";
    let proxy = Proxy::start(&world.config_of(&[&url], BY_CA, settings));
    let answer = proxy.get("/").send();
    assert_eq!(answer.status, 504);
    let why = answer.header("proxy-status").expect("says why");
    assert!(why.contains("connect_timeout"), "{why}");
}

#[test]
fn a_failed_handshake_counts_as_a_failed_connection() {
    let world = World::localhost();
    let stranger = Authority::new().server(&["localhost"]);
    let wrong = Origin::answering_tls(&ServerTls::showing(&stranger), OK);
    let right = Origin::answering_tls(&world.tls(), OK);
    let url = |origin: &Origin| format!("https://localhost:{}", origin.address.port());
    let urls = [url(&wrong), url(&right)];
    let config = world.config_of(
        &[&urls[0], &urls[1]],
        BY_CA,
        "balance = \"round_robin\"\nretry = { budget = 100 }",
    );
    let proxy = Proxy::start(&config);

    for _ in 0..12 {
        // Nothing of it was sent, so any request may go to another endpoint.
        assert_eq!(proxy.request("POST", "/").body("x").send().status, 200);
    }

    let ejected = format!("proxy_endpoint_ejected{{service=\"origin\",endpoint=\"{}\"}}", urls[0]);
    assert_eq!(proxy.metric(&ejected), 1.0);
    assert!(proxy.metric("proxy_retries_total{reason=\"connect\"}") >= 5.0);
    assert_eq!(right.heads().len(), 12);
}

#[test]
fn active_checks_speak_tls_too() {
    let world = World::localhost();
    let stranger = Authority::new().server(&["localhost"]);
    let wrong = Origin::answering_tls(&ServerTls::showing(&stranger), OK);
    let right = Origin::answering_tls(&world.tls(), OK);
    let url = |origin: &Origin| format!("https://localhost:{}", origin.address.port());
    for kind in ["http", "tcp"] {
        let settings =
            format!("health = {{ type = \"{kind}\", interval = \"500ms\", unhealthy = 1 }}");
        let config = world.config_of(&[&url(&wrong), &url(&right)], BY_CA, &settings);
        let proxy = Proxy::start(&config);
        let metric = |origin: &Origin| {
            let labels = format!("{{service=\"origin\",endpoint=\"{}\"", url(origin));
            (
                proxy.metric(&format!("proxy_endpoint_healthy{labels}}}")),
                proxy.metric(&format!("proxy_health_checks_total{labels},result=\"passed\"}}")),
            )
        };
        eventually("the wrong one to be down", || (metric(&wrong).0 == 0.0).then_some(()));
        eventually("checks to pass", || (metric(&right).1 > 1.0).then_some(()));
        assert_eq!((metric(&right).0, metric(&wrong).1), (1.0, 0.0));
        wait_for_event(&proxy, "unknown issuer");
    }
}

#[test]
fn check_and_start_say_of_each_file_what_is_wrong_with_it() {
    let world = World::localhost();
    world.write("client.pem", &world.certified.pem());
    world.write("client.key", &Certified::self_signed(&["a.test"]).key_pem());
    let config = world.config_of(
        &["https://localhost"],
        "ca = \"./none.pem\"\nclient_cert = \"./client.pem\"\nclient_key = \"./client.key\"",
        "",
    );
    let folder = world.folder.path().display();
    for command in ["check", "run"] {
        let ended = Ended::with_file(command, &config, &[]);
        let said: Vec<&str> = ended.stderr.lines().collect();
        assert_eq!((ended.code, ended.stdout.as_str(), said.len()), (Some(1), "", 2), "{said:?}");
        for (line, expected) in said.iter().zip([
            format!("FILE:9:6: \"{folder}/none.pem\" cannot be read: No such file"),
            format!("FILE:11:14: \"{folder}/client.key\" has a private key that does not belong"),
        ]) {
            assert!(line.starts_with(&expected), "{line}");
        }
    }
}

#[test]
fn a_system_without_cas_is_no_matter_unless_an_endpoint_needs_them() {
    let world = World::localhost();
    world.write("none.pem", "");
    let check = |config: &str| {
        let mut launch = world.with_system(config, "none.pem");
        let file = launch.file();
        launch.command.args(["check", "-c", &file]);
        let ended = launch.end();
        (ended.code, ended.stderr.replace(&file, "FILE"))
    };
    let https = |keys: &str| check(&world.config_of(&["https://localhost"], keys, ""));
    let (code, said) = https("");
    assert_eq!(code, Some(1));
    assert!(said.starts_with("FILE:6:14: this endpoint cannot be verified: "), "{said}");
    assert_eq!(https(BY_CA), (Some(0), String::new()));
    let (code, said) = https("verify = false");
    assert_eq!(code, Some(0));
    assert!(said.contains("the certificates of its endpoints are not verified"), "{said}");
    let plain = "[services.a]\nendpoints = [\"http://localhost\"]\n";
    assert_eq!(check(plain), (Some(0), String::new()));
}
