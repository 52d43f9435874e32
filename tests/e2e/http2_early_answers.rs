//! Uploads over HTTP/2 that are answered before they have come: what the client sends until it knows
//! is ignored (RFC 9113 section 5.1), however many there are, and nobody beside them notices.

use crate::support::{
    Origin, Proxy,
    http2::{Credit, Fields, Http2, frame, literal},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UPLOADS: usize = 1000;
/// Uploads that the client sends before it looks at what has come.
const AT_ONCE: usize = 50;
/// Of the connection's window, of which everything that is ignored must be given back.
const WINDOW: i64 = 1 << 20;

/// What a client sends of a body, and behind it, before it knows of the answer.
#[derive(Clone, Copy)]
enum Rest {
    /// Pieces of so many bytes, and no end.
    Pieces(usize, usize),
    /// A piece and the end of the stream.
    Whole,
    /// A piece and trailers.
    Trailers,
    /// What a client does that gives up when it sees the answer: it opens the window for more of it,
    /// says that it depends on another stream, and resets the stream.
    Reset,
}

impl Rest {
    fn frames(self, stream: u32) -> Vec<u8> {
        let piece = frame::data(stream, &[b'x'; 100], false);
        let more: Vec<u8> = match self {
            Self::Pieces(length, count) => {
                return frame::data(stream, &vec![b'x'; length], false).repeat(count);
            }
            Self::Whole => frame::data(stream, b"the end", true),
            Self::Trailers => frame::headers(stream, &literal(b"x-sum", b"1"), true),
            Self::Reset => [
                frame::window_update(stream, 100),
                frame::Frame::new(frame::PRIORITY, 0, stream, [0, 0, 0, 0, 7]).bytes(),
                frame::reset(stream, frame::CANCEL),
            ]
            .concat(),
        };
        [piece, more].concat()
    }

    fn length(self) -> usize {
        match self {
            Self::Pieces(length, count) => length * count,
            Self::Whole => 107,
            Self::Trailers | Self::Reset => 100,
        }
    }
}

/// A proxy that answers uploads to the paths of `REFUSALS` early, and passes `/innocent` on.
fn proxy(origin: &Origin) -> Proxy {
    Proxy::start(&format!(
        "[auth_schemes.people]\ntype = \"bearer\"\ntokens = [\"a-long-enough-token\"]\n\
         [rate_limits.one]\nrequests = 1\nper = \"1h\"\nburst = 1\n\
         [services.app]\nendpoints = [\"http://{}\"]\n\
         [services.gone]\nendpoints = [\"http://127.0.0.1:1\"]\n\
         [[routes]]\npath = \"/innocent\"\nservice = \"app\"\n\
         [[routes]]\npath = \"/401\"\nservice = \"app\"\nauth = \"people\"\n\
         [[routes]]\npath = \"/413\"\nservice = \"app\"\nmax_body = \"10B\"\n\
         [[routes]]\npath = \"/429\"\nservice = \"app\"\nrate_limits = [\"one\"]\n\
         [[routes]]\npath = \"/308\"\nredirect = {{ to = \"https://a.test/\" }}\n\
         [[routes]]\npath = \"/410\"\nrespond = {{ status = 410, body = \"gone\" }}\n\
         [[routes]]\npath = \"/502\"\nservice = \"gone\"\n\
         [[routes]]\npath = \"/early\"\nservice = \"app\"\n",
        origin.address
    ))
}

fn origin() -> Origin {
    Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            if head.line.contains("/early") {
                exchange.write("HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno");
                exchange.wait_for_close();
                return;
            }
            exchange.body(&head);
            exchange.write(OK);
        }
    })
}

