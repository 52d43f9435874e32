//! TLS with clients: who is shown what, who is let in, and what is said of it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use rustls::HandshakeKind;

use crate::support::{
    Authority, Client, Origin, Proxy, Request, Shaking, TlsFiles, eventually, skip,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A CA, an origin, and a proxy with a certificate for `a.test` and `b.test`.
struct World {
    authority: Authority,
    origin: Origin,
    proxy: Proxy,
    files: TlsFiles,
}

impl World {
    fn new() -> Self {
        Self::with("", |_, _| String::new())
    }

    /// With more keys of the listener, and of its `tls`.
    fn with(listener: &str, tls: impl Fn(&TlsFiles, &Authority) -> String) -> Self {
        let authority = Authority::new();
        let both = authority.server(&["a.test", "b.test", "127.0.0.1"]);
        let files = TlsFiles::new(listener, &[&both]);
        let origin = Origin::answering(OK);
        let config = format!("{}{}{}", files.config, tls(&files, &authority), origin.config());
        let proxy = Proxy::start(&config);
        Self { authority, origin, proxy, files }
    }

    fn get(&self, path: &str, host: &str) -> Request {
        self.proxy.get(path).header("Host", host)
    }

    fn shaking(&self) -> Shaking {
        Shaking::trusting(&self.authority)
    }
}

#[test]
fn a_request_over_tls_is_answered_and_its_line_says_so() {
    let world = World::new();
    let mut client = world.shaking().connect(world.proxy.address, "a.test");

    let answer = world.get("/x", "a.test").send_on(&mut client);

    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(world.origin.last_head().header("x-forwarded-proto"), Some("https"));
    assert_eq!(world.proxy.access_line("/x")["tls"], "TLSv1.3");
    let handshakes = "proxy_tls_handshakes_total{result=\"ok\",version=\"1.3\"}";
    assert_eq!(world.proxy.metric(handshakes), 1.0);
}

#[test]
fn an_older_client_gets_tls_1_2_and_none_below_what_is_configured() {
    let old = World::new();
    let shaking = old.shaking().only_1_2(&old.authority);
    let mut client = shaking.connect(old.proxy.address, "a.test");
    assert_eq!(old.get("/x", "a.test").send_on(&mut client).status, 200);
    assert_eq!(old.proxy.access_line("/x")["tls"], "TLSv1.2");

    let new = World::with("", |_, _| "min_version = \"1.3\"\n".to_owned());
    let shaking = new.shaking().only_1_2(&new.authority);
    assert!(!shaking.connect(new.proxy.address, "a.test").shakes());
    new.proxy
        .wait_for_metric("proxy_tls_handshakes_total{result=\"failed\",version=\"none\"}", 1.0);
}

#[test]
fn each_name_is_shown_its_certificate_and_others_the_first() {
    let authority = Authority::new();
    let (one, two) = (authority.server(&["one.test"]), authority.server(&["*.two.test"]));
    let files = TlsFiles::new("", &[&one, &two]);
    let proxy = Proxy::start(&files.config);
    let shown = |name: &str| {
        let mut client = Shaking::trusting(&authority).connect(proxy.address, name);
        let agreed = client.shakes();
        let chain = client.tls().peer_certificates().map(<[_]>::to_vec);
        (agreed, chain.and_then(|chain| chain.into_iter().next()))
    };

    assert_eq!(shown("one.test"), (true, one.chain().pop()));
    assert_eq!(shown("x.two.test"), (true, two.chain().pop()));
    // The first one, which is not for that name.
    assert!(!shown("three.test").0);
}

#[test]
fn a_request_for_another_server_than_the_connection_was_made_to_is_misdirected() {
    let world = World::new();
    let status = |shaking: Shaking, name: &str, host: &str| {
        let mut client = shaking.connect(world.proxy.address, name);
        let answer = world.get("/", host).send_on(&mut client);
        (answer.status, answer.header("proxy-status").map(str::to_owned))
    };

    let misdirected = "proxy; error=http_request_error; details=\"misdirected\"";
    let other = status(world.shaking(), "a.test", "c.test");
    assert_eq!(other, (421, Some(misdirected.to_owned())));
    for host in ["a.test", "A.test:8443", "b.test", "a.test."] {
        assert_eq!(status(world.shaking(), "a.test", host).0, 200, "{host}");
    }
    // Who has named nobody, here or there, contradicts nothing.
    let mut client = world.shaking().connect(world.proxy.address, "a.test");
    client.write("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer("GET").status, 200);
    assert_eq!(status(world.shaking().without_sni(), "127.0.0.1", "c.test").0, 200);
}

#[test]
fn a_client_without_a_certificate_is_let_in_only_where_it_need_not_have_one() {
    let clients = Authority::new();
    let (ours, other) = (clients.client("alice.test"), Authority::new().client("eve.test"));
    for (auth, is_let_in) in [("require", false), ("optional", true)] {
        let world = World::with("", |files, _| {
            format!("{}client_auth = \"{auth}\"\n", files.client_ca(&clients))
        });
        let mut without = world.shaking().connect(world.proxy.address, "a.test");
        let answered = without.shakes() && {
            without.write(world.get("/without", "a.test").bytes());
            without.stream.read(&mut [0; 64]).is_ok_and(|read| read > 0)
        };
        assert_eq!(answered, is_let_in, "{auth}");
        let shaking = Shaking::showing(&world.authority, &other);
        let mut wrong = shaking.connect(world.proxy.address, "a.test");
        let answered = wrong.shakes() && wrong.stream.read(&mut [0; 64]).is_ok_and(|read| read > 0);
        assert!(!answered, "{auth}");

        let shaking = Shaking::showing(&world.authority, &ours);
        let mut right = shaking.connect(world.proxy.address, "a.test");
        assert_eq!(world.get("/right", "a.test").send_on(&mut right).status, 200);
        let subject = &world.proxy.access_line("/right")["subject"];
        assert_eq!(subject, "CN=rcgen self signed cert", "{auth}");
        let lines = world.proxy.access_lines().len();
        assert_eq!(lines, if is_let_in { 2 } else { 1 }, "{auth}");
    }
}

#[test]
fn hsts_is_on_every_answer_over_tls_and_on_no_other() {
    let mut world = World::with("", |_, _| {
        "hsts = { max_age = \"365d\", include_subdomains = true }\n\
         [[listeners]]\nbind = \"127.0.0.1:0\"\n"
            .to_owned()
    });
    let mut client = world.shaking().connect(world.proxy.address, "a.test");
    let answer = world.get("/", "a.test").send_on(&mut client);
    let refused = world.get("/", "c.test").send_on(&mut client);
    for answer in [answer, refused] {
        let hsts = answer.header("strict-transport-security");
        assert_eq!(hsts, Some("max-age=31536000; includeSubDomains"));
    }
    let plain = world.proxy.program.listening("traffic", 1);
    let answer = Request::new(plain, "GET", "/").send();
    assert_eq!((answer.status, answer.header("strict-transport-security")), (200, None));
}

#[test]
fn a_plain_listener_sends_its_clients_to_https() {
    let redirected = |port: u16, host: &str, target: &str| {
        let origin = Origin::answering(OK);
        let proxy = Proxy::start(&format!(
            "[server]\nhealth_path = \"/health\"\n\n[[listeners]]\nbind = \"127.0.0.1:0\"\n\
             https_redirect = {port}\n{}",
            origin.config()
        ));
        assert_eq!(proxy.get("/health").send().status, 200);
        let answer = proxy.request("POST", target).header("Host", host).body("x").send();
        assert_eq!((answer.status, origin.heads().len()), (308, 0));
        answer.header("location").map(str::to_owned)
    };
    let to = |location: &str| Some(location.to_owned());
    assert_eq!(redirected(443, "a.test:8080", "/x/../y?z=1"), to("https://a.test/y?z=1"));
    assert_eq!(redirected(8443, "[::1]", "//evil.test/"), to("https://[::1]:8443//evil.test/"));
}

#[test]
fn a_redirect_to_https_is_logged_with_the_client_that_a_trusted_proxy_names() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&format!(
        "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n\n[[listeners]]\nbind = \"127.0.0.1:0\"\n\
         https_redirect = 443\n{}",
        origin.config()
    ));
    assert_eq!(proxy.get("/x").header("X-Forwarded-For", "192.0.2.7").send().status, 308);
    assert_eq!(proxy.access_line("/x")["client_ip"], "192.0.2.7");
}

