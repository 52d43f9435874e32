//! A stop signal loses nothing: what runs is finished, what is idle goes, nothing new comes in,
//! and the exit code says whether a request was cut.

use std::{
    net::TcpStream,
    sync::{Arc, RwLock, RwLockWriteGuard},
    time::{Duration, Instant},
};

use crate::support::{Client, Origin, Proxy, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";

/// An origin that answers `/held` only while nobody has the gate, and everything else at once.
fn gated_origin() -> (Origin, Arc<RwLock<()>>) {
    let gate = Arc::new(RwLock::new(()));
    let passed = Arc::clone(&gate);
    let origin = Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            if head.line.contains("/held") {
                drop(passed.read());
            }
            exchange.write(OK);
        }
    });
    (origin, gate)
}

fn shut(gate: &RwLock<()>) -> RwLockWriteGuard<'_, ()> {
    gate.write().expect("nobody has panicked")
}

/// Clients whose requests for `/held` have all reached the origin.
fn clients_in_flight(proxy: &Proxy, origin: &Origin, count: usize) -> Vec<Client> {
    let mut clients = Vec::with_capacity(count);
    while clients.len() < count {
        let mut client = Client::connect(proxy.address);
        client.write(proxy.get("/held").bytes());
        clients.push(client);
        // More at once than the origin's queue of new connections holds would be refused.
        if clients.len() == count || clients.len().is_multiple_of(50) {
            let have_arrived = || (origin.heads().len() >= clients.len()).then_some(());
            eventually("the requests to arrive", have_arrived);
        }
    }
    clients
}

/// Sends TERM and waits until the proxy says that it is draining.
fn begin_drain(proxy: &Proxy) {
    proxy.program.signal("TERM");
    eventually("/readyz to turn 503", || (proxy.admin("/readyz").status == 503).then_some(()));
}

/// Waits until nobody takes connections any more.
fn wait_until_refused(proxy: &Proxy) {
    eventually("connections to be refused", || TcpStream::connect(proxy.address).err());
}

#[test]
fn two_hundred_requests_in_flight_are_all_answered() {
    let (origin, gate) = gated_origin();
    let mut proxy = Proxy::start(&origin.config());
    let held = shut(&gate);
    let mut clients = clients_in_flight(&proxy, &origin, 200);

    begin_drain(&proxy);
    wait_until_refused(&proxy);
    drop(held);
    let answers: Vec<_> = clients.iter_mut().map(|client| client.answer("GET")).collect();

    let whole = |answer: &&crate::support::Answer| {
        answer.status == 200 && answer.text() == "done" && answer.is_whole
    };
    assert_eq!(answers.iter().filter(whole).count(), 200);
    assert_eq!(proxy.program.exit_code(), Some(0));
}

#[test]
fn the_last_requests_are_all_logged_before_the_end() {
    let (origin, gate) = gated_origin();
    let mut proxy = Proxy::start(&origin.config());
    let held = shut(&gate);
    let mut clients = clients_in_flight(&proxy, &origin, 100);

    begin_drain(&proxy);
    drop(held);
    clients.iter_mut().for_each(|client| assert_eq!(client.answer("GET").status, 200));
    let code = proxy.program.exit_code();

    // What the program has written may still be on its way to the test.
    let lines = eventually("100 access lines", || {
        Some(proxy.access_lines()).filter(|lines| lines.len() >= 100)
    });
    assert_eq!(code, Some(0));
    assert!(lines.iter().all(|line| line["status"] == 200 && line["reason"].is_null()));
}

#[test]
fn a_body_that_is_under_way_is_finished() {
    let (origin, gate) = {
        let gate = Arc::new(RwLock::new(()));
        let passed = Arc::clone(&gate);
        let origin = Origin::start(move |exchange| {
            exchange.request();
            exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
            drop(passed.read());
            exchange.write("6\r\nsecond\r\n0\r\n\r\n");
        });
        (origin, gate)
    };
    let mut proxy = Proxy::start(&origin.config());
    let held = shut(&gate);
    let mut client = Client::connect(proxy.address);
    client.write(proxy.get("/").bytes());
    client.head();
    let first = client.chunk();

    begin_drain(&proxy);
    wait_until_refused(&proxy);
    drop(held);
    let rest = [client.chunk(), client.chunk()];

    assert_eq!(first, Some(b"first".to_vec()));
    assert_eq!(rest, [Some(b"second".to_vec()), Some(Vec::new())]);
    assert_eq!(proxy.program.exit_code(), Some(0));
}

#[test]
fn an_answer_given_while_draining_closes_its_connection() {
    let (origin, gate) = gated_origin();
    let proxy = Proxy::start(&origin.config());
    let held = shut(&gate);
    let mut clients = clients_in_flight(&proxy, &origin, 1);

    begin_drain(&proxy);
    wait_until_refused(&proxy);
    drop(held);
    let answer = clients[0].answer("GET");

    assert_eq!(answer.header("connection"), Some("close"));
    assert!(clients[0].is_closed());
}