/// Uploads to `path` that are answered with `status` before the client sends the rest of them, and
/// beside them one that comes whole.
fn assert_unharmed(proxy: &Proxy, path: &str, status: u16, rest: Rest) {
    let mut client = Http2::with(proxy.address, &[], Credit::Returned);
    let innocent = client.open(&Fields::post("/innocent").with("content-length", "40"));
    let block = Fields::post(path).block();
    let rounds = UPLOADS / AT_ONCE;
    for _ in 0..rounds {
        let streams: Vec<u32> = (0..AT_ONCE).map(|_| client.next_stream()).collect();
        for stream in &streams {
            client.write(frame::headers(*stream, &block, false));
            client.write(frame::data(*stream, b"the beginning", false));
        }
        for stream in &streams {
            let reply = client.until(*stream, |reply| reply.is_whole);
            assert!(reply.is_whole, "{path}: {:?}", client.goaway());
            assert_eq!(reply.status, status, "{path}");
        }
        // The answer is there; the client has not looked yet.
        for stream in &streams {
            client.write(rest.frames(*stream));
            client.count_as_sent(*stream, 13 + rest.length());
        }
        client.data(innocent, b"xx", false);
        assert!(client.ping(), "{path}: {:?}", client.goaway());
    }
    client.data(innocent, &[], true);
    assert_eq!(client.reply(innocent).text(), "ok", "{path}");
    assert_eq!(client.goaway(), None, "{path}");
    // All but what is given back by halves.
    assert!(client.window(0) > WINDOW / 4, "{path}: {} bytes are left", client.window(0));
    assert!(client.ask_with(&Fields::post("/innocent"), b"more").is_whole);
}

#[test]
fn a_thousand_uploads_that_are_refused_early_do_no_harm() {
    let origin = origin();
    let proxy = proxy(&origin);
    assert_eq!(proxy.get("/429").send().status, 200);
    let rest = Rest::Pieces(1000, 2);
    for (path, status) in
        [("/401", 401), ("/413", 413), ("/429", 429), ("/308", 308), ("/410", 410), ("/404", 404)]
    {
        assert_unharmed(&proxy, path, status, rest);
    }
    assert_eq!(proxy.metric("proxy_http2_floods_total"), 0.0);
}

#[test]
fn nor_do_those_that_no_endpoint_takes() {
    let origin = origin();
    let proxy = proxy(&origin);
    assert_unharmed(&proxy, "/502", 502, Rest::Pieces(1000, 2));
    assert_unharmed(&proxy, "/early", 409, Rest::Pieces(1000, 2));
    assert_eq!(proxy.metric("proxy_http2_floods_total"), 0.0);
}

#[test]
fn whatever_still_comes_for_them_is_ignored() {
    let origin = origin();
    let proxy = proxy(&origin);
    for rest in
        [Rest::Pieces(10, 3), Rest::Pieces(8_000, 1), Rest::Whole, Rest::Trailers, Rest::Reset]
    {
        assert_unharmed(&proxy, "/401", 401, rest);
    }
    let lines = proxy.access_lines();
    let is_lost = |line: &&serde_json::Value| line["status"] == 499;
    assert_eq!(lines.iter().find(is_lost), None);
    assert_eq!(proxy.metric("proxy_http2_resets_total{by=\"protocol\"}"), 0.0);
}

/// What is ignored has an end, too: a window is all that a client can have sent unasked.
#[test]
fn more_than_a_window_for_one_of_them_is_a_flood_and_says_so() {
    let origin = origin();
    let proxy = proxy(&origin);
    let mut client = Http2::connect(proxy.address);
    let waiting = client.open(&Fields::post("/innocent"));
    let refused = client.open(&Fields::post("/401"));
    let reply = client.until(refused, |reply| reply.reset.is_some());
    assert_eq!((reply.status, reply.reset), (401, Some(frame::NO_ERROR)));
    let piece = frame::data(refused, &[b'x'; 16_000], false);
    while client.try_write(&piece) && client.ping() {}
    assert_eq!(client.ending().goaway.map(|(_, code)| code), Some(frame::ENHANCE_YOUR_CALM));
    assert!(!client.reply(waiting).is_whole);
    proxy.wait_for_metric("proxy_http2_floods_total", 1.0);
    proxy.wait_for_metric("proxy_http2_resets_total{by=\"flood\"}", 1.0);
    let line = proxy.access_line("/innocent");
    assert_eq!((&line["status"], &line["reason"]), (&429.into(), &"flooded".into()));
}

