//! Bodies over HTTP/2, both ways: whole and in order within whatever windows there are, side by
//! side on one connection, and no stream is held up by another.

use std::{
    sync::{
        Mutex,
        mpsc::{self, Receiver},
    },
    time::{Duration, Instant},
};

use crate::support::{
    Exchange, Origin, PATIENCE, Proxy, eventually,
    http2::{Credit, Fields, Http2, frame},
};

const MIBIBYTE: usize = 1 << 20;

/// Content in which a piece that is lost, repeated or moved is seen; another for each `seed`.
fn content(seed: usize, length: usize) -> Vec<u8> {
    let mut state = u32::try_from(seed).expect("is small").wrapping_mul(2_654_435_761) | 1;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(next).collect()
}

/// Where two contents differ first; comparing them in `assert_eq` would print both.
fn difference(one: &[u8], two: &[u8]) -> Option<usize> {
    let differs = one.iter().zip(two).position(|(one, two)| one != two);
    differs.or((one.len() != two.len()).then_some(one.len().min(two.len())))
}

/// An origin that answers `/SEED/LENGTH` with that content, of known length or in chunks.
fn library() -> Origin {
    Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            exchange.body(&head);
            let target = head.line.split(' ').nth(1).expect("has a target");
            let mut numbers =
                target.split('/').skip(1).map(|number| number.parse().expect("is one"));
            let (seed, length) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
            let body = content(seed, length);
            if seed % 2 == 0 {
                exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
                exchange.write(body);
                continue;
            }
            exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for chunk in body.chunks(50_000) {
                write_chunk(exchange, chunk);
            }
            exchange.write("0\r\n\r\n");
        }
    })
}

