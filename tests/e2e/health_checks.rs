//! Active checks take endpoints out and back in, and say so.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use crate::support::{ClosedPort, Origin, Proxy, eventually, pool_of};

/// Answers checks as told, everything else with 200.
fn origin(check: impl Fn() -> String + Send + Sync + 'static) -> Origin {
    Origin::start(move |exchange| {
        while let Some(head) = exchange.request() {
            if head.line.contains("/health") {
                exchange.write(check());
                exchange.close();
                return;
            }
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    })
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn requests(origin: &Origin) -> usize {
    origin.heads().iter().filter(|head| !head.line.contains("/health")).count()
}

fn healthy(proxy: &Proxy, origin: &Origin) -> f64 {
    let labels = format!("{{service=\"pool\",endpoint=\"http://{}\"}}", origin.address);
    proxy.metric(&format!("proxy_endpoint_healthy{labels}"))
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_no_requests_until_it_passes_again() {
    let is_well = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&is_well);
    let (one, other) = (
        origin(move || answer(if seen.load(SeqCst) { "204 Fine" } else { "503 Busy" }, "")),
        origin(|| answer("200 OK", "fine")),
    );
    let settings = "health = { interval = \"50ms\", timeout = \"50ms\", unhealthy = 2 }";
    let proxy = Proxy::start(&pool_of(&[one.address, other.address], settings));
    is_well.store(false, SeqCst);
    eventually("it to be down", || (healthy(&proxy, &one) == 0.0).then_some(()));
    let before = requests(&one);
    assert!((0..20).all(|_| proxy.get("/a").send().status == 200));
    assert_eq!(requests(&one), before);
    let events = proxy.program.stderr().join("\n");
    assert!(events.contains("endpoint is down") && events.contains("status 503"), "{events}");
    is_well.store(true, SeqCst);
    eventually("it to be up", || (healthy(&proxy, &one) == 1.0).then_some(()));
    eventually("requests", || {
        proxy.get("/b").send();
        (requests(&one) > before).then_some(())
    });
    let check = one.heads().into_iter().find(|head| head.line.contains("/health"));
    let check = check.expect("was checked");
    assert_eq!(check.line, "GET /health HTTP/1.1");
    assert_eq!(check.header("host"), Some(one.address.to_string().as_str()));
}

#[test]
fn where_none_is_up_the_answer_is_503() {
    let dead = ClosedPort::reserve();
    let settings =
        "health = { type = \"tcp\", interval = \"50ms\", timeout = \"50ms\", unhealthy = 1 }";
    let proxy = Proxy::start(&pool_of(&[dead.address], settings));
    let answer = eventually("it to be down", || {
        Some(proxy.get("/a").send()).filter(|answer| answer.status == 503)
    });
    let why = answer.header("proxy-status").expect("says why");
    assert!(why.contains("no_eligible_endpoint"), "{why}");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[test]
fn the_body_and_the_status_asked_for_count() {
    let (right, wrong) = (
        origin(|| answer("200 OK", "all is well today")),
        origin(|| {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nill\r\n0\r\n\r\n".to_owned()
        }),
    );
    let settings = "health = { path = \"/health?deep\", body = \"well\", status = \"200\", \
         interval = \"50ms\", timeout = \"50ms\", unhealthy = 1, healthy = 1 }";
    let proxy = Proxy::start(&pool_of(&[right.address, wrong.address], settings));
    eventually("the wrong one to be down", || (healthy(&proxy, &wrong) == 0.0).then_some(()));
    eventually("three checks", || (right.heads().len() > 2).then_some(()));
    assert_eq!(healthy(&proxy, &right), 1.0);
}

#[test]
fn a_backup_is_used_while_no_other_is_up() {
    let is_well = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&is_well);
    let (primary, backup) = (
        origin(move || answer(if seen.load(SeqCst) { "200 OK" } else { "500 No" }, "")),
        origin(|| answer("200 OK", "")),
    );
    let settings =
        "health = { interval = \"50ms\", timeout = \"50ms\", unhealthy = 1, healthy = 1 }";
    let config = pool_of(&[primary.address], settings).replace(
        "endpoints = [",
        &format!("endpoints = [{{ url = \"http://{}\", backup = true }}, ", backup.address),
    );
    let proxy = Proxy::start(&config);
    assert!((0..10).all(|_| proxy.get("/a").send().status == 200));
    assert_eq!(requests(&backup), 0);
    is_well.store(false, SeqCst);
    eventually("it to be down", || (healthy(&proxy, &primary) == 0.0).then_some(()));
    let before = requests(&primary);
    assert!((0..10).all(|_| proxy.get("/b").send().status == 200));
    assert_eq!((requests(&primary), requests(&backup)), (before, 10));
}
