//! Requests over HTTP/2: what the origin gets of them over HTTP/1.1, by the same rules as those
//! that came over HTTP/1.1.

use crate::support::{
    Head, Origin, Proxy, eventually,
    http2::{Fields, Http2, Reply, World, frame},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl World {
    /// What the origin gets of a request without a body.
    fn received(&self, fields: &Fields) -> Head {
        assert_eq!(self.client().ask(fields).text(), "ok", "{fields:?}");
        self.origin.last_head()
    }
}

fn names(head: &Head) -> Vec<&str> {
    let mut names: Vec<&str> = head.fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_origin_gets_a_request_of_http_1_1() {
    let world = World::start();
    let request = Fields::get("/a/b?c=d&e=%20").with("x-mine", "1").with("x-mine", "2");
    let head = world.received(&request.with("x-empty", ""));
    assert_eq!(head.line, "GET /a/b?c=d&e=%20 HTTP/1.1");
    assert_eq!(head.headers("host"), ["a.test"]);
    assert_eq!(head.headers("x-mine"), ["1", "2"]);
    assert_eq!(head.headers("x-empty"), [""]);
    let expected = [
        "cdn-loop",
        "host",
        "x-empty",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-mine",
        "x-mine",
        "x-request-id",
    ];
    let lower: Vec<String> = names(&head).iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(lower, expected);
}

#[test]
fn the_origin_is_told_the_client_the_protocol_and_the_host_and_no_strangers_word() {
    let world = World::start();
    let request = Fields::get("/").set(":authority", "shop.test:81");
    let spoofed = request
        .with("x-forwarded-for", "1.2.3.4")
        .with("x-forwarded-for", "5.6.7.8")
        .with("x-forwarded-proto", "https")
        .with("x-forwarded-host", "evil.test")
        .with("x_forwarded_for", "1.2.3.4")
        .with("x-real-ip", "1.2.3.4")
        .with("forwarded", "for=1.2.3.4");
    let head = world.received(&spoofed);
    assert_eq!(head.headers("host"), ["shop.test:81"]);
    assert_eq!(head.headers("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.headers("x-forwarded-proto"), ["http"]);
    assert_eq!(head.headers("x-forwarded-host"), ["shop.test:81"]);
    for name in ["x_forwarded_for", "x-real-ip", "forwarded"] {
        assert_eq!(head.header(name), None, "{name}");
    }
}

#[test]
fn the_authority_or_the_host_or_both_become_one_host() {
    let world = World::start();
    for request in [
        Fields::get("/"),
        Fields::get("/").without(":authority").with("host", "a.test"),
        Fields::get("/").with("host", "a.test"),
    ] {
        let head = world.received(&request);
        assert_eq!(head.headers("host"), ["a.test"], "{request:?}");
        assert_eq!(head.headers("x-forwarded-host"), ["a.test"], "{request:?}");
    }
}

#[test]
fn the_host_decides_the_route() {
    let routes = ["a.test", "b.test"].map(|host| {
        format!("[[routes]]\nhost = [\"{host}\"]\nrespond = {{ body = \"{host}\" }}\n")
    });
    let proxy = Proxy::start(&routes.concat());
    let mut client = Http2::connect(proxy.address);
    for host in ["b.test", "a.test", "B.test:8080"] {
        let by_authority = client.ask(&Fields::get("/").set(":authority", host));
        let by_host = Fields::get("/").without(":authority").with("host", host);
        let expected = host.to_lowercase().replace(":8080", "");
        assert_eq!(by_authority.text(), expected);
        assert_eq!(client.ask(&by_host).text(), expected);
    }
}

#[test]
fn every_method_passes() {
    let world = World::start();
    let mut client = world.client();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "x-own"] {
        assert_eq!(client.ask(&Fields::new(method, "/m")).status, 200, "{method}");
        assert_eq!(world.origin.last_head().line, format!("{method} /m HTTP/1.1"));
    }
    assert_eq!(world.origin.connections(), 1, "one connection carries them all");
}

#[test]
fn a_path_is_normalised_once_before_it_is_routed() {
    let world = World::start();
    for (sent, forwarded) in [
        ("/a/../b", "/b"),
        ("/a/%2e%2e/b?c", "/b?c"),
        ("/a%2Fb", "/a%2Fb"),
        ("//a", "//a"),
        ("/a?b=/../c", "/a?b=/../c"),
    ] {
        let head = world.received(&Fields::get(sent));
        assert_eq!(head.line, format!("GET {forwarded} HTTP/1.1"));
    }
}

/// RFC 9113 section 8.2.3: compression cuts the field into pieces, which mean one field.
#[test]
fn the_crumbs_of_a_cookie_become_one_field() {
    let world = World::start();
    let crumbs = Fields::get("/").with("cookie", "a=1").with("x", "y").with("cookie", "b=2; c=3");
    let head = world.received(&crumbs.with("cookie", "d=4"));
    assert_eq!(head.headers("cookie"), ["a=1; b=2; c=3; d=4"]);
    assert_eq!(head.headers("x"), ["y"]);
    assert_eq!(world.received(&Fields::get("/").with("cookie", "a=1")).headers("cookie"), ["a=1"]);
}

/// They count as the one field that they are, and their bytes as all bytes do.
#[test]
fn many_crumbs_of_a_cookie_become_one_field_within_the_bounds_of_a_head() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&format!("[server]\nmax_headers = 10\n{}", origin.config()));
    let mut client = Http2::connect(proxy.address);
    let crumbs = |count: usize, value: &str| {
        let crumb = |all: Fields, n| all.with("cookie", format!("c{n}={value}"));
        (0..count).fold(Fields::get("/"), crumb)
    };
    assert_eq!(client.ask(&crumbs(200, "")).status, 200);
    let joined: Vec<String> = (0..200).map(|n| format!("c{n}=")).collect();
    assert_eq!(origin.last_head().headers("cookie"), [joined.join("; ")]);
    let refused = client.ask(&crumbs(200, &"v".repeat(200)));
    assert_eq!((refused.status, refused.reason()), (431, Some("headers_too_large")));
    assert_eq!(origin.heads().len(), 1);
}

#[test]
fn what_ends_at_the_proxy_does_not_go_on() {
    let world = World::start();
    let request = Fields::get("/")
        .with("te", "trailers")
        .with("trailer", "x-sum")
        .with("proxy-authorization", "Basic eDp5")
        .with("proxy-authenticate", "Basic");
    let head = world.received(&request);
    for name in ["te", "trailer", "proxy-authorization", "proxy-authenticate", "connection"] {
        assert_eq!(head.header(name), None, "{name}");
    }
}

#[test]
fn a_request_id_is_kept_or_made_and_answered() {
    let world = World::start();
    let mut client = world.client();
    let kept = client.ask(&Fields::get("/").with("x-request-id", "my-request-1"));
    assert_eq!(kept.headers("x-request-id"), ["my-request-1"]);
    let made = client.ask(&Fields::get("/"));
    let id = made.header("x-request-id").expect("is there");
    assert_eq!(world.origin.last_head().headers("x-request-id"), [id]);
    assert!(id.len() == 36 && id != "my-request-1", "{id}");
}

#[test]
fn a_trace_passes() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let world = World::start();
    let head = world.received(&Fields::get("/t").with("traceparent", trace));
    assert_eq!(head.headers("traceparent"), [trace]);
    assert_eq!(world.proxy.access_line("/t")["trace_id"], trace[3..35]);
}

