//! Names of fields, to HTTP/1.1 endpoints and clients: as the other side has spelled them.

use std::io::Read;

use crate::support::{
    Client, Head, Origin, Proxy,
    http2::{Fields, Http2},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn with(origin: &Origin, server: &str) -> Proxy {
    Proxy::start(&format!("{}\n[server]\n{server}\n", origin.config()))
}

/// The names that `head` has, as they are spelled.
fn spelled(head: &Head) -> Vec<&str> {
    head.names.iter().map(String::as_str).collect()
}

#[test]
fn names_of_a_client_are_written_as_it_wrote_them() {
    let origin = Origin::answering(OK);
    let token = format!("Bearer {}", "t".repeat(200));
    for case in ["title", "lower"] {
        let proxy = with(&origin, &format!("headers = {{ case = \"{case}\" }}"));
        let mut client = Client::connect(proxy.address);
        // The second request has the credentials of the first.
        for _ in 0..2 {
            client.write(format!(
                "GET / HTTP/1.1\r\nHost: a\r\nSOAPAction: a\r\nx-lower: b\r\nX-tIGHT:c\r\n\
                 X-WIDE: \t d \r\nX-eMPTY:\r\nAUTHORIZATION: {token}\r\nX-Twice: 1\r\nx-twice: 2\r\n\r\n"
            ));
            assert_eq!(client.answer("GET").status, 200);
            let head = origin.last_head();
            let names = spelled(&head);
            for name in ["SOAPAction", "x-lower", "X-tIGHT", "X-WIDE", "X-eMPTY", "AUTHORIZATION"] {
                assert!(names.contains(&name), "{name} is not in {names:?}");
            }
            assert_eq!(head.headers("x-twice"), ["1", "2"]);
            assert!(names.contains(&"X-Twice") && names.contains(&"x-twice"), "{names:?}");
            assert_eq!(head.headers("x-wide"), ["d"]);
            assert_eq!(head.headers("x-empty"), [""]);
            assert_eq!(head.headers("authorization"), [&token]);
        }
    }
}

/// What is neither the client's nor anybody's to spell.
const OWN: [&str; 10] = [
    "Host",
    "Content-Length",
    "X-Request-Id",
    "Cdn-Loop",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Request-Timeout-Ms",
    "X-Set-By-Route",
    "X-Added",
];

fn own_names(case: &str) -> (Proxy, Origin) {
    let origin = Origin::answering(OK);
    let route = "request_headers = { set = { x-set-by-route = \"1\" }, add = { X-Added = \"1\" } }";
    let config = origin.config().replace("name = \"all\"", &format!("name = \"all\"\n{route}"));
    let config = format!("{config}timeouts = {{ total = \"60s\" }}\n[server]\n{case}\n");
    (Proxy::start(&config), origin)
}

#[test]
fn names_of_the_proxy_are_in_title_case_unless_told_otherwise() {
    for (settings, is_lower) in [
        ("", false),
        ("headers = { case = \"title\" }", false),
        ("headers = { case = \"lower\" }", true),
    ] {
        let (proxy, origin) = own_names(settings);
        assert_eq!(proxy.request("POST", "/").body("a").send().status, 200);
        let mut names = spelled(&origin.last_head()).join(",");
        names.push(',');
        for name in OWN {
            let name = if is_lower { name.to_lowercase() } else { name.to_owned() };
            assert!(names.contains(&format!("{name},")), "{name} is not in {names}");
        }
        let mut client = Client::connect(proxy.address);
        client.write("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        assert_eq!(client.answer("PUT").status, 200);
        let name = if is_lower { "transfer-encoding" } else { "Transfer-Encoding" };
        assert!(spelled(&origin.last_head()).contains(&name));
    }
}

#[test]
fn names_of_clients_of_http2_are_written_as_the_case_says() {
    for (settings, expected) in [
        ("", ["User-Agent", "Soapaction", "X-A--B_c"]),
        ("headers = { case = \"lower\" }", ["user-agent", "soapaction", "x-a--b_c"]),
    ] {
        let origin = Origin::answering(OK);
        let proxy = with(&origin, settings);
        let fields =
            Fields::get("/").with("user-agent", "u").with("soapaction", "").with("x-a--b_c", "1");
        assert_eq!(Http2::connect(proxy.address).ask(&fields).status, 200);
        let head = origin.last_head();
        for name in expected {
            assert!(spelled(&head).contains(&name), "{name}: {:?}", head.fields);
        }
    }
}

#[test]
fn names_of_an_answer_are_written_as_the_endpoint_wrote_them() {
    for length in ["Content-Length", "content-length", "CONTENT-LENGTH"] {
        let answer = format!("HTTP/1.1 200 OK\r\nsERVER: s\r\nx-a: 1\r\n{length}: 2\r\n\r\n");
        let origin = Origin::start(move |exchange| {
            while let Some(head) = exchange.request() {
                exchange.write(&answer);
                if !head.line.starts_with("HEAD") {
                    exchange.write("ok");
                }
            }
        });
        let proxy = Proxy::start(&origin.config());
        for method in ["GET", "HEAD"] {
            let mut client = Client::connect(proxy.address);
            client.write(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            let (_, fields) = client.spelled_head();
            let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
            for name in [length, "sERVER", "x-a", "X-Request-Id", "Date"] {
                assert!(names.contains(&name), "{method}: {name} is not in {names:?}");
            }
        }
        // RFC 9113 section 8.2: lower case, or the client would end the stream.
        let reply = Http2::connect(proxy.address).ask(&Fields::get("/"));
        assert_eq!(
            (reply.header("content-length"), reply.header("server")),
            (Some("2"), Some("s"))
        );
    }
}

#[test]
fn names_of_answers_of_the_proxy_are_in_title_case() {
    let proxy = Proxy::start("");
    let mut client = Client::connect(proxy.address);
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut text = String::new();
    client.stream.read_to_string(&mut text).expect("is text");
    for name in
        ["Content-Length", "Content-Type", "Connection", "Date", "Proxy-Status", "X-Request-Id"]
    {
        assert!(text.contains(&format!("\r\n{name}: ")), "{name} is not in {text}");
    }
}
