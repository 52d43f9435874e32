//! What comes before the end of a request over HTTP/2: the go-ahead for a body that waits for one,
//! and answers that do not wait for the body.

use std::sync::mpsc;

use crate::support::{
    Origin, PATIENCE, Proxy, eventually,
    http2::{Fields, Http2, frame},
};

const TOO_BIG: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\ntoo big";

fn patient(path: &str) -> Fields {
    Fields::post(path).with("expect", "100-continue").with("content-length", "4")
}

#[test]
fn a_client_that_waits_to_be_asked_is_asked_once() {
    let (told, body) = mpsc::channel();
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            told.send((head.header("expect").is_some(), exchange.body(&head)))
                .expect("is waited for");
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(&patient("/"));
    let asked = client.until(stream, |reply| !reply.interim.is_empty());
    assert_eq!((asked.interim.as_slice(), asked.status), (&[100][..], 0));
    client.data(stream, b"body", true);
    let reply = client.reply(stream);
    assert_eq!((reply.interim.as_slice(), reply.text().as_str()), (&[100][..], "ok"));
    // The proxy has answered the expectation: the origin must not, too.
    assert_eq!(body.recv_timeout(PATIENCE), Ok((false, b"body".to_vec())));
}

#[test]
fn a_client_that_does_not_wait_needs_not_be_asked() {
    let origin = Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            exchange.body(&head);
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let reply = client.ask_with(&patient("/"), b"body");
    assert!(reply.interim.is_empty() || reply.interim == [100], "{:?}", reply.interim);
    assert_eq!(reply.text(), "ok");
}

#[test]
fn a_refusal_comes_without_asking_for_the_body() {
    let proxy = Proxy::start("");
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(&patient("/nowhere"));
    let reply = client.reply(stream);
    assert_eq!((reply.interim.as_slice(), reply.status), (&[][..], 404));
}

#[test]
fn an_expectation_that_nobody_knows_is_refused_or_passed_over() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let proxy = Proxy::start(&origin.config());
    let fields = Fields::get("/").with("expect", "wonders");
    let reply = Http2::connect(proxy.address).ask(&fields);
    assert!([200, 400, 417].contains(&reply.status), "{}", reply.status);
    assert!(origin.heads().iter().all(|head| head.header("expect").is_none()));
}

/// RFC 9113 section 8.1: the rest of the request is not wanted, which is no error.
#[test]
fn an_early_refusal_is_delivered_and_ends_the_upload() {
    let (report, closed) = mpsc::channel();
    let origin = Origin::start(move |exchange| {
        if exchange.request().is_some() {
            exchange.write(TOO_BIG);
            exchange.wait_for_close();
            let _ = report.send(());
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(&Fields::post("/early"));
    client.data(stream, b"only this", false);
    let reply = client.reply(stream);
    assert_eq!((reply.status, reply.text().as_str(), reply.is_whole), (413, "too big", true));
    closed.recv_timeout(PATIENCE / 2).expect("the origin sees its connection close");
    let reply = client.until(stream, |reply| reply.reset.is_some());
    assert_eq!(reply.reset, Some(frame::NO_ERROR));
    assert_eq!(client.ask(&Fields::get("/next")).status, 413, "the connection goes on");
    assert_eq!(proxy.access_line("/early")["status"], 413);
}

#[test]
fn the_proxys_own_refusal_of_an_upload_is_delivered_and_ends_it() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let proxy = Proxy::start(&format!("[server]\nmax_body = \"100B\"\n{}", origin.config()));
    let mut client = Http2::connect(proxy.address);
    let told = client.open(&Fields::post("/told").with("content-length", "101"));
    let reply = client.reply(told);
    assert_eq!((reply.status, reply.reason()), (413, Some("body_too_large")));
    let seen = client.open(&Fields::post("/seen"));
    client.data(seen, &[b'x'; 60], false);
    client.data(seen, &[b'x'; 60], false);
    let reply = client.reply(seen);
    assert_eq!((reply.status, reply.reason()), (413, Some("body_too_large")));
    let enough = client.ask_with(&Fields::post("/enough"), &[b'x'; 100]);
    assert_eq!(enough.text(), "ok");
}

/// What was on its way when the proxy answered is no error, and uses up no window for good.
#[test]
fn uploads_that_are_refused_leave_the_connection_as_it_was() {
    let proxy = Proxy::start("");
    let mut client = Http2::connect(proxy.address);
    // Many times the window of the connection in all.
    for round in 0..200 {
        let stream = client.open(&Fields::post("/nowhere"));
        let length = usize::try_from(client.window(stream)).expect("is positive").min(60_000);
        assert!(length > 0 || client.ping(), "{round}: the connection ended");
        for piece in vec![b'x'; length].chunks(16_384) {
            client.write(frame::data(stream, piece, false));
            client.count_as_sent(stream, piece.len());
        }
        assert_eq!(client.reply(stream).status, 404, "{round}");
    }
    eventually("the window to open again", || {
        (client.ping() && client.window(0) > 0).then_some(())
    });
}

#[test]
fn an_answer_may_end_before_its_request_and_the_request_be_finished() {
    let origin = Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
            exchange.body(&head);
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(&Fields::post("/"));
    client.data(stream, b"some", false);
    let reply = client.reply(stream);
    assert_eq!((reply.text().as_str(), reply.is_whole), ("early", true));
    client.write(frame::data(stream, b"more", true));
    assert!(client.ping());
    assert_eq!(client.goaway(), None);
    assert_eq!(client.ask(&Fields::get("/next")).text(), "early");
}
