//! Some endpoints know a client by its connection (NTLM, Negotiate): such a connection serves the
//! client to which it belongs, and nobody else.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::support::{
    Client, Exchange, Head, Origin, Proxy, Request,
    http2::{Fields, Http2},
    pool_of,
};

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Answers with whom the connection belongs to; credentials of the scheme log it in.
fn serve(exchange: &mut Exchange, challenge: &str) {
    let mut user = None;
    while let Some(head) = exchange.request() {
        exchange.body(&head);
        if let Some(given) = head.header("authorization") {
            user = given.split(' ').nth(1).map(str::to_owned);
        }
        match &user {
            Some(user) => exchange.write(ok(user)),
            None => exchange.write(format!(
                "HTTP/1.1 401 Unauthorized\r\n{challenge}\r\nContent-Length: 0\r\n\r\n"
            )),
        };
    }
}

fn origin(challenge: &'static str) -> Origin {
    Origin::start(move |exchange| serve(exchange, challenge))
}

fn signed(proxy: &Proxy, credentials: &str) -> Request {
    proxy.get("/").header("Authorization", credentials)
}

#[test]
fn nobody_is_served_over_a_connection_on_which_another_client_is_known() {
    for (challenge, credentials) in [
        ("WWW-Authenticate: NTLM", "NTLM alice"),
        ("WWW-Authenticate: Negotiate", "Negotiate alice"),
        ("www-authenticate: Basic realm=\"a\", ntlm", "ntlm alice"),
        ("WWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate: Negotiate", "negotiate alice"),
    ] {
        let origin = origin(challenge);
        let proxy = Proxy::start(&origin.config());
        let mut alice = Client::connect(proxy.address);
        assert_eq!(proxy.get("/").send_on(&mut alice).status, 401, "{challenge}");
        assert_eq!(signed(&proxy, credentials).send_on(&mut alice).text(), "alice");

        let stranger = proxy.get("/").send();
        let again = proxy.get("/").send_on(&mut alice);

        assert_eq!(stranger.status, 401, "{challenge}");
        assert_eq!(again.text(), "alice", "her connection is hers still, {challenge}");
        assert_eq!(origin.connections(), 2, "{challenge}");
    }
}

#[test]
fn credentials_that_nobody_has_asked_for_bind_a_connection_too() {
    for credentials in ["Negotiate alice", "NTLM alice"] {
        let origin = origin("WWW-Authenticate: Other");
        let proxy = Proxy::start(&origin.config());
        let mut alice = Client::connect(proxy.address);
        assert_eq!(signed(&proxy, credentials).send_on(&mut alice).text(), "alice");
        assert_eq!(proxy.get("/").send().status, 401, "{credentials}");
        assert_eq!(proxy.get("/").send_on(&mut alice).text(), "alice", "{credentials}");
    }
}

#[test]
fn a_connection_that_its_origin_calls_authenticated_is_not_shared() {
    let answer = "HTTP/1.1 200 OK\r\nPersistent-Auth: true\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::answering(answer);
    let proxy = Proxy::start(&origin.config());
    assert_eq!([(); 2].map(|()| proxy.get("/").send().text()), ["ok", "ok"]);
    assert_eq!(origin.connections(), 2);
}

#[test]
fn credentials_for_a_request_alone_bind_nothing() {
    let answer =
        "HTTP/1.1 200 OK\r\nWWW-Authenticate: Basic realm=\"NTLM\"\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::answering(answer);
    let proxy = Proxy::start(&origin.config());
    for credentials in ["Basic YTpi", "Bearer NTLM"] {
        assert_eq!(signed(&proxy, credentials).send().text(), "ok");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_client_that_leaves_takes_its_connections_with_it() {
    let closed = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&closed);
    let origin = Origin::start(move |exchange| {
        serve(exchange, "WWW-Authenticate: NTLM");
        count.fetch_add(1, SeqCst);
    });
    let proxy = Proxy::start(&origin.config());
    let mut alice = Client::connect(proxy.address);
    assert_eq!(signed(&proxy, "NTLM alice").send_on(&mut alice).text(), "alice");
    assert_eq!(closed.load(SeqCst), 0);
    drop(alice);
    crate::support::eventually("it to be closed", || (closed.load(SeqCst) == 1).then_some(()));
}

#[test]
fn streams_of_one_connection_of_http_2_share_what_belongs_to_it() {
    let origin = origin("WWW-Authenticate: Negotiate");
    let proxy = Proxy::start(&origin.config());
    let mut alice = Http2::connect(proxy.address);
    let signed = Fields::new("GET", "/").with("authorization", "Negotiate alice");
    assert_eq!(alice.ask(&signed).text(), "alice");
    assert_eq!(proxy.get("/").send().status, 401);
    assert_eq!(Http2::connect(proxy.address).ask(&Fields::new("GET", "/")).status, 401);
    assert_eq!(alice.ask(&Fields::new("GET", "/")).text(), "alice");
}

/// What is begun with one endpoint is of no use at another.
#[test]
fn a_handshake_goes_on_where_it_has_begun() {
    let origins = [(); 3].map(|()| origin("WWW-Authenticate: NTLM"));
    let addresses = origins.each_ref().map(|origin| origin.address);
    let proxy = Proxy::start(&pool_of(&addresses, "balance = \"round_robin\""));
    let mut alice = Client::connect(proxy.address);
    assert_eq!(signed(&proxy, "NTLM alice").send_on(&mut alice).text(), "alice");
    for _ in 0..4 {
        assert_eq!(proxy.get("/").send_on(&mut alice).text(), "alice");
    }
    let asked = |origin: &&Origin| origin.connections() > 0;
    assert_eq!(origins.iter().filter(asked).count(), 1);
}

#[test]
fn a_copy_is_sent_over_a_connection_of_its_own() {
    let main = origin("WWW-Authenticate: NTLM");
    let other = origin("WWW-Authenticate: NTLM");
    let config = format!(
        "[[routes]]\npath = \"/\"\nservice = \"main\"\nmirror = {{ service = \"other\" }}\n\
         [[routes]]\npath = \"/other\"\nservice = \"other\"\n\
         [services.main]\nendpoints = [\"http://{}\"]\n\
         [services.other]\nendpoints = [\"http://{}\"]\n",
        main.address, other.address
    );
    let proxy = Proxy::start(&config);
    assert_eq!(signed(&proxy, "NTLM alice").send().text(), "alice");
    proxy.wait_for_metric("proxy_mirrored_total{service=\"other\",result=\"answered\"}", 1.0);
    let seen: Vec<Head> = other.heads();
    assert_eq!(seen[0].header("authorization"), Some("NTLM alice"));
    assert_eq!(proxy.get("/other").send().status, 401);
}
