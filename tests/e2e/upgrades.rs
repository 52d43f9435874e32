//! `Upgrade` of clients that send it with whatever they ask: what nobody switches to is no more than a
//! field, and a body comes before the switch.

use std::io::Read;

use crate::support::{Client, Exchange, Origin, Proxy, switching};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const SWITCH: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// As `docker exec` begins.
fn exec(length: &str) -> String {
    format!(
        "POST /exec/1/start HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
         Content-Type: application/json\r\n{length}\r\n\r\n"
    )
}

fn read(client: &mut Client, length: usize) -> String {
    let mut bytes = vec![0; length];
    client.stream.read_exact(&mut bytes).expect("the bytes come");
    String::from_utf8(bytes).expect("is text")
}

#[test]
fn an_upgrade_that_nobody_offers_on_goes_with_its_body_as_any_request() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
               HTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    for (fields, body) in [
        (format!("{h2c}Content-Length: 0\r\n"), ""),
        (format!("{h2c}Content-Length: 3\r\n"), "x=1"),
        (format!("{h2c}Transfer-Encoding: chunked\r\n"), "3\r\nx=1\r\n0\r\n\r\n"),
        ("Connection: Upgrade\r\nUpgrade: TLS/1.2\r\nContent-Length: 3\r\n".to_owned(), "x=1"),
        ("Connection: Upgrade\r\nUpgrade:\r\nContent-Length: 3\r\n".to_owned(), "x=1"),
        ("Upgrade: websocket\r\nContent-Length: 3\r\n".to_owned(), "x=1"),
    ] {
        client.write(format!("POST /p HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n{body}"));
        let answer = client.answer("POST");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{fields}");
        let head = origin.last_head();
        let offers = fields.contains("TLS/1.2");
        assert_eq!(head.header("upgrade"), offers.then_some("TLS/1.2"), "{fields}");
        assert_eq!(head.header("http2-settings"), None);
    }
    assert_eq!(origin.heads().len(), 6);
}

#[test]
fn a_refusal_of_an_offer_with_a_body_keeps_the_connection() {
    let origin = Origin::answering(OK);
    let routes = "[[routes]]\npath = \"/fixed\"\nrespond = { body = \"fixed\" }\n";
    let proxy = Proxy::start(&format!("{routes}{}", origin.config()));
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        client.write(exec("Content-Length: 3").replace("/exec/1/start", "/fixed") + "{ }");
        assert_eq!(client.answer("POST").text(), "fixed");
    }
}

#[test]
fn a_body_comes_before_the_switch_and_the_tunnel_behind_it() {
    for (length, body) in [
        ("Content-Length: 14", "{\"Tty\": false}"),
        ("Transfer-Encoding: chunked", "e\r\n{\"Tty\": false}\r\n0\r\n\r\n"),
    ] {
        let origin = Origin::start(|exchange| {
            let head = exchange.request().expect("a request comes");
            assert_eq!(head.header("upgrade"), Some("tcp"));
            let body = exchange.body(&head);
            exchange.write([SWITCH.as_bytes(), &body].concat());
            let mut word = [0; 4];
            exchange.read(&mut word);
            exchange.write(word);
            exchange.close();
        });
        let proxy = Proxy::start(&origin.config());
        let mut client = Client::connect(proxy.address);
        // What is said to the other side may follow at once.
        client.write(exec(length) + body + "ping");
        assert_eq!(client.head().0, "HTTP/1.1 101 Switching Protocols");
        assert_eq!(read(&mut client, 18), "{\"Tty\": false}ping");
    }
}

#[test]
fn an_endpoint_that_switches_early_gets_the_whole_body_first() {
    let origin = switching(|exchange: &mut Exchange| {
        let mut seen = Vec::new();
        let mut buffer = [0; 100];
        while let read @ 1.. = exchange.read(&mut buffer) {
            seen.extend_from_slice(&buffer[..read]);
        }
        exchange.write(seen);
        exchange.close();
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    let offer = exec("Content-Length: 10").replace(": tcp", ": websocket");
    client.write(offer + "first");
    crate::support::eventually("the request to arrive", || {
        (!origin.heads().is_empty()).then_some(())
    });
    client.write("-half");
    assert_eq!(client.head().0, "HTTP/1.1 101 Switching Protocols");
    client.write(" then the tunnel");
    client.stream.get_ref().shutdown(std::net::Shutdown::Write).expect("is open");
    let mut heard = String::new();
    client.stream.read_to_string(&mut heard).expect("ends in order");
    assert_eq!(heard, "first-half then the tunnel");
}

#[test]
fn a_request_behind_an_offer_with_a_body_is_never_one() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    client.write(exec("Content-Length: 3") + "abc" + smuggled);
    assert_eq!(client.answer("POST").status, 200);
    assert!(client.is_closed());
    for lengths in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Content-Length: 3\r\nContent-Length: 4",
    ] {
        let mut client = Client::connect(proxy.address);
        client.write(exec(lengths) + "abc" + smuggled);
        assert_eq!(client.answer("POST").status, 400);
        assert!(client.is_closed());
    }
    let old = exec("Content-Length: 3").replace("HTTP/1.1", "HTTP/1.0");
    let mut client = Client::connect(proxy.address);
    client.write(old + "abc");
    assert_eq!(client.answer("POST").status, 200);
    assert_eq!(origin.last_head().header("upgrade"), None);
    assert!(origin.heads().iter().all(|head| !head.line.contains("smuggled")));
}
