//! Where HTTP/2 is spoken: on every listener that does not say otherwise, behind a PROXY header
//! too; where it is off, its preface is no request.

use crate::support::{
    Client, Launch, Origin,
    http2::{Fields, Http2, frame},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn config(origin: &Origin, listeners: &str) -> String {
    format!("{listeners}\n{}", origin.config())
}

#[test]
fn where_it_is_off_the_preface_is_refused_and_http_1_is_served() {
    let origin = Origin::answering(OK);
    let listeners = "[[listeners]]\nbind = \"127.0.0.1:0\"\nhttp2 = false\n\
                     [[listeners]]\nbind = \"127.0.0.1:0\"\nhttp2 = true\n";
    let (mut proxy, _folder) = Launch::with(&config(&origin, listeners)).run(&[]).start();
    let (without, with) = (proxy.listening("traffic", 0), proxy.listening("traffic", 1));
    let request = frame::headers(1, &Fields::get("/smuggled").block(), true);
    let mut client = Client::connect(without);
    client.write([frame::PREFACE, &frame::settings(&[]), &request].concat());
    assert_eq!(client.answer("GET").status, 400);
    assert!(client.is_closed());
    let mut client = Client::connect(without);
    client.write("GET /one HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer("GET").text(), "ok");
    assert_eq!(Http2::connect(with).ask(&Fields::get("/two")).text(), "ok");
    let lines: Vec<String> = origin.heads().into_iter().map(|head| head.line).collect();
    assert_eq!(lines, ["GET /one HTTP/1.1", "GET /two HTTP/1.1"]);
}

#[test]
fn behind_a_proxy_header_the_client_is_whom_it_names() {
    let origin = Origin::answering(OK);
    let listeners = "[[listeners]]\nbind = \"127.0.0.1:0\"\nproxy_protocol = true\n";
    let (mut proxy, _folder) = Launch::with(&config(&origin, listeners)).run(&[]).start();
    let address = proxy.listening("traffic", 0);
    let header = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n";
    for in_one in [true, false] {
        let mut client = Http2::silent(address);
        let stream = client.next_stream();
        let request = frame::headers(stream, &Fields::get("/").block(), true);
        let http2 = [frame::PREFACE, &frame::settings(&[]), &request].concat();
        if in_one {
            client.write([&header[..], &http2].concat());
        } else {
            [&header[..20], &header[20..], &http2[..10], &http2[10..]]
                .iter()
                .for_each(|piece| client.write(piece));
        }
        assert_eq!(client.reply(stream).text(), "ok");
        assert_eq!(origin.last_head().headers("x-forwarded-for"), ["192.0.2.1"]);
    }
}
