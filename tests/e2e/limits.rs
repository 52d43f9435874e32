//! A service that limits its requests lets some wait, turns the rest away, and says so.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use crate::support::{ClosedPort, Origin, Proxy, eventually, pool_of};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Holds every request until the gate opens, and knows how many it held at once.
struct Gated {
    origin: Origin,
    gate: Arc<(Mutex<bool>, Condvar)>,
    most: Arc<AtomicUsize>,
}

impl Gated {
    fn start() -> Self {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (waited, counted, top) = (Arc::clone(&gate), now, Arc::clone(&most));
        let origin = Origin::start(move |exchange| {
            while exchange.request().is_some() {
                top.fetch_max(counted.fetch_add(1, SeqCst) + 1, SeqCst);
                let (open, changed) = &*waited;
                let opened = open.lock().expect("no panic");
                drop(changed.wait_while(opened, |open| !*open).expect("no panic"));
                counted.fetch_sub(1, SeqCst);
                exchange.write(OK);
            }
        });
        Self { origin, gate, most }
    }

    fn open(&self) {
        *self.gate.0.lock().expect("no panic") = true;
        self.gate.1.notify_all();
    }

    fn close(&self) {
        *self.gate.0.lock().expect("no panic") = false;
    }
}

#[test]
fn requests_beyond_the_limit_wait_and_beyond_the_queue_are_turned_away() {
    let gated = Gated::start();
    let settings = "limits = { max_in_flight = 2, queue = 3, queue_timeout = \"20s\" }";
    let proxy = Proxy::start(&pool_of(&[gated.origin.address], settings));
    let depth = || proxy.metric("proxy_queue_depth{service=\"pool\"}");
    let ask = || {
        let request = proxy.get("/a");
        thread::spawn(move || request.send().status)
    };
    let mut running: Vec<_> = (0..2).map(|_| ask()).collect();
    eventually("two at the origin", || (gated.origin.heads().len() == 2).then_some(()));
    running.extend((0..3).map(|_| ask()));
    eventually("three to wait", || (depth() == 3.0).then_some(()));
    let refused = proxy.get("/refused").send();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(proxy.access_line("/refused")["reason"], "queue_full");
    gated.open();
    assert!(running.into_iter().all(|one| one.join().expect("no panic") == 200));
    assert_eq!(gated.most.load(SeqCst), 2);
    proxy.wait_for_metric("proxy_service_in_flight{service=\"pool\"}", 0.0);
    assert_eq!(proxy.metric("proxy_queue_wait_seconds_count{service=\"pool\"}"), 3.0);
    assert_eq!(proxy.get("/b").send().status, 200);
}

#[test]
fn who_waits_too_long_is_turned_away() {
    let gated = Gated::start();
    let settings = "limits = { max_in_flight = 1, queue_timeout = \"300ms\" }";
    let proxy = Proxy::start(&pool_of(&[gated.origin.address], settings));
    let request = proxy.get("/a");
    let running = thread::spawn(move || request.send().status);
    eventually("it to be at the origin", || (gated.origin.heads().len() == 1).then_some(()));
    let answer = proxy.get("/late").send();
    assert_eq!(answer.status, 503);
    assert_eq!(proxy.access_line("/late")["reason"], "queue_timeout");
    gated.open();
    assert_eq!(running.join().expect("no panic"), 200);
}

#[test]
fn a_client_that_leaves_the_queue_gives_its_place_up() {
    let gated = Gated::start();
    let settings = "limits = { max_in_flight = 1, queue = 1, queue_timeout = \"20s\" }";
    let proxy = Proxy::start(&pool_of(&[gated.origin.address], settings));
    let depth = || proxy.metric("proxy_queue_depth{service=\"pool\"}");
    let request = proxy.get("/a");
    let running = thread::spawn(move || request.send().status);
    eventually("it to be at the origin", || (gated.origin.heads().len() == 1).then_some(()));
    let mut client = crate::support::Client::connect(proxy.address);
    client.write("GET /b HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("it to wait", || (depth() == 1.0).then_some(()));
    drop(client);
    eventually("the place to be free", || (depth() == 0.0).then_some(()));
    gated.open();
    assert_eq!(running.join().expect("no panic"), 200);
    assert_eq!(gated.origin.heads().len(), 1, "nobody asked for it any more");
}

#[test]
fn each_endpoint_gets_so_many_requests_and_no_more() {
    let (one, two) = (Gated::start(), Gated::start());
    let settings = "limits = { max_connections_per_endpoint = 1, queue_timeout = \"20s\" }";
    let proxy = Proxy::start(&pool_of(&[one.origin.address, two.origin.address], settings));
    let running: Vec<_> = (0..6)
        .map(|_| {
            let request = proxy.get("/a");
            thread::spawn(move || request.send().status)
        })
        .collect();
    eventually("four to wait", || {
        (proxy.metric("proxy_queue_depth{service=\"pool\"}") == 4.0).then_some(())
    });
    let asked = || (one.origin.heads().len(), two.origin.heads().len());
    eventually("one at each endpoint", || (asked() == (1, 1)).then_some(()));
    assert_eq!(proxy.metric("proxy_queue_depth{service=\"pool\"}"), 4.0);
    one.open();
    two.open();
    assert!(running.into_iter().all(|one| one.join().expect("no panic") == 200));
    assert_eq!((one.most.load(SeqCst), two.most.load(SeqCst)), (1, 1));
}

#[test]
fn a_full_endpoint_is_waited_for_rather_than_asking_an_ejected_one() {
    let (dead, well) = (ClosedPort::reserve(), Gated::start());
    let settings = "outlier = { consecutive_failures = 1, ejection = \"5m\" }\n\
                    limits = { max_connections_per_endpoint = 1, queue_timeout = \"20s\" }";
    let proxy = Proxy::start(&pool_of(&[dead.address, well.origin.address], settings));
    well.open();
    eventually("the ejection", || {
        proxy.get("/a").send();
        (proxy.ejections("pool", dead.address) == 1.0).then_some(())
    });
    well.close();
    let before = well.origin.heads().len();
    let ask = |target| {
        let request = proxy.get(target);
        thread::spawn(move || request.send().status)
    };
    let slow = ask("/slow");
    eventually("it to be full", || (well.origin.heads().len() > before).then_some(()));
    let next = ask("/next");
    eventually("the next to wait", || {
        assert!(!next.is_finished(), "it was answered beside the slow one");
        (proxy.metric("proxy_queue_depth{service=\"pool\"}") == 1.0).then_some(())
    });
    well.open();
    assert_eq!([slow, next].map(|one| one.join().expect("no panic")), [200, 200]);
    assert_eq!(proxy.metric("proxy_failed_open_total{service=\"pool\"}"), 0.0);
}
