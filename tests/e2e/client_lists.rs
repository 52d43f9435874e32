//! Which addresses may: `allow_clients` and `deny_clients` of a route, before anybody is asked who
//! they are.

use crate::support::{Client, Launch, Origin, Proxy, Request};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const TRUSTED: &str = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";

/// A proxy that believes its peers, and a route with these lines.
fn world(server: &str, route: &str) -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let config = format!(
        "{server}[auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"secret-token\"]\n\
         [[routes]]\npath = \"/x\"\nservice = \"origin\"\n{route}\n{}",
        origin.config()
    );
    (origin, Proxy::start(&config))
}

fn status(proxy: &Proxy, client: &str) -> u16 {
    proxy.get("/x").header("X-Forwarded-For", client).send().status
}

#[test]
fn only_allowed_clients_are_let_in_and_denied_ones_never() {
    let lists = "allow_clients = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n\
                 deny_clients = [\"10.1.0.0/16\", \"2001:db8::1\"]";
    let (origin, proxy) = world(TRUSTED, lists);
    for (client, expected) in [
        ("10.2.0.1", 200),
        ("::ffff:10.2.0.1", 200),
        ("2001:db8::2", 200),
        ("10.1.0.1", 403),
        ("::ffff:10.1.0.1", 403),
        ("2001:db8::1", 403),
        ("9.9.9.9", 403),
        // The trusted peer itself: whom it speaks for is not known.
        ("unknown", 403),
    ] {
        assert_eq!(status(&proxy, client), expected, "{client}");
    }
    assert_eq!(origin.heads().len(), 3);
}

#[test]
fn a_refusal_says_forbidden_to_the_client_in_the_log_and_in_the_metrics() {
    let (origin, proxy) = world("", "deny_clients = [\"127.0.0.1\"]");
    let answer = proxy.get("/x").send();
    assert_eq!((answer.status, answer.text().as_str()), (403, "{\"message\": \"Forbidden\"}"));
    assert_eq!(proxy.access_line("/x")["reason"], "forbidden");
    assert_eq!(proxy.metric("proxy_errors_total{reason=\"forbidden\"}"), 1.0);
    assert_eq!(origin.connections(), 0);
    assert_eq!(proxy.get("/other").send().status, 200);
}

#[test]
fn a_stranger_cannot_choose_its_address() {
    let (_origin, proxy) = world("", "allow_clients = [\"10.0.0.0/8\"]");
    for name in ["X-Forwarded-For", "X_Forwarded_For", "X-Real-IP", "Forwarded"] {
        let value = if name == "Forwarded" { "for=10.0.0.1" } else { "10.0.0.1" };
        assert_eq!(proxy.get("/x").header(name, value).send().status, 403, "{name}");
    }
}

#[test]
fn the_address_is_looked_at_before_the_credentials() {
    let (_origin, proxy) = world("", "auth = \"a\"\ndeny_clients = [\"127.0.0.1\"]");
    for request in [proxy.get("/x"), proxy.get("/x").bearer("secret-token")] {
        let answer = request.send();
        assert_eq!((answer.status, answer.header("www-authenticate")), (403, None));
    }
}

#[test]
fn an_allowed_client_still_has_to_say_who_it_is() {
    let (_origin, proxy) = world("", "auth = \"a\"\nallow_clients = [\"127.0.0.1\"]");
    assert_eq!(proxy.get("/x").send().status, 401);
    assert_eq!(proxy.get("/x").bearer("secret-token").send().status, 200);
}

#[test]
fn a_client_over_a_unix_socket_is_on_no_list() {
    let origin = Origin::answering(OK);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("door.sock");
    let route = |path: &str, lists: &str| {
        format!("[[routes]]\npath = \"{path}\"\nservice = \"origin\"\n{lists}\n")
    };
    let config = format!(
        "[[listeners]]\nbind = \"unix:{}\"\n{}{}{}",
        path.display(),
        route("/allowed", "allow_clients = [\"0.0.0.0/0\", \"::/0\"]"),
        route("/denied", "deny_clients = [\"0.0.0.0/0\", \"::/0\"]"),
        origin.config()
    );
    let (mut proxy, _files) = Launch::with(&config).run(&[]).start();
    proxy.listening_on("traffic", 0);
    let status = |target: &str| {
        let request = Request::new(origin.address, "GET", target);
        request.send_on(&mut Client::connect_unix(&path)).status
    };
    assert_eq!(status("/allowed"), 403);
    assert_eq!(status("/denied"), 200);
}