#[test]
fn a_misdirected_request_is_logged_with_the_client_that_a_trusted_proxy_names() {
    let trusted = "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let world = World::with("", |_, _| trusted.to_owned());
    let mut client = world.shaking().connect(world.proxy.address, "a.test");
    let request = world.get("/x", "c.test").header("X-Forwarded-For", "192.0.2.7");
    assert_eq!(request.send_on(&mut client).status, 421);
    assert_eq!(world.proxy.access_line("/x")["client_ip"], "192.0.2.7");
}

#[test]
fn http_2_is_agreed_on_where_it_is_on() {
    for (listener, expected) in [("", "h2"), ("http2 = false\n", "http/1.1")] {
        let world = World::with(listener, |_, _| String::new());
        let shaking = world.shaking().offering(&["h2", "http/1.1"]);
        let mut client = shaking.connect(world.proxy.address, "a.test");
        assert!(client.shakes());
        assert_eq!(client.tls().alpn_protocol(), Some(expected.as_bytes()));
    }
}

#[test]
fn a_client_that_speaks_http_1_0_alone_is_served() {
    for listener in ["", "http2 = false\n"] {
        let world = World::with(listener, |_, _| String::new());
        let shaking = world.shaking().offering(&["http/1.0"]);
        let mut client = shaking.connect(world.proxy.address, "a.test");
        assert!(client.shakes());
        assert_eq!(client.tls().alpn_protocol(), Some(&b"http/1.0"[..]));
        client.write("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.answer("GET").status, 200);
        let mut other =
            world.shaking().offering(&["spdy/3"]).connect(world.proxy.address, "a.test");
        assert!(!other.shakes());
    }
}

#[test]
fn a_handshake_that_does_not_end_is_ended() {
    let world = World::with("", |_, _| "handshake_timeout = \"200ms\"\n".to_owned());
    let mut client = Client::connect(world.proxy.address);
    client.write([0x16, 3, 1, 2, 0, 1]);
    assert!(client.is_closed());
    world
        .proxy
        .wait_for_metric("proxy_tls_handshakes_total{result=\"timeout\",version=\"none\"}", 1.0);
}

/// More than there may be handshakes at a time.
#[test]
fn clients_that_say_nothing_keep_nobody_out() {
    let world = World::new();
    let silent: Vec<Client> = (0..1100).map(|_| Client::connect(world.proxy.address)).collect();
    let crowded = "proxy_tls_handshakes_total{result=\"crowded\",version=\"none\"}";
    eventually("the first to be given up", || (world.proxy.metric(crowded) >= 76.0).then_some(()));
    let mut client = world.shaking().connect(world.proxy.address, "a.test");
    assert_eq!(world.get("/", "a.test").send_on(&mut client).status, 200);
    drop(silent);
}

#[test]
fn what_is_no_handshake_is_answered_with_an_alert_and_counted() {
    let world = World::new();
    let mut client = Client::connect(world.proxy.address);
    client.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut answer = Vec::new();
    let _ = client.stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    world
        .proxy
        .wait_for_metric("proxy_tls_handshakes_total{result=\"failed\",version=\"none\"}", 1.0);
    assert_eq!(world.origin.heads().len(), 0);
}

#[test]
fn a_first_message_that_is_no_hello_is_answered_with_unexpected_message() {
    let world = World::new();
    // The last two are a `Finished` and a `KeyUpdate`.
    for kind in [0x63, 0xff, 0x14, 0x18] {
        let mut client = Client::connect(world.proxy.address);
        client.write([0x16, 3, 1, 0, 5, kind, 0, 0, 1, 0]);
        let mut answer = Vec::new();
        let _ = client.stream.read_to_end(&mut answer);
        assert_eq!(answer, [0x15, 3, 3, 0, 2, 2, 10], "{kind:#x}");
    }
}

/// The client of OpenSSL asks for a renegotiation at an `R`, and says what it hears of it. The proxy has
/// nothing else to say for a minute.
#[test]
fn a_renegotiation_is_refused_with_an_alert_at_once() {
    let mut world = World::new();
    let config = format!("[server]\nheader_timeout = \"60s\"\n{}", world.files.config);
    world.proxy = Proxy::start(&format!("{config}{}", world.origin.config()));
    let mut command = Command::new("openssl");
    command.args(["s_client", "-tls1_2", "-msg", "-servername", "a.test", "-connect"]);
    command.arg(world.proxy.address.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut client) = command.spawn() else { return skip("there is no openssl") };
    let output = BufReader::new(client.stdout.take().expect("is piped"));
    let (tell, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        output.lines().map_while(Result::ok).for_each(|line| drop(tell.send(line)));
    });
    let says = |what: &str| {
        eventually(what, || lines.try_iter().any(|line| line.contains(what)).then_some(()));
    };
    says("Extended master secret");
    let input = client.stdin.as_mut().expect("is piped");
    input.write_all(b"R\n").expect("it waits for words");
    says("warning no_renegotiation");
    let _ = client.kill();
    client.wait().expect("has ended");
    reader.join().expect("has not panicked");
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    let world = World::with("proxy_protocol = true\n", |_, _| String::new());
    let mut socket = Client::connect(world.proxy.address);
    socket.write("PROXY TCP4 192.0.2.7 192.0.2.8 1234 443\r\n");
    let mut client = world.shaking().over(socket.stream.into_inner(), "a.test");
    assert_eq!(world.get("/x", "a.test").send_on(&mut client).status, 200);
    assert_eq!(world.proxy.access_line("/x")["client_ip"], "192.0.2.7");
}

