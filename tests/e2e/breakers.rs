//! A breaker opens for an endpoint that fails too often, tries it again, and closes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use crate::support::{Origin, Proxy, eventually, pool_of};

#[test]
fn it_opens_lets_trials_through_and_closes() {
    let is_well = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_well);
    let origin = Origin::start(move |exchange| {
        while exchange.request().is_some() {
            let status = if seen.load(SeqCst) { "200 OK" } else { "500 Broken" };
            exchange.write(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let settings = "outlier = { consecutive_failures = \"off\" }\n\
         breaker = { failure_ratio = 0.5, min_requests = 4, open = \"500ms\" }";
    let proxy = Proxy::start(&pool_of(&[origin.address], settings));
    let state = format!("{{service=\"pool\",endpoint=\"http://{}\"}}", origin.address);
    for _ in 0..4 {
        assert_eq!(proxy.get("/a").send().status, 500);
    }
    let answer = proxy.get("/refused").send();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    let why = answer.header("proxy-status").expect("says why");
    assert!(why.contains("circuit_open"), "{why}");
    assert_eq!(proxy.access_line("/refused")["reason"], "circuit_open");
    assert_eq!(origin.heads().len(), 4);
    assert_eq!(proxy.metric(&format!("proxy_breaker_state{state}")), 2.0);
    is_well.store(true, SeqCst);
    eventually("a trial", || (proxy.get("/b").send().status == 200).then_some(()));
    eventually("it to close", || {
        proxy.get("/c").send();
        (proxy.metric(&format!("proxy_breaker_state{state}")) == 0.0).then_some(())
    });
    assert!((0..20).all(|_| proxy.get("/d").send().status == 200));
    assert_eq!(proxy.metric(&format!("proxy_breaker_opens_total{state}")), 1.0);
}
