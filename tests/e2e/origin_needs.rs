//! What origins need of requests and of checks, and what of their answers clients need.

use std::sync::OnceLock;

use crate::support::{
    Origin, Proxy, eventually,
    http2::{Fields, Http2},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn with(origin: &Origin, settings: &str) -> Proxy {
    Proxy::start(&format!("{}{settings}\n", origin.config()))
}

/// An origin that serves one host alone, as Django with `ALLOWED_HOSTS` does.
fn picky(host: &'static str) -> Origin {
    Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            let is_right = head.header("host") == Some(host);
            exchange.write(if is_right {
                OK
            } else {
                "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
            });
            if head.line.contains("/health") {
                return exchange.close();
            }
        }
    })
}

#[test]
fn checks_ask_for_the_host_that_requests_ask_for() {
    let quick = "interval = \"50ms\", timeout = \"50ms\", unhealthy = 1";
    for (settings, status) in [
        (format!("host = \"app.test\"\nhealth = {{ {quick} }}"), 200),
        (format!("health = {{ host = \"app.test\", {quick} }}"), 400),
        (format!("host = \"endpoint\"\nhealth = {{ host = \"app.test\", {quick} }}"), 400),
    ] {
        let origin = picky("app.test");
        let proxy = with(&origin, &settings);
        eventually("three checks", || (origin.heads().len() > 2).then_some(()));
        // It is up: what it says to requests is its own affair.
        assert_eq!(proxy.get("/a").send().status, status, "{settings}");
        let hosts: Vec<_> = origin
            .heads()
            .into_iter()
            .filter(|head| head.line.contains("/health"))
            .map(|head| head.headers("host").join(","))
            .collect();
        assert!(hosts.iter().all(|host| host == "app.test"), "{hosts:?}");
    }
}

#[test]
fn checks_have_the_fields_that_they_are_given() {
    let origin = picky("app.test");
    let settings = "host = \"app.test\"\n\
        health = { interval = \"50ms\", headers = { \"X-Check\" = \"1\", User-Agent = \"me\" } }";
    let _proxy = with(&origin, settings);
    let head = eventually("a check", || origin.heads().pop());
    assert_eq!(head.headers("x-check"), ["1"]);
    assert_eq!(head.headers("user-agent"), ["me"]);
}

#[test]
fn that_there_is_no_content_is_said_where_some_is_expected() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());
    for (method, length) in [
        ("POST", &["0"][..]),
        ("PUT", &["0"]),
        ("PATCH", &["0"]),
        ("GET", &[]),
        ("DELETE", &[]),
        ("OPTIONS", &[]),
        ("PROPFIND", &[]),
    ] {
        assert_eq!(proxy.request(method, "/").send().status, 200);
        assert_eq!(origin.last_head().headers("content-length"), length, "{method}");
        assert_eq!(Http2::connect(proxy.address).ask(&Fields::new(method, "/")).status, 200);
        let head = origin.last_head();
        assert_eq!(head.headers("content-length"), length, "{method} over HTTP/2");
        assert!(head.headers("transfer-encoding").is_empty());
    }
}

#[test]
fn who_must_upgrade_is_told_to_what() {
    let answer = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.3, HTTP/1.1\r\n\
                  Connection: Upgrade\r\nContent-Length: 0\r\n\r\n";
    let proxy = Proxy::start(&Origin::answering(answer).config());

    let answer = proxy.get("/").send();
    assert_eq!(answer.headers("upgrade"), ["TLS/1.3, HTTP/1.1"]);
    assert_eq!(answer.headers("connection"), ["upgrade"]);
    let last = proxy.get("/").header("Connection", "close").send();
    assert_eq!(last.headers("connection"), ["upgrade, close"]);

    // RFC 9113 section 8.2.2: nothing of the connection.
    let reply = Http2::connect(proxy.address).ask(&Fields::get("/"));
    assert_eq!((reply.status, reply.header("upgrade")), (426, None));
}

fn many(fields: usize) -> String {
    let links: String = (0..fields).map(|at| format!("Link: </{at}>; rel=preload\r\n")).collect();
    format!("HTTP/1.1 200 OK\r\n{links}Content-Length: 2\r\n\r\nok")
}

#[test]
fn an_answer_may_have_as_many_fields_as_real_ones_have() {
    for fields in [126, 127, 128, 300, 999] {
        let origin = Origin::answering(many(fields));
        let proxy = Proxy::start(&origin.config());
        let answer = proxy.get("/").send();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{fields}");
        assert_eq!(answer.headers("link").len(), fields);
        let reply = Http2::connect(proxy.address).ask(&Fields::get("/"));
        assert_eq!((reply.status, reply.headers("link").len()), (200, fields));
    }
}

#[test]
fn the_fields_of_an_answer_are_bounded_by_a_key() {
    for (settings, fields, status) in [
        ("", 1000, 502),
        ("max_response_headers = 16", 15, 200),
        ("max_response_headers = 16", 16, 502),
        ("max_response_headers = 2000", 1500, 200),
    ] {
        let origin = Origin::answering(many(fields));
        let proxy = with(&origin, settings);
        assert_eq!(proxy.get("/").send().status, status, "{settings} with {fields}");
    }
}