#[test]
fn while_draining_the_proxy_is_alive_and_not_ready() {
    let (origin, gate) = gated_origin();
    let proxy = Proxy::start(&origin.config());
    let _held = shut(&gate);
    let _clients = clients_in_flight(&proxy, &origin, 1);
    let before = (proxy.admin("/readyz").status, proxy.admin("/livez").status);

    begin_drain(&proxy);
    wait_until_refused(&proxy);
    let during = (proxy.admin("/readyz").status, proxy.admin("/livez").status);

    assert_eq!(before, (200, 200));
    assert_eq!(during, (503, 200));
}

#[test]
fn idle_connections_are_closed_while_a_request_still_runs() {
    let (origin, gate) = gated_origin();
    let mut proxy = Proxy::start(&origin.config());
    let mut idle = Client::connect(proxy.address);
    assert_eq!(proxy.get("/").send_on(&mut idle).status, 200);
    let held = shut(&gate);
    let mut busy = Client::connect(proxy.address);
    busy.write(proxy.get("/held").bytes());
    eventually("the request to arrive", || (origin.heads().len() == 2).then_some(()));

    begin_drain(&proxy);
    let is_closed = idle.is_closed();
    drop(held);

    assert!(is_closed);
    assert_eq!(busy.answer("GET").status, 200);
    assert_eq!(proxy.program.exit_code(), Some(0));
}

#[test]
fn a_connection_that_never_asked_anything_does_not_hold_the_end_up() {
    for begun in ["", "GET / HT"] {
        let mut proxy = Proxy::start("");
        let mut silent = Client::connect(proxy.address);
        silent.write(begun);
        // The proxy has taken the connection before, in its order.
        proxy.get("/").send();

        let started = Instant::now();
        proxy.program.signal("TERM");
        let code = proxy.program.exit_code();

        assert_eq!(code, Some(0), "{begun:?}");
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    }
}

#[test]
fn with_nothing_to_do_the_end_comes_at_once() {
    for signal in ["TERM", "INT"] {
        for requests in 0..2 {
            let mut proxy = Proxy::start("");
            for _ in 0..requests {
                proxy.get("/").send();
            }

            let started = Instant::now();
            proxy.program.signal(signal);
            let code = proxy.program.exit_code();

            assert_eq!(code, Some(0), "{signal} after {requests} requests");
            assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
        }
    }
}

#[test]
fn an_end_in_order_leaves_no_complaint() {
    let (origin, _gate) = gated_origin();
    let mut proxy = Proxy::start(&origin.config());
    proxy.get("/").send();

    proxy.program.signal("TERM");
    proxy.program.exit_code();

    let complaint = |line: &String| line.contains("panicked") || line.contains("ERROR");
    let stderr = proxy.program.stderr();
    assert!(!stderr.iter().any(complaint), "{stderr:#?}");
}

#[test]
fn a_request_that_outlasts_the_drain_timeout_is_cut_and_the_exit_code_says_so() {
    let (origin, gate) = gated_origin();
    let config = format!("server = {{ drain_timeout = \"300ms\" }}\n{}", origin.config());
    let mut proxy = Proxy::start(&config);
    let _held = shut(&gate);
    let mut clients = clients_in_flight(&proxy, &origin, 1);

    let started = Instant::now();
    proxy.program.signal("TERM");
    let is_closed = clients[0].is_closed();
    let code = proxy.program.exit_code();

    assert!(is_closed);
    assert_eq!(code, Some(3));
    assert!(started.elapsed() >= Duration::from_millis(300), "it had no time");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert_eq!(proxy.access_line("/held")["path"], "/held");
}

#[test]
fn a_second_signal_stops_at_once() {
    for second in ["TERM", "INT"] {
        let (origin, gate) = gated_origin();
        let mut proxy = Proxy::start(&origin.config());
        let _held = shut(&gate);
        let _clients = clients_in_flight(&proxy, &origin, 1);

        begin_drain(&proxy);
        assert!(proxy.program.is_running());
        let started = Instant::now();
        proxy.program.signal(second);
        let code = proxy.program.exit_code();

        assert_eq!(code, Some(3), "{second}");
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    }
}

#[test]
fn the_drain_delay_leaves_balancers_time_to_look_away() {
    let (origin, _gate) = gated_origin();
    let config = format!("server = {{ drain_delay = \"1s\" }}\n{}", origin.config());
    let mut proxy = Proxy::start(&config);

    let started = Instant::now();
    begin_drain(&proxy);
    let late = proxy.get("/late").send();
    let answered = started.elapsed();
    wait_until_refused(&proxy);
    let refused = started.elapsed();

    assert_eq!(late.status, 200, "after {answered:?}");
    assert!(refused >= Duration::from_secs(1), "refused after {refused:?}");
    assert_eq!(proxy.program.exit_code(), Some(0));
}

#[test]
fn a_hangup_is_ignored() {
    let (origin, _gate) = gated_origin();
    let mut proxy = Proxy::start(&origin.config());

    proxy.program.signal("HUP");
    eventually("the event", || {
        proxy.program.stderr().into_iter().find(|line| line.contains("HUP"))
    });

    assert_eq!(proxy.get("/").send().status, 200);
    assert!(proxy.program.is_running());
}