/// What the origin gets of a POST: its head and its body.
fn posted(fields: &Fields, send: impl Fn(&mut Http2, u32)) -> (Head, String) {
    let (told, body) = std::sync::mpsc::channel();
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            let body = String::from_utf8(exchange.body(&head)).expect("is text");
            told.send((head, body)).expect("the test waits");
            exchange.write(OK);
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(fields);
    send(&mut client, stream);
    assert_eq!(client.reply(stream).text(), "ok");
    body.recv_timeout(crate::support::PATIENCE).expect("the request comes")
}

#[test]
fn a_body_of_known_length_keeps_its_length() {
    let fields = Fields::post("/").with("content-length", "11");
    let (head, body) = posted(&fields, |client, stream| {
        client.data(stream, b"hello ", false);
        client.data(stream, b"world", true);
    });
    assert_eq!((body.as_str(), head.headers("content-length")), ("hello world", vec!["11"]));
    assert_eq!(head.header("transfer-encoding"), None);
}

#[test]
fn a_body_of_unknown_length_goes_on_in_chunks() {
    let (head, body) = posted(&Fields::post("/"), |client, stream| {
        client.data(stream, b"hello ", false);
        client.data(stream, b"", false);
        client.data(stream, b"world", false);
        client.data(stream, b"", true);
    });
    assert_eq!(
        (body.as_str(), head.headers("transfer-encoding")),
        ("hello world", vec!["chunked"])
    );
    assert_eq!(head.header("content-length"), None);
}

#[test]
fn a_body_that_turns_out_empty_is_empty() {
    for fields in [Fields::post("/"), Fields::post("/").with("content-length", "0")] {
        let (_, body) = posted(&fields, |client, stream| client.data(stream, b"", true));
        assert_eq!(body, "", "{fields:?}");
    }
}

