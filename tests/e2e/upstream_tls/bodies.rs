//! What passes over TLS to endpoints: connections that are used again, bodies, tunnels, and their
//! ends.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
    sync::{Arc, Mutex, mpsc},
    thread,
};

use rustls::HandshakeKind;
use sha2::{Digest, Sha256};

use super::{BY_CA, OK, World};
use crate::support::{Client, Exchange, OFFER, Origin, PATIENCE, Proxy, switching_tls};

#[test]
fn an_idle_connection_is_used_again_though_session_tickets_came_on_it() {
    let world = World::localhost();
    let origin = Origin::answering_tls(&world.tls(), OK);
    let proxy = Proxy::start(&world.config(&origin, BY_CA));
    for _ in 0..5 {
        assert_eq!(proxy.get("/").send().status, 200);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn what_tls_says_on_an_idle_connection_is_no_answer() {
    let world = World::localhost();
    let (told, updates) = mpsc::channel();
    let origin = Origin::start_tls(&world.tls(), move |exchange| {
        while exchange.request().is_some() {
            exchange.write(OK);
            exchange.update_keys();
            let _ = told.send(());
        }
    });
    let proxy = Proxy::start(&world.config(&origin, BY_CA));
    for _ in 0..5 {
        assert_eq!(proxy.get("/").send().text(), "ok");
        assert_eq!(updates.recv_timeout(PATIENCE), Ok(()));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn sessions_are_resumed_by_all_workers() {
    let world = World::localhost();
    for tls in [world.tls(), world.tls().only_1_2()] {
        let kinds = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&kinds);
        let origin = Origin::start_tls(&tls, move |exchange| {
            if exchange.request().is_some() {
                seen.lock().expect("is whole").push(exchange.tls().handshake_kind());
                exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                exchange.close();
            }
        });
        let flags = ["--listen", "127.0.0.1:0", "--workers", "3"];
        let proxy = Proxy::start_with(&world.config(&origin, BY_CA), &flags);
        for _ in 0..9 {
            assert_eq!(proxy.get("/").send().status, 200);
        }
        let kinds = kinds.lock().expect("is whole");
        assert_eq!(kinds[0], Some(HandshakeKind::Full));
        assert!(kinds[1..].iter().all(|kind| *kind == Some(HandshakeKind::Resumed)), "{kinds:?}");
    }
}

#[test]
fn a_body_that_is_ended_by_close_is_whole_only_if_tls_says_so() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\n\r\nall of it";
    let world = World::localhost();
    let get = |end: fn(&mut Exchange)| {
        let origin = Origin::start_tls(&world.tls(), move |exchange| {
            if exchange.request().is_some() {
                exchange.write(HEAD);
                end(exchange);
            }
        });
        let proxy = Proxy::start(&world.config(&origin, BY_CA));
        let answer = proxy.get("/a").send();
        (answer.text(), answer.is_whole, proxy.access_line("/a")["reason"].clone())
    };
    let (text, is_whole, reason) = get(Exchange::close);
    assert_eq!((text.as_str(), is_whole, reason), ("all of it", true, ().into()));
    let (_, is_whole, reason) = get(Exchange::cut);
    assert_eq!((is_whole, reason), (false, "upstream_reset".into()));
}

#[test]
fn a_body_with_a_length_needs_no_word_of_tls_at_its_end() {
    let world = World::localhost();
    for answer in [OK, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"]
    {
        let origin = Origin::start_tls(&world.tls(), move |exchange| {
            if exchange.request().is_some() {
                exchange.write(answer);
                exchange.cut();
            }
        });
        let proxy = Proxy::start(&world.config(&origin, BY_CA));
        for _ in 0..3 {
            let answer = proxy.get("/").send();
            assert_eq!((answer.text().as_str(), answer.is_whole), ("ok", true));
        }
    }
}

#[test]
fn a_connection_that_is_not_kept_is_closed_in_order() {
    let world = World::localhost();
    let (told, ends) = mpsc::channel();
    let origin = Origin::start_tls(&world.tls(), move |exchange| {
        if exchange.request().is_some() {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = told.send(exchange.ends_in_order());
        }
    });
    let proxy = Proxy::start(&world.config(&origin, BY_CA));
    assert_eq!(proxy.get("/").send().status, 200);
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(true));
}

/// Bytes that repeat themselves nowhere near, and their hash.
fn noise(length: usize) -> (Vec<u8>, Vec<u8>) {
    let mut state = 1_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend_from_slice(&(state >> 16).to_be_bytes());
    }
    bytes.truncate(length);
    let hash = Sha256::digest(&bytes).to_vec();
    (bytes, hash)
}

#[test]
fn large_bodies_pass_whole_both_ways_at_once() {
    const LENGTH: usize = 48 << 20;
    let world = World::localhost();
    let (bytes, hash) = noise(LENGTH);
    let down = bytes.clone();
    let (told, hashes) = mpsc::channel();
    let origin = Origin::start_tls(&world.tls(), move |exchange| {
        while let Some(head) = exchange.request() {
            if head.line.starts_with("PUT") {
                let _ = told.send(Sha256::digest(exchange.body(&head)).to_vec());
                exchange.write(OK);
            } else {
                exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"));
                exchange.write(&down);
            }
        }
    });
    let proxy = Proxy::start(&world.config(&origin, BY_CA));

    let (up, down) = (proxy.request("PUT", "/up").body(&bytes), proxy.get("/down"));
    let up = thread::spawn(move || up.send().status);
    let answer = down.send();
    let in_chunks = chunked(proxy.address, &bytes);

    assert_eq!(Sha256::digest(&answer.body).to_vec(), hash);
    assert_eq!((up.join().expect("ends"), in_chunks), (200, 200));
    let hashes: Vec<_> = hashes.iter().take(2).collect();
    assert_eq!(hashes, [hash.clone(), hash]);
    assert!(proxy.program.memory_kib().1 < 64 << 10);
}

/// The same bytes in chunks of odd sizes.
fn chunked(address: SocketAddr, bytes: &[u8]) -> u16 {
    let mut client = Client::connect(address);
    client.write("PUT /chunks HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let (mut rest, mut size) = (bytes, 1);
    while !rest.is_empty() {
        let (chunk, left) = rest.split_at(size.min(rest.len()));
        client.write(format!("{:x}\r\n", chunk.len()));
        client.write(chunk);
        client.write("\r\n");
        (rest, size) = (left, (size * 3) % 300_007 + 1);
    }
    client.write("0\r\n\r\n");
    client.answer("PUT").status
}

#[test]
fn a_tunnel_passes_bytes_both_ways_and_its_end() {
    let world = World::localhost();
    let origin = switching_tls(&world.tls(), |exchange| {
        exchange.write("early");
        let mut buffer = [0; 4096];
        loop {
            match exchange.read(&mut buffer) {
                0 => break,
                read => exchange.write(&buffer[..read]),
            };
        }
        exchange.write("farewell");
        exchange.close();
    });
    let proxy = Proxy::start(&world.config(&origin, BY_CA));
    let mut client = Client::connect(proxy.address);
    client.write(OFFER);
    assert_eq!(client.head().0, "HTTP/1.1 101 Switching Protocols");
    let read = |length: usize, client: &mut Client| {
        let mut bytes = vec![0; length];
        client.stream.read_exact(&mut bytes).expect("the bytes come");
        bytes
    };
    assert_eq!(read(5, &mut client), b"early");
    for message in ["one", "two", "three"] {
        client.write(message);
        assert_eq!(read(message.len(), &mut client), message.as_bytes());
    }

    let (bytes, hash) = noise(8 << 20);
    let length = bytes.len();
    let mut writer = client.stream.get_ref().try_clone().expect("is open");
    let writing = thread::spawn(move || writer.write_all(&bytes));
    assert_eq!(Sha256::digest(read(length, &mut client)).to_vec(), hash);
    writing.join().expect("ends").expect("is taken");

    client.stream.get_ref().shutdown(Shutdown::Write).expect("is open");
    let mut heard = String::new();
    client.stream.read_to_string(&mut heard).expect("ends in order");
    assert_eq!(heard, "farewell");
}