/// A proxy of which one endpoint is its own listener.
fn to_itself(extra: &str) -> Proxy {
    let port = crate::support::ClosedPort::reserve();
    let address = port.address;
    let config = format!(
        "[[routes]]\npath = \"/{{*rest}}\"\nservice = \"own\"\n{extra}\n\
         [services.own]\nendpoints = [\"http://{address}\"]\n"
    );
    drop(port);
    let listen = address.to_string();
    Proxy::start_with(&config, &["--listen", &listen, "--workers", "1"])
}

#[test]
fn a_request_that_comes_back_again_and_again_is_stopped() {
    for extra in ["", "request_headers = { remove = [\"x-a\"] }"] {
        let proxy = to_itself(extra);
        let answer = proxy.get("/a").header("Connection", "cdn-loop").send();
        assert_eq!(answer.status, 508, "{extra}");
        let why = "proxy; error=proxy_loop_detected; details=\"loop_detected\"";
        assert!(answer.headers("proxy-status").contains(&why), "{:?}", answer.fields);
        let lines = || proxy.access_lines().len();
        eventually("five requests", || (lines() >= 5).then_some(()));
        assert_eq!(lines(), 5, "the one that was sent, and four returns");
    }
}

#[test]
fn a_loop_of_others_and_their_names_are_left_as_they_are() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());
    let others = "cdn-a.test, cdn-a.test, cdn-a.test, cdn-a.test, cdn-a.test";
    assert_eq!(proxy.get("/").header("CDN-Loop", others).send().status, 200);
    let head = origin.last_head();
    let own = head.headers("cdn-loop");
    assert_eq!(own.len(), 2);
    assert!(own.contains(&others), "{own:?}");
    let own = own.iter().find(|value| value.starts_with("proxy-")).expect("has a name");
    let returned = [*own; 3].join(", ");
    assert_eq!(proxy.get("/").header("cdn-loop", &returned).send().status, 200);
    let returned = format!("{returned}, {own}");
    assert_eq!(proxy.get("/").header("cdn-loop", &returned).send().status, 508);
}

fn behind(trusted: bool, rest: &str) -> String {
    let trusted = if trusted { "trusted_proxies = [\"127.0.0.1\"]" } else { "" };
    format!("[server]\n{trusted}\n{rest}")
}

#[test]
fn what_came_by_https_to_a_trusted_proxy_is_not_sent_there() {
    static ORIGIN: OnceLock<Origin> = OnceLock::new();
    let origin = ORIGIN.get_or_init(|| Origin::answering(OK));
    let config = |trusted, key: &str| {
        let listener = "[[listeners]]\nbind = \"127.0.0.1:0\"\nhttps_redirect = 443\n";
        behind(trusted, &format!("{key}\n{listener}{}", origin.config()))
    };
    let said = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "HTTPS, http")];
    let ask = |proxy: &Proxy, name: &str, value: &str| proxy.get("/").header(name, value).send();
    let proxy = Proxy::start_with(&config(true, ""), &[]);
    for (name, value) in said {
        assert_eq!(ask(&proxy, name, value).status, 200, "{value}");
    }
    assert_eq!(ask(&proxy, "X-Forwarded-Proto", "http").status, 308);
    assert_eq!(ask(&proxy, "Forwarded", "for=1.2.3.4;proto=https").status, 308);
    assert_eq!(proxy.get("/").send().status, 308);
    let stranger = Proxy::start_with(&config(false, ""), &[]);
    assert_eq!(ask(&stranger, "X-Forwarded-Proto", "https").status, 308);
    let standard = Proxy::start_with(&config(true, "forwarded = true"), &[]);
    assert_eq!(ask(&standard, "Forwarded", "for=1.2.3.4;proto=https").status, 200);
    assert_eq!(ask(&standard, "X-Forwarded-Proto", "https").status, 308);
}

#[test]
fn a_sticky_cookie_is_secure_for_who_came_by_https_to_a_trusted_proxy() {
    let origin = Origin::answering(OK);
    let told = |trusted, attributes: &str, proto: &str| {
        let balance = format!(
            "balance = {{ sticky = \"sid\", secret = \"0123456789abcdef\"{attributes} }}\n"
        );
        let proxy = Proxy::start(&behind(trusted, &format!("{}{balance}", origin.config())));
        let answer = proxy.get("/").header("X-Forwarded-Proto", proto).send();
        let cookie = answer.header("set-cookie").expect("gets one").to_owned();
        cookie.split_once("; ").expect("has attributes").1.to_owned()
    };
    let plain = "Path=/; HttpOnly; SameSite=Lax";
    assert_eq!(told(true, "", "https"), format!("{plain}; Secure"));
    assert_eq!(told(true, "", "http"), plain);
    assert_eq!(told(false, "", "https"), plain);
    let attributes =
        ", same_site = \"none\", max_age = \"1h\", domain = \"a.test\", path = \"/app\"";
    assert_eq!(
        told(false, attributes, "http"),
        "Path=/app; Domain=a.test; Max-Age=3600; HttpOnly; SameSite=None; Secure"
    );
}
