//! Windows of uploads over HTTP/2: they grow while a client fills them within a round trip and somebody
//! takes the bytes, and never beyond their bound. How long a round trip is says the client, who answers
//! the proxy's PINGs when it likes.

use crate::support::{
    Client, Exchange, Origin, Proxy, eventually,
    http2::{Credit, Fields, Http2, frame},
    pool_of,
};

const MIBIBYTE: u32 = 1 << 20;
/// What windows begin with: a stream's, and the connection's.
const STREAM: u32 = 256 << 10;
const CONNECTION: u32 = MIBIBYTE;

/// Says how many bytes a body had.
fn count(exchange: &mut Exchange) {
    while let Some(head) = exchange.request() {
        let length = exchange.body(&head).len().to_string();
        exchange
            .write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{length}", length.len()));
    }
}

fn proxy(origin: &Origin, bound: &str) -> Proxy {
    let server = format!("[server]\n{bound}\n");
    Proxy::start(&format!("{}{server}", pool_of(&[origin.address], "")))
}

fn window(client: &Http2) -> u32 {
    client.setting(frame::INITIAL_WINDOW_SIZE).expect("the proxy has said so")
}

struct Upload {
    client: Http2,
    stream: u32,
    sent: usize,
    most: i64,
}

impl Upload {
    fn start(proxy: &Proxy) -> Self {
        let mut client = Http2::with(proxy.address, &[], Credit::Returned);
        let stream = client.open(&Fields::post("/a"));
        Self { client, stream, sent: 0, most: 0 }
    }

    fn send(&mut self, bytes: u32) {
        let piece = vec![b'x'; 32 << 10];
        for _ in 0..bytes as usize / piece.len() {
            self.client.data(self.stream, &piece, false);
            self.sent += piece.len();
            self.most = self.most.max(self.client.window(0));
        }
    }

    /// Two windows full come between a PING and its answer, if there is one: at least one of them was
    /// taken.
    fn trip(&mut self) {
        self.client.hold_pongs();
        self.send(2 * window(&self.client));
        self.send(2 * window(&self.client));
        self.client.pong();
        assert!(self.client.ping() && self.client.ping(), "{:?}", self.client.goaway());
    }

    fn end(mut self) {
        self.client.data(self.stream, b"", true);
        let reply = self.client.reply(self.stream);
        assert_eq!((reply.status, reply.text()), (200, self.sent.to_string()));
    }
}

#[test]
fn windows_that_are_full_in_a_round_trip_grow_to_their_bound_and_no_further() {
    let origin = Origin::start(count);
    for (bound, most) in [("", 8 * MIBIBYTE), ("max_http2_window = \"2MiB\"", 2 * MIBIBYTE)] {
        let proxy = proxy(&origin, bound);
        let mut upload = Upload::start(&proxy);
        assert_eq!(window(&upload.client), STREAM);
        eventually("the windows to grow", || {
            upload.trip();
            (window(&upload.client) == most / 2).then_some(())
        });
        upload.trip();
        assert_eq!(window(&upload.client), most / 2);
        assert!(upload.most <= i64::from(most), "{} of {most}", upload.most);
        assert!(upload.most > i64::from(CONNECTION), "{}", upload.most);
        // What begins now has the larger window at once.
        let next = upload.client.open(&Fields::post("/b"));
        upload.client.data(next, &vec![b'x'; STREAM as usize * 2], true);
        assert_eq!(upload.client.reply(next).text(), (STREAM * 2).to_string());
        upload.end();
    }
}

#[test]
fn a_bound_that_the_connection_begins_with_holds() {
    let origin = Origin::start(count);
    let proxy = proxy(&origin, "max_http2_window = \"1MiB\"");
    let mut upload = Upload::start(&proxy);
    (0..4).for_each(|_| upload.trip());
    assert!(window(&upload.client) <= CONNECTION / 2);
    assert!(upload.most <= i64::from(CONNECTION), "{}", upload.most);
    upload.end();
}

#[test]
fn windows_of_bodies_that_nobody_takes_stay() {
    let origin = Origin::start(|exchange| {
        exchange.request();
        exchange.wait_for_close();
    });
    let limits = "limits = { max_in_flight = 1, queue_timeout = \"60s\" }";
    let proxy = Proxy::start(&pool_of(&[origin.address], limits));
    let mut holder = Client::connect(proxy.address);
    holder.write(proxy.get("/hold").bytes());
    eventually("the only place to be taken", || (!origin.heads().is_empty()).then_some(()));
    let mut client = Http2::with(proxy.address, &[], Credit::Returned);
    client.hold_pongs();
    for _ in 0..4 {
        let stream = client.open(&Fields::post("/waits"));
        client.data(stream, &vec![b'x'; STREAM as usize], false);
    }
    assert!(client.ping() && client.ping());
    assert!(!client.is_pinged(), "nothing was taken, so there is nothing to measure");
    assert_eq!((window(&client), client.window(0)), (STREAM, 0));
}