fn write_chunk(exchange: &mut Exchange, chunk: &[u8]) -> bool {
    exchange.write([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
}

/// An origin that sends back what it gets while it gets it.
fn echo() -> Origin {
    Origin::start(|exchange| {
        while exchange.request().is_some() {
            exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while let Some(chunk) = exchange.chunk().filter(|chunk| !chunk.is_empty()) {
                write_chunk(exchange, &chunk);
            }
            exchange.write("0\r\n\r\n");
        }
    })
}

#[test]
fn a_download_is_whole_within_small_windows() {
    let origin = library();
    let proxy = Proxy::start(&origin.config());
    for window in [4096, 16_384, 65_535, 1 << 20] {
        let settings = [(frame::INITIAL_WINDOW_SIZE, window)];
        let mut client = Http2::with(proxy.address, &settings, Credit::Returned);
        for seed in [2, 3] {
            let reply = client.ask(&Fields::get(&format!("/{seed}/{}", 2 * MIBIBYTE)));
            assert!(reply.is_whole, "window {window}");
            assert_eq!(difference(&reply.body, &content(seed, 2 * MIBIBYTE)), None, "{window}");
        }
    }
}

#[test]
fn a_window_of_nothing_holds_the_body_and_not_the_head() {
    let origin = library();
    let proxy = Proxy::start(&origin.config());
    let settings = [(frame::INITIAL_WINDOW_SIZE, 0)];
    let mut client = Http2::with(proxy.address, &settings, Credit::Kept);
    let stream = client.send(&Fields::get("/2/100"));
    assert_eq!(client.until(stream, |reply| reply.status > 0).status, 200);
    // An answer without a body needs no window.
    let empty = client.ask(&Fields::get("/2/0"));
    assert_eq!((empty.status, empty.is_whole), (200, true));
    assert!(client.ping() && client.reply_so_far(stream).body.is_empty());
    client.give(stream, 1);
    assert_eq!(client.until(stream, |reply| !reply.body.is_empty()).body.len(), 1);
    client.give(stream, 99);
    assert_eq!(client.reply(stream).body, content(2, 100));
}

/// RFC 9113 section 6.9.2: a window that shrinks below what was used is negative for a while.
#[test]
fn a_window_that_shrinks_is_made_up_for_before_more_comes() {
    let origin = library();
    let proxy = Proxy::start(&origin.config());
    let settings = [(frame::INITIAL_WINDOW_SIZE, 1000)];
    let mut client = Http2::with(proxy.address, &settings, Credit::Kept);
    let stream = client.send(&Fields::get("/2/3000"));
    client.until(stream, |reply| reply.body.len() == 1000);
    client.change(&[(frame::INITIAL_WINDOW_SIZE, 100)]);
    client.give(stream, 900);
    assert!(client.ping());
    assert_eq!(client.reply_so_far(stream).body.len(), 1000, "the window is empty");
    client.give(stream, 1);
    client.until(stream, |reply| reply.body.len() == 1001);
    client.change(&[(frame::INITIAL_WINDOW_SIZE, 2099)]);
    assert_eq!(client.reply(stream).body, content(2, 3000));
}

#[test]
fn an_upload_is_whole_within_the_proxys_windows() {
    let (report, received) = mpsc::channel();
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            report.send(exchange.body(&head)).expect("the test waits");
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let body = content(1, 20 * MIBIBYTE);
    let length = body.len().to_string();
    for fields in [Fields::post("/"), Fields::post("/").with("content-length", length)] {
        let reply = client.ask_with(&fields, &body);
        assert_eq!((reply.status, reply.is_whole), (200, true));
        let arrived = received.recv_timeout(PATIENCE).expect("the body comes");
        assert_eq!(difference(&arrived, &body), None);
    }
    let (_, most) = proxy.program.memory_kib();
    assert!(most < 64 << 10, "{most} KiB were resident");
}

/// RFC 9113 section 6.1: padding is counted, and must be given back.
#[test]
fn padding_does_not_use_up_the_windows() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(&Fields::post("/"));
    // Sixteen times what the windows are at first.
    let most = 16 * 65_535_usize.max(usize::try_from(client.window(stream)).expect("is positive"));
    let mut sent = 0;
    while sent < most {
        while client.window(stream) < 556 {
            client.read_on("a window to open");
        }
        client.write(frame::padded_data(stream, &[b'x'; 300], 255, false));
        client.count_as_sent(stream, 556);
        sent += 556;
    }
    client.data(stream, b"", true);
    assert_eq!(client.reply(stream).status, 200);
}

#[test]
fn an_echo_answers_while_it_reads() {
    let origin = echo();
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let stream = client.open(&Fields::post("/"));
    for word in [&b"one"[..], b"two", b"three"] {
        let known = client.reply_so_far(stream).body.len();
        client.data(stream, word, false);
        let reply = client.until(stream, |reply| reply.body.len() == known + word.len());
        assert!(reply.body.ends_with(word), "{:?}", reply.body);
    }
    client.data(stream, b"", true);
    let reply = client.reply(stream);
    assert_eq!((reply.text().as_str(), reply.is_whole), ("onetwothree", true));
}

#[test]
fn many_downloads_at_once_are_each_whole() {
    let origin = library();
    let proxy = Proxy::start(&origin.config());
    let settings = [(frame::INITIAL_WINDOW_SIZE, 5000)];
    let mut client = Http2::with(proxy.address, &settings, Credit::Returned);
    let length = 100_000;
    let streams: Vec<(usize, u32)> = (0..50)
        .map(|seed| (seed, client.send(&Fields::get(&format!("/{seed}/{}", length + seed)))))
        .collect();
    for (seed, stream) in streams {
        let reply = client.reply(stream);
        assert!(reply.is_whole, "{seed}: {:?} {:?}", reply.reset, client.goaway());
        assert_eq!(difference(&reply.body, &content(seed, length + seed)), None, "{seed}");
    }
}

/// How large the pieces are is up to the reads, and these to the machine.
#[test]
fn answers_that_share_a_window_are_each_whole() {
    let origin = library();
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::with(proxy.address, &[], Credit::ReturnedByHalves);
    let streams: Vec<u32> =
        (0..50).map(|seed| client.send(&Fields::get(&format!("/{seed}/100000")))).collect();
    for (seed, stream) in (0..).zip(streams) {
        let reply = client.reply(stream);
        assert!(reply.is_whole, "{seed}: {:?} {:?}", reply.reset, client.goaway());
        assert_eq!(difference(&reply.body, &content(seed, 100_000)), None, "{seed}");
    }
}

#[test]
fn many_uploads_in_turns_are_each_whole() {
    let origin = echo();
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let streams: Vec<u32> = (0..50).map(|_| client.open(&Fields::post("/"))).collect();
    let bodies: Vec<Vec<u8>> = (0..50).map(|seed| content(seed, 20_000 + seed)).collect();
    for turn in 0..21 {
        for (stream, body) in streams.iter().zip(&bodies) {
            let piece = &body[turn * 1000..body.len().min((turn + 1) * 1000)];
            client.data(*stream, piece, turn == 20);
        }
    }
    for (seed, (stream, body)) in streams.iter().zip(&bodies).enumerate() {
        let reply = client.reply(*stream);
        assert!(reply.is_whole, "{seed}: {:?} {:?}", reply.reset, client.goaway());
        assert_eq!(difference(&reply.body, body), None, "{seed}");
    }
}

#[test]
fn an_answer_that_nobody_reads_holds_up_no_other() {
    let origin = library();
    let proxy = Proxy::start(&origin.config());
    let settings = [(frame::INITIAL_WINDOW_SIZE, 1000)];
    let mut client = Http2::with(proxy.address, &settings, Credit::Kept);
    let stalled: Vec<u32> =
        (0..10).map(|_| client.send(&Fields::get(&format!("/2/{MIBIBYTE}")))).collect();
    for stream in &stalled {
        client.until(*stream, |reply| reply.body.len() == 1000);
    }
    let reply = client.ask(&Fields::get("/2/900"));
    assert_eq!(difference(&reply.body, &content(2, 900)), None);
}

/// An origin that reads no body of `/stuck` until it is told, and echoes all others.
fn half_stuck() -> (Origin, mpsc::Sender<()>) {
    let (go, gone) = mpsc::channel::<()>();
    let gone: Mutex<Receiver<()>> = Mutex::new(gone);
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            if head.line.contains("/stuck") {
                let _ = gone.lock().expect("one request").recv_timeout(PATIENCE);
            }
            let length = exchange.body(&head).len();
            exchange.write(format!(
                "HTTP/1.1 200 OK\r\nX-Length: {length}\r\nContent-Length: 0\r\n\r\n"
            ));
        }
    });
    (origin, go)
}

