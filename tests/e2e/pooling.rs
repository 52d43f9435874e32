//! Upstream connections are used again when that is safe, and a connection that has died in the
//! pool costs the client nothing that can be had again.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use crate::support::{Exchange, Head, Origin, PATIENCE, Proxy, Request, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const RESET: &str = "proxy; error=connection_terminated; details=\"upstream_reset\"";

/// An origin that handles every request with `handle`, which gets the number of the connection
/// and of the request on it, both from 0; false closes the connection.
fn origin(handle: impl Fn(&mut Exchange, &Head, usize) -> bool + Send + Sync + 'static) -> Origin {
    Origin::start(move |exchange| {
        let mut number = 0;
        while let Some(head) = exchange.request() {
            if !handle(exchange, &head, number) {
                break;
            }
            number += 1;
        }
        exchange.close();
    })
}

/// An origin whose first connection answers one request and then closes while it has the next one
/// in hand; later connections answer everything.
fn stale_origin() -> Origin {
    origin(|exchange, head, number| {
        exchange.body(head);
        (exchange.connection > 0 || number == 0) && exchange.write(OK)
    })
}

/// How many requests came for `target`.
fn count(origin: &Origin, target: &str) -> usize {
    let target = format!(" {target} ");
    origin.heads().iter().filter(|head| head.line.contains(&target)).count()
}

#[test]
fn an_idle_connection_is_used_again_by_another_client() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());

    for _ in 0..5 {
        assert_eq!(proxy.get("/").send().status, 200);
    }

    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_connection_is_not_used_by_two_requests_at_once() {
    let (go, asked) = mpsc::channel();
    let asked = Mutex::new(asked);
    let origin = origin(move |exchange, head, _| {
        if head.line.contains("/slow") {
            let _ = asked.lock().expect("one request waits").recv_timeout(PATIENCE);
        }
        exchange.write(OK)
    });
    let proxy = Proxy::start(&origin.config());
    let mut slow = crate::support::Client::connect(proxy.address);

    slow.write(proxy.get("/slow").bytes());
    let fast = proxy.get("/fast").send();
    go.send(()).expect("the origin waits");
    let slow = slow.answer("GET");

    assert_eq!((fast.text().as_str(), slow.text().as_str()), ("ok", "ok"));
    assert!(origin.connections() <= 2);
}

#[test]
fn a_connection_that_its_origin_wants_closed_is_not_used_again() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        // The origin keeps its side open, so that only the proxy's obedience is seen.
        let origin = Origin::answering(answer);
        let proxy = Proxy::start(&origin.config());

        let answers = [(); 2].map(|()| proxy.get("/").send());

        assert!(answers.iter().all(|answer| answer.text() == "ok"));
        assert_eq!(origin.connections(), 2, "after {answer:?}");
        assert_eq!(answers[0].header("connection"), None, "the client's connection is another");
    }
}

#[test]
fn a_connection_of_http_1_0_that_says_keep_alive_is_used_again() {
    let answer = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::answering(answer);
    let proxy = Proxy::start(&origin.config());

    let answers = [(); 2].map(|()| proxy.get("/").send().text());

    assert_eq!(answers, ["ok", "ok"]);
    assert_eq!(origin.connections(), 1);
}

/// Sends one request, lets the origin close the idle connection, and then sends `request`.
fn after_an_idle_close(request: impl Fn(&Proxy) -> Request) {
    let (closed, is_closed) = mpsc::channel();
    let origin = Origin::start(move |exchange| {
        if let Some(head) = exchange.request() {
            exchange.body(&head);
            exchange.write(OK);
            exchange.close();
            let _ = closed.send(());
        }
    });
    let proxy = Proxy::start(&origin.config());

    let first = proxy.get("/first").send();
    is_closed.recv_timeout(PATIENCE).expect("the origin closes");
    let next = request(&proxy).send();

    assert_eq!((first.text().as_str(), next.text().as_str()), ("ok", "ok"));
    assert_eq!((origin.connections(), origin.heads().len()), (2, 2));
}

#[test]
fn a_get_after_its_origin_closed_the_idle_connection_works() {
    after_an_idle_close(|proxy| proxy.get("/next"));
}

#[test]
fn a_post_after_its_origin_closed_the_idle_connection_works() {
    after_an_idle_close(|proxy| proxy.request("POST", "/next").body("once"));
}

#[test]
fn a_safe_request_on_a_connection_that_dies_is_sent_again_on_a_fresh_one() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let origin = stale_origin();
        let proxy = Proxy::start(&origin.config());
        proxy.get("/first").send();

        let answer = proxy.request(method, "/next").send();

        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.header("proxy-status"), None, "{method}");
        assert_eq!((origin.connections(), count(&origin, "/next")), (2, 2), "{method}");
        assert_eq!(proxy.access_line("/next")["attempts"], 2, "{method}");
    }
}