#[test]
fn padding_and_priority_are_no_part_of_a_request() {
    let (_, body) = posted(&Fields::post("/"), |client, stream| {
        client.write(frame::padded_data(stream, b"hello ", 255, false));
        client.write(frame::padded_data(stream, b"", 0, false));
        client.write(frame::padded_data(stream, b"world", 1, true));
    });
    assert_eq!(body, "hello world");
    let world = World::start();
    let mut client = world.client();
    let stream = client.next_stream();
    let flags = frame::END_HEADERS | frame::END_STREAM | frame::PADDED | frame::HAS_PRIORITY;
    let payload = [&[3, 0, 0, 0, 0, 15][..], &Fields::get("/p").block(), &[0; 3]].concat();
    client.write(frame::Frame::new(frame::HEADERS, flags, stream, payload).bytes());
    assert_eq!(client.reply(stream).text(), "ok");
    assert_eq!(world.origin.last_head().line, "GET /p HTTP/1.1");
}

#[test]
fn a_request_without_a_body_has_none_and_says_so_in_one_way() {
    let world = World::start();
    for (method, length) in
        [("GET", None), ("DELETE", None), ("POST", Some("0")), ("GET", Some("0"))]
    {
        let fields = Fields::new(method, "/");
        let fields = length.map_or(fields.clone(), |length| fields.with("content-length", length));
        let head = world.received(&fields);
        assert_eq!(head.header("transfer-encoding"), None, "{method} {length:?}");
        assert_eq!(head.header("content-length"), length, "{method} {length:?}");
    }
    // RFC 9110 section 8.6: a length of 0 may be added where a method expects a body.
    let head = world.received(&Fields::post("/"));
    assert_eq!(head.header("transfer-encoding"), None);
    assert!(head.header("content-length").is_none_or(|length| length == "0"), "{head:?}");
}

#[test]
fn trailers_of_a_request_end_its_body_and_go_no_further() {
    let (head, body) = posted(&Fields::post("/").with("te", "trailers"), |client, stream| {
        client.data(stream, b"hello", false);
        let trailers = Fields::none().with("x-sum", "1").with("authorization", "Bearer x");
        client.write(frame::headers(stream, &trailers.block(), true));
    });
    assert_eq!(body, "hello");
    assert_eq!((head.header("x-sum"), head.header("authorization")), (None, None));
}

#[test]
fn an_access_line_tells_what_happened() {
    let origin = Origin::answering("HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello");
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let fields = Fields::post("/orders/7?secret=1").set(":authority", "shop.test");
    let fields = fields.with("user-agent", "h2/1").with("x-request-id", "my-request-1");
    client.ask_with(&fields, b"twelve bytes");
    let line = proxy.access_line("/orders/7");
    let expected = serde_json::json!({
        "request_id": "my-request-1", "client_ip": "127.0.0.1", "method": "POST",
        "host": "shop.test", "path": "/orders/7", "status": 201, "bytes_in": 12, "bytes_out": 5,
        "route": "all", "service": "origin", "attempts": 1, "reason": null, "user_agent": "h2/1",
    });
    for (key, value) in expected.as_object().expect("is an object") {
        assert_eq!(&line[key], value, "{key}");
    }
}

#[test]
fn requests_are_counted_as_over_http_1() {
    let world = World::start();
    let mut client = world.client();
    for _ in 0..3 {
        client.ask(&Fields::get("/"));
    }
    let labels = "{route=\"all\",service=\"origin\",method=\"GET\",code=\"200\"}";
    world.proxy.wait_for_metric(&format!("proxy_requests_total{labels}"), 3.0);
    world.proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
    world.proxy.wait_for_metric("proxy_http2_streams_total", 3.0);
    world.proxy.get("/over-http-1").send();
    assert_eq!(world.proxy.metric("proxy_http2_streams_total"), 3.0);
}

#[test]
fn a_stranger_is_refused_on_every_stream() {
    let origin = Origin::answering(OK);
    let scheme = "[auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"let-me-in\"]\n";
    let proxy = Proxy::start(&format!("auth = \"a\"\n{}{scheme}", origin.config()));
    let mut client = Http2::connect(proxy.address);
    let assert_refused = |reply: &Reply| {
        assert_eq!((reply.status, reply.reason()), (401, Some("not_authenticated")));
        assert_eq!(reply.headers("www-authenticate"), ["Bearer"]);
    };
    assert_refused(&client.ask(&Fields::get("/")));
    assert_eq!(client.ask(&Fields::get("/").bearer("let-me-in")).text(), "ok");
    assert_refused(&client.ask(&Fields::get("/")));
    assert_refused(&client.ask_with(&Fields::post("/").bearer("wrong"), b"body"));
    assert_eq!(origin.heads().len(), 1);
    eventually("four access lines", || (proxy.access_lines().len() == 4).then_some(()));
}
