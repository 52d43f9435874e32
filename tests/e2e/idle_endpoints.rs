//! `timeouts.idle`: an endpoint that stops amid an exchange.

use std::{
    io::Write,
    sync::{Mutex, mpsc},
    time::Instant,
};

use crate::support::{Client, Origin, Proxy, eventually};

fn config(origin: &Origin) -> String {
    origin.config() + "timeouts = { idle = \"600ms\" }\n"
}

#[test]
fn an_endpoint_that_stops_amid_its_body_is_given_up_and_the_client_sees_a_cut() {
    let origin = Origin::start(|exchange| {
        exchange.request();
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        exchange.wait_for_close();
    });
    let proxy = Proxy::start(&config(&origin));
    let started = Instant::now();
    let answer = proxy.get("/a").send();
    assert!(started.elapsed().as_millis() >= 600);
    assert_eq!((answer.status, answer.text().as_str()), (200, "only this"));
    assert!(!answer.is_whole);
    let line = proxy.access_line("/a");
    assert_eq!((&line["status"], &line["reason"]), (&200.into(), &"idle_timeout".into()));
}

#[test]
fn a_body_that_comes_slowly_but_comes_is_whole() {
    let origin = Origin::start(|exchange| {
        exchange.request();
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let started = Instant::now();
        for step in 1..=10 {
            exchange.write("1\r\nx\r\n");
            eventually("time to pass", || {
                (started.elapsed().as_millis() > step * 120).then_some(())
            });
        }
        exchange.write("0\r\n\r\n");
    });
    let proxy = Proxy::start(&config(&origin));
    let answer = proxy.get("/a").send();
    assert_eq!((answer.text().as_str(), answer.is_whole), ("xxxxxxxxxx", true));
}

#[test]
fn an_endpoint_that_takes_no_request_bytes_is_504() {
    let (end, ended) = mpsc::channel::<()>();
    let ended = Mutex::new(ended);
    let origin = Origin::start(move |exchange| {
        exchange.request();
        let _ = ended.lock().expect("is asked once").recv();
    });
    let proxy = Proxy::start(&config(&origin));
    let mut client = Client::connect(proxy.address);
    client
        .write(format!("POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", 1 << 30));
    let mut writer = client.stream.get_ref().try_clone().expect("can be cloned");
    let upload = std::thread::spawn(move || while writer.write_all(&[b'x'; 64 << 10]).is_ok() {});
    let answer = client.answer("POST");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (504, "{\"message\": \"Gateway timeout\"}")
    );
    let status = answer.header("proxy-status").expect("is there");
    assert!(status.contains("details=\"idle_timeout\""), "{status}");
    drop((client, end));
    upload.join().expect("ends");
}