#[test]
fn a_post_on_a_connection_that_dies_is_never_sent_twice() {
    for body in ["once", ""] {
        let origin = stale_origin();
        let proxy = Proxy::start(&origin.config());
        proxy.get("/first").send();

        let answer = proxy.request("POST", "/next").body(body).send();

        assert_eq!(answer.status, 502, "body {body:?}");
        assert_eq!(answer.header("proxy-status"), Some(RESET), "body {body:?}");
        assert_eq!(count(&origin, "/next"), 1, "body {body:?}");
    }
}

#[test]
fn a_request_that_dies_after_the_answer_has_begun_is_not_sent_again() {
    let origin = origin(|exchange, _, number| {
        if exchange.connection == 0 && number == 1 {
            exchange.write("HTTP/1.1 200 OK\r\nContent-");
            return false;
        }
        exchange.write(OK)
    });
    let proxy = Proxy::start(&origin.config());
    proxy.get("/first").send();

    let answer = proxy.get("/next").send();

    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("proxy-status"), Some(RESET));
    assert_eq!(count(&origin, "/next"), 1);
}

#[test]
fn where_a_fresh_connection_dies_too_another_endpoint_answers_what_may_be_sent_twice() {
    let dying =
        origin(|exchange, _, number| exchange.connection == 0 && number == 0 && exchange.write(OK));
    let well = Origin::answering(OK);
    let endpoints = [dying.address, well.address];
    let proxy = Proxy::start(&crate::support::pool_of(&endpoints, "balance = \"round_robin\""));
    for _ in 0..4 {
        assert_eq!(proxy.get("/a").send().status, 200);
    }
    assert_eq!(dying.connections(), 2);
    // One to each; the dying one first, twice; then the other one in its place.
    assert_eq!((dying.heads().len(), well.heads().len()), (3, 3));
}

#[test]
fn a_fresh_connection_that_dies_too_is_a_bad_gateway() {
    let origin =
        origin(|exchange, _, number| exchange.connection == 0 && number == 0 && exchange.write(OK));
    let proxy = Proxy::start(&origin.config());
    proxy.get("/first").send();

    let answer = proxy.get("/next").send();

    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("proxy-status"), Some(RESET));
    assert_eq!((origin.connections(), count(&origin, "/next")), (2, 2));
    assert_eq!(proxy.access_line("/next")["attempts"], 2);
}

#[test]
fn a_connection_whose_request_was_not_read_to_its_end_is_not_used_again() {
    // What is left of the first body would be read as the next request.
    let origin = origin(|exchange, _, _| exchange.write(OK));
    let proxy = Proxy::start(&origin.config());
    let mut client = crate::support::Client::connect(proxy.address);

    client.write("POST /early HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nGET /evil");
    let early = client.answer("POST");
    let next = proxy.get("/next").send();

    assert_eq!((early.text().as_str(), next.text().as_str()), ("ok", "ok"));
    assert_eq!(origin.connections(), 2);
}

/// An origin that has restarted: more connections are closed at once than a task of the proxy may look
/// at in one turn, and none of them is taken for an open one.
#[test]
fn hundreds_of_idle_connections_that_were_closed_cost_no_request() {
    const IDLE: usize = 300;
    let gate = Arc::new((Mutex::new(0), Condvar::new()));
    let passed = Arc::clone(&gate);
    let closed = Arc::new(AtomicUsize::new(0));
    let closing = Arc::clone(&closed);
    // Stage 1 lets the first answers go, stage 2 closes their connections.
    let wait_for = move |wanted: usize| {
        let (stage, changed) = &*passed;
        let stage = stage.lock().expect("no panic");
        drop(changed.wait_while(stage, |stage| *stage < wanted).expect("no panic"));
    };
    let origin = Origin::start(move |exchange| {
        let is_first = exchange.connection < IDLE;
        while let Some(head) = exchange.request() {
            exchange.body(&head);
            if is_first {
                wait_for(1);
            }
            exchange.write(OK);
            if is_first {
                wait_for(2);
                exchange.close();
                closing.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    });
    let enter = |stage| {
        *gate.0.lock().expect("no panic") = stage;
        gate.1.notify_all();
    };
    let proxy = Proxy::start(&format!("[server]\nworkers = 1\n{}", origin.config()));
    let ask = |_| {
        let request = proxy.get("/first");
        thread::spawn(move || request.send().status)
    };
    let asked: Vec<_> = (0..IDLE).map(ask).collect();
    eventually("all to be asked", || (origin.heads().len() == IDLE).then_some(()));
    enter(1);
    assert!(asked.into_iter().all(|one| one.join().expect("no panic") == 200));
    proxy.wait_for_metric("proxy_upstream_connections{state=\"idle\"}", 300.0);
    enter(2);
    // A request that is underway when its connection closes is lost, and no proxy can help it.
    eventually("all to be closed", || (closed.load(Ordering::Relaxed) == IDLE).then_some(()));
    for _ in 0..20 {
        assert_eq!(proxy.request("POST", "/second").body("x").send().status, 200);
    }
    assert_eq!(proxy.metric("proxy_upstream_connections{state=\"idle\"}"), 1.0);
}
