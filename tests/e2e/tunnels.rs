//! WebSocket and any other protocol that a connection is switched to: raw bytes both ways, within
//! their limits, and nothing that looks like a switch but is none.

use std::{
    io::{Read, Write},
    net::Shutdown,
};

use crate::support::{Client, Exchange, OFFER, Origin, Proxy, eventually, switching};

fn echo(exchange: &mut Exchange) {
    let mut buffer = [0; 4096];
    loop {
        match exchange.read(&mut buffer) {
            0 => return exchange.close(),
            read => exchange.write(&buffer[..read]),
        };
    }
}

fn config(origin: &Origin, tunnel: &str) -> String {
    format!("{}tunnel = {{ {tunnel} }}\n", origin.config())
}

/// A client behind its 101.
fn switched(proxy: &Proxy) -> Client {
    let mut client = Client::connect(proxy.address);
    client.write(OFFER);
    let (line, _) = client.head();
    assert_eq!(line, "HTTP/1.1 101 Switching Protocols");
    client
}

fn read(client: &mut Client, length: usize) -> String {
    let mut bytes = vec![0; length];
    client.stream.read_exact(&mut bytes).expect("the bytes come");
    String::from_utf8(bytes).expect("is text")
}

#[test]
fn bytes_pass_both_ways_behind_a_101_and_are_counted() {
    let origin = switching(|exchange| {
        // In one segment with the head, or close behind it.
        exchange.write("early");
        echo(exchange);
    });
    let proxy = Proxy::start(&config(&origin, ""));
    let mut client = Client::connect(proxy.address);
    client.write(OFFER);
    let (line, fields) = client.head();
    assert_eq!(line, "HTTP/1.1 101 Switching Protocols");
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="),
    ] {
        assert!(fields.contains(&(name.to_owned(), value.to_owned())), "{fields:?}");
    }
    assert_eq!(read(&mut client, 5), "early");
    for message in ["GET /not-http HTTP/1.1\r\n\r\n", "two", "three"] {
        client.write(message);
        assert_eq!(read(&mut client, message.len()), message);
    }
    assert_eq!(proxy.metric("proxy_tunnels_open"), 1.0);
    drop(client);

    let line = proxy.access_line("/chat");
    assert_eq!((&line["status"], &line["bytes_in"]), (&101.into(), &34.into()), "{line}");
    assert_eq!(line["bytes_out"], 39);
    proxy.wait_for_metric("proxy_tunnels_open", 0.0);
    assert_eq!(proxy.metric("proxy_tunnels_total"), 1.0);
    let head = origin.last_head();
    assert_eq!(head.headers("upgrade"), ["WebSocket"]);
    assert_eq!(head.headers("connection"), ["upgrade"]);
    assert_eq!(head.header("sec-websocket-key"), Some("x3JJHMbDL1EzLkh9GBhXDw=="));
}

#[test]
fn an_answer_that_is_no_101_leaves_the_connection_to_http() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    client.write(OFFER);
    let answer = client.answer("GET");
    assert_eq!((answer.status, answer.header("upgrade")), (200, None));
    client.write("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer("GET").text(), "ok");
    let lines: Vec<String> = origin.heads().into_iter().map(|head| head.line).collect();
    assert_eq!(lines, ["GET /chat HTTP/1.1", "GET /next HTTP/1.1"]);
}

#[test]
fn a_switch_that_nobody_asked_for_is_502() {
    for offer in [
        "GET /chat HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(),
        OFFER.replace("WebSocket\r\n", "other/1\r\n"),
        OFFER.replace("keep-alive, Upgrade", "keep-alive"),
        OFFER.replace("HTTP/1.1", "HTTP/1.0"),
    ] {
        let origin = switching(Exchange::wait_for_close);
        let proxy = Proxy::start(&origin.config());
        let mut client = Client::connect(proxy.address);
        client.write(&offer);
        assert_eq!(client.answer("GET").status, 502, "{offer:?}");
    }
}

#[test]
fn h2c_is_never_offered() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    client.write(OFFER.replace("WebSocket", "h2c"));
    assert_eq!(client.answer("GET").text(), "ok");
    assert_eq!(origin.last_head().header("upgrade"), None);
}

#[test]
fn one_side_may_end_before_the_other() {
    let origin = switching(|exchange| {
        let mut rest = Vec::new();
        let mut buffer = [0; 100];
        while let read @ 1.. = exchange.read(&mut buffer) {
            rest.extend_from_slice(&buffer[..read]);
        }
        exchange.write([&b"farewell "[..], &rest].concat());
        exchange.close();
    });
    let proxy = Proxy::start(&config(&origin, ""));
    let mut client = switched(&proxy);
    client.write("last words");
    client.stream.get_ref().shutdown(Shutdown::Write).expect("is open");
    let mut heard = String::new();
    client.stream.read_to_string(&mut heard).expect("ends in order");
    assert_eq!(heard, "farewell last words");
}

#[test]
fn a_silent_tunnel_is_closed_and_a_talking_one_is_not() {
    let origin = switching(echo);
    let proxy = Proxy::start(&config(&origin, "idle = \"600ms\""));
    let mut client = switched(&proxy);
    let started = std::time::Instant::now();
    while started.elapsed().as_millis() < 1500 {
        client.write("x");
        assert_eq!(read(&mut client, 1), "x");
    }
    assert!(client.is_closed());
    assert_eq!(proxy.access_line("/chat")["reason"], "idle_timeout");
}

#[test]
fn a_tunnel_ends_with_its_lifetime_however_busy() {
    let origin = switching(echo);
    let proxy = Proxy::start(&config(&origin, "lifetime = \"600ms\""));
    let mut client = switched(&proxy);
    eventually("the end", || {
        let sent = client.stream.get_mut().write_all(b"x").is_ok();
        let mut byte = [0];
        let got = sent && client.stream.read(&mut byte).is_ok_and(|read| read == 1);
        (!got).then_some(())
    });
    assert_eq!(proxy.access_line("/chat")["reason"], "total_timeout");
}

#[test]
fn a_reader_that_is_slow_holds_the_other_side_up_and_loses_nothing() {
    const LENGTH: usize = 48 << 20;
    let origin = switching(|exchange| {
        let block: Vec<u8> = (0..=255).cycle().take(1 << 16).collect();
        for _ in 0..LENGTH >> 16 {
            exchange.write(&block);
        }
        exchange.close();
    });
    let proxy = Proxy::start(&config(&origin, ""));
    let mut client = switched(&proxy);
    let (before, _) = proxy.program.memory_kib();
    eventually("the sockets to fill", {
        let mut seen = -1.0;
        move || {
            let (now, _) = proxy.program.memory_kib();
            assert!(now < before + (8 << 10), "{before} KiB became {now}");
            let mut buffer = vec![0; 256 << 10];
            let read = client.stream.read(&mut buffer).expect("bytes come");
            let right = buffer[..read].windows(2).all(|two| two[0].wrapping_add(1) == two[1]);
            assert!(right);
            seen += read as f64;
            (seen >= (LENGTH - 1) as f64).then_some(())
        }
    });
}

#[test]
fn a_tunnel_goes_on_while_the_proxy_drains() {
    let origin = switching(echo);
    let mut proxy = Proxy::start(&config(&origin, ""));
    let mut client = switched(&proxy);
    proxy.program.signal("TERM");
    eventually("the drain to begin", || (proxy.admin("/readyz").status == 503).then_some(()));
    for _ in 0..100 {
        client.write("still here");
        assert_eq!(read(&mut client, 10), "still here");
    }
    drop(client);
    assert_eq!(proxy.program.exit_code(), Some(0));
}