#[test]
fn a_client_that_comes_back_resumes_its_session() {
    let world = World::new();
    let shaking = world.shaking();
    let kind = || {
        let mut client = shaking.connect(world.proxy.address, "a.test");
        // The ticket comes with the answer.
        assert_eq!(world.get("/", "a.test").send_on(&mut client).status, 200);
        client.tls().handshake_kind()
    };
    assert_eq!(kind(), Some(HandshakeKind::Full));
    assert_eq!(kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn a_sticky_cookie_is_for_https_alone_where_it_was_set_over_it() {
    let authority = Authority::new();
    let files = TlsFiles::new("", &[&authority.server(&["a.test"])]);
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&format!(
        "{}{}balance = {{ sticky = \"sid\", secret = \"0123456789abcdef\" }}\n",
        files.config,
        origin.config()
    ));
    let mut client = Shaking::trusting(&authority).connect(proxy.address, "a.test");
    let answer = proxy.get("/").header("Host", "a.test").send_on(&mut client);
    let cookie = answer.header("set-cookie").expect("is set");
    assert!(cookie.contains("; Secure"), "{cookie}");
}

#[test]
fn a_drain_ends_connections_with_tls_in_order() {
    let mut world = World::new();
    let mut client = world.shaking().connect(world.proxy.address, "a.test");
    assert_eq!(world.get("/", "a.test").send_on(&mut client).status, 200);
    world.proxy.program.signal("TERM");
    // The end is said: a missing close_notify would be an error.
    assert_eq!(client.stream.read(&mut [0; 8]).expect("ends in order"), 0);
    eventually("the end", || world.proxy.program.exit_code().filter(|code| *code == 0));
}