/// What the proxy holds of a body that its origin does not take is bounded by the stream's window,
/// and must leave room in the connection's.
#[test]
fn an_upload_that_its_origin_does_not_take_holds_up_no_other() {
    let (origin, go) = half_stuck();
    let proxy = Proxy::start(&origin.config());
    let mut client = Http2::connect(proxy.address);
    let stuck = client.open(&Fields::post("/stuck"));
    let mut sent = 0;
    // Sends until the window stays shut: the sockets and the proxy hold all that they will.
    loop {
        while let window @ 1.. = client.window(stuck) {
            let length = usize::try_from(window).map_or(1000, |window| window.min(1000));
            client.data(stuck, &vec![b'x'; length], false);
            sent += length;
            assert!(sent < 64 * MIBIBYTE, "there is no bound");
        }
        if is_shut(&mut client, stuck) {
            break;
        }
    }
    assert!(client.window(0) >= 50_000, "{} left for all others", client.window(0));
    let reply = client.ask_with(&Fields::post("/other"), &[b'y'; 50_000]);
    assert_eq!(reply.header("x-length"), Some("50000"));
    go.send(()).expect("the origin waits");
    client.data(stuck, b"", true);
    assert_eq!(client.reply(stuck).header("x-length"), Some(sent.to_string().as_str()));
}

/// Whether a window stays shut for longer than anything on its way would need.
fn is_shut(client: &mut Http2, stream: u32) -> bool {
    let started = Instant::now();
    eventually("a window to open or not to", || {
        assert!(client.ping());
        let is_open = client.window(stream) > 0;
        (is_open || started.elapsed() > Duration::from_millis(500)).then_some(!is_open)
    })
}
