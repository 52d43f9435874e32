//! Requests that wait for an endpoint go on as soon as there is one, whatever it was that kept it.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

use crate::support::{Origin, Proxy, eventually, pool_of};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BROKEN: &str = "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n";
const DEPTH: &str = "proxy_queue_depth{service=\"pool\"}";

/// Answers checks by whether it is well, breaks at `/break`, and holds the rest until its gate opens.
struct Endpoint {
    origin: Origin,
    is_well: Arc<AtomicBool>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Endpoint {
    fn start() -> Self {
        let (is_well, gate) =
            (Arc::new(AtomicBool::new(true)), Arc::<(Mutex<bool>, Condvar)>::default());
        let (well, waited) = (Arc::clone(&is_well), Arc::clone(&gate));
        let origin = Origin::start(move |exchange| {
            while let Some(head) = exchange.request() {
                let is_check = head.line.contains("/health");
                if head.line.contains("/break") || (is_check && !well.load(SeqCst)) {
                    exchange.write(BROKEN);
                    continue;
                }
                if !is_check {
                    let (open, changed) = &*waited;
                    let opened = open.lock().expect("no panic");
                    drop(changed.wait_while(opened, |open| !*open).expect("no panic"));
                }
                exchange.write(OK);
            }
        });
        Self { origin, is_well, gate }
    }

    fn open(&self) {
        *self.gate.0.lock().expect("no panic") = true;
        self.gate.1.notify_all();
    }

    /// Requests that it holds, or has answered well.
    fn held(&self) -> usize {
        self.origin.heads().iter().filter(|head| head.line.contains("/hold")).count()
    }

    fn series(&self, name: &str) -> String {
        format!("{name}{{service=\"pool\",endpoint=\"http://{}\"}}", self.origin.address)
    }
}

fn ask(proxy: &Proxy, target: &str) -> JoinHandle<u16> {
    let request = proxy.get(target);
    thread::spawn(move || request.send().status)
}

fn proxy(endpoints: [&Endpoint; 2], settings: &str) -> Proxy {
    // Longer than anything here has patience: who waits looks once more when it has waited too long.
    let limits = "limits = { max_connections_per_endpoint = 1, queue_timeout = \"60s\" }";
    let addresses = endpoints.map(|endpoint| endpoint.origin.address);
    Proxy::start(&pool_of(&addresses, format!("{settings}\n{limits}")))
}

/// One endpoint is left out, the other full: who waits gets the one that comes back.
fn assert_taken(proxy: &Proxy, out: &Endpoint, full: &Endpoint, come_back: impl Fn()) {
    let held = ask(proxy, "/hold");
    eventually("one to be busy", || (full.held() + out.held() == 1).then_some(()));
    let waiting = ask(proxy, "/hold");
    come_back();
    eventually("both to be busy", || ((full.held(), out.held()) == (1, 1)).then_some(()));
    assert!(!held.is_finished() && !waiting.is_finished());
    full.open();
    out.open();
    assert_eq!([held, waiting].map(|one| one.join().expect("no panic")), [200, 200]);
}

#[test]
fn an_endpoint_that_time_brings_back_is_taken_at_once() {
    for (count, settings) in [
        (
            "proxy_endpoint_ejections_total",
            "outlier = { consecutive_failures = 1, ejection = \"2s\" }",
        ),
        (
            "proxy_breaker_opens_total",
            "outlier = { consecutive_failures = \"off\" }\n\
             breaker = { min_requests = 1, open = \"2s\" }",
        ),
    ] {
        let (one, other) = (Endpoint::start(), Endpoint::start());
        let proxy = proxy([&one, &other], settings);
        assert_eq!(proxy.get("/break").send().status, 500);
        let is_out = |endpoint: &Endpoint| {
            let ejections = proxy.ejections("pool", endpoint.origin.address);
            let opens = || proxy.metric(&endpoint.series("proxy_breaker_opens_total"));
            if count.contains("breaker") { opens() == 1.0 } else { ejections == 1.0 }
        };
        let is_one = eventually("one to be left out", || {
            [is_out(&one), is_out(&other)].iter().position(|is_out| *is_out)
        });
        let [out, full] = if is_one == 0 { [&one, &other] } else { [&other, &one] };
        assert_taken(&proxy, out, full, || ());
    }
}

#[test]
fn an_endpoint_whose_checks_pass_again_is_taken_at_once() {
    let settings = "outlier = { consecutive_failures = \"off\" }\n\
                    health = { path = \"/health\", interval = \"100ms\", unhealthy = 1, healthy = 1 }";
    let (out, full) = (Endpoint::start(), Endpoint::start());
    let proxy = proxy([&out, &full], settings);
    out.is_well.store(false, SeqCst);
    proxy.wait_for_metric(&out.series("proxy_endpoint_healthy"), 0.0);
    assert_taken(&proxy, &out, &full, || out.is_well.store(true, SeqCst));
}

#[test]
fn all_that_are_ejected_and_full_are_waited_for_like_others() {
    let (one, other) = (Endpoint::start(), Endpoint::start());
    let settings = "outlier = { consecutive_failures = 1, max_ejected = 100, ejection = \"5m\" }";
    let proxy = proxy([&one, &other], settings);
    eventually("both to be ejected", || {
        proxy.get("/break").send();
        let is_out =
            |endpoint: &Endpoint| proxy.metric(&endpoint.series("proxy_endpoint_ejected")) == 1.0;
        (is_out(&one) && is_out(&other)).then_some(())
    });
    let held = [ask(&proxy, "/hold"), ask(&proxy, "/hold")];
    eventually("both to be full", || ((one.held(), other.held()) == (1, 1)).then_some(()));
    let waiting = ask(&proxy, "/hold");
    eventually("one to wait", || {
        assert!(!waiting.is_finished(), "it was answered beside those that are full");
        (proxy.metric(DEPTH) == 1.0).then_some(())
    });
    one.open();
    other.open();
    assert!(held.into_iter().all(|one| one.join().expect("no panic") == 200));
    assert_eq!(waiting.join().expect("no panic"), 200);
}