/// What the protocol engine counts for a connection's life does not end it under its streams.
#[test]
fn a_connection_that_is_worn_out_is_left_in_order() {
    let origin = origin();
    let proxy = proxy(&origin);
    let mut client = Http2::connect(proxy.address);
    let waiting = client.open(&Fields::post("/innocent"));
    for _ in 0..60 {
        client.data(waiting, b"x", false);
        client.write(frame::data(waiting, b"", false));
    }
    while client.goaway().is_none() {
        client.read_on("to be asked to leave");
    }
    assert_eq!(client.goaway().map(|(_, code)| code), Some(frame::NO_ERROR));
    client.data(waiting, b"x", true);
    assert_eq!(client.reply(waiting).text(), "ok");
    assert_eq!(proxy.metric("proxy_http2_floods_total"), 0.0);
}

/// What a client sends behind the head, and where it is cut by the answer.
type Half = (&'static str, fn(u32) -> Vec<u8>, usize);

const HALVES: [Half; 4] = [
    ("a piece", |stream| frame::data(stream, &[b'x'; 300], false), 20),
    ("the last piece", |stream| frame::data(stream, &[b'x'; 300], true), 20),
    ("trailers", |stream| frame::headers(stream, &literal(b"x-sum", b"12345678"), true), 12),
    ("trailers in two frames", trailers_in_two, 10 + 9 + 5),
];

fn trailers_in_two(stream: u32) -> Vec<u8> {
    let block = literal(b"x-sum", b"12345678");
    let fields = frame::Frame::new(frame::HEADERS, frame::END_STREAM, stream, &block[..5]);
    let more = frame::Frame::new(frame::CONTINUATION, frame::END_HEADERS, stream, &block[5..]);
    [frame::data(stream, b"x", false), fields.bytes(), more.bytes()].concat()
}

/// On a real way a frame comes in many segments, and the answer goes out between them.
#[test]
fn a_frame_that_is_half_here_when_the_answer_goes_out_is_no_fault() {
    let origin = origin();
    let proxy = proxy(&origin);
    for (what, rest, cut) in HALVES {
        // Nothing may be sent amid a frame.
        let mut client = Http2::with(proxy.address, &[], Credit::Kept);
        let innocent = client.open(&Fields::post("/innocent").with("content-length", "2"));
        let block = Fields::post("/401").block();
        for _ in 0..600 {
            let stream = client.next_stream();
            let (first, second) = (rest(stream)[..cut].to_vec(), rest(stream)[cut..].to_vec());
            client.write([frame::headers(stream, &block, false), first].concat());
            let reply = client.until(stream, |reply| reply.is_whole);
            assert_eq!(reply.status, 401, "{what}: {:?}", client.goaway());
            client.write(second);
        }
        assert!(client.ping(), "{what}: {:?}", client.goaway());
        client.data(innocent, b"xx", true);
        assert_eq!(client.reply(innocent).text(), "ok", "{what}");
        assert_eq!(client.goaway(), None, "{what}");
    }
    assert_eq!(proxy.metric("proxy_http2_resets_total{by=\"protocol\"}"), 0.0);
    assert_eq!(proxy.metric("proxy_http2_floods_total"), 0.0);
}

#[test]
fn padded_pieces_are_not_empty_and_each_answer_may_be_acknowledged() {
    let origin = origin();
    let proxy = proxy(&origin);
    let mut client = Http2::connect(proxy.address);
    let upload = client.open(&Fields::post("/innocent"));
    for _ in 0..120 {
        client.write(frame::padded_data(upload, &[b'x'; 1000], 5, false));
        client.count_as_sent(upload, 1006);
        assert!(client.ping());
    }
    client.data(upload, b"x", true);
    assert_eq!(client.reply(upload).text(), "ok");
    let mut client = Http2::with(proxy.address, &[], Credit::Kept);
    for _ in 0..1000 {
        assert_eq!(client.ask(&Fields::get("/410")).status, 410, "{:?}", client.goaway());
        let stream = client.next_stream() - 2;
        client.write([frame::window_update(0, 4), frame::window_update(stream, 4)].concat());
    }
    assert_eq!(client.goaway(), None);
}
