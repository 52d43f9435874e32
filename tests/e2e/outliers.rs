//! Endpoints that fail real requests are left out for a while, and never all of them.

use crate::support::{ClosedPort, Origin, Proxy, eventually, pool_of};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

#[test]
fn an_endpoint_that_fails_in_a_row_is_left_out_and_comes_back() {
    let (broken, well) = (Origin::answering(BROKEN), Origin::answering(OK));
    let settings = "outlier = { consecutive_failures = 3, ejection = \"1s\" }";
    let proxy = Proxy::start(&pool_of(&[broken.address, well.address], settings));
    let series = |name: &str, endpoint: &Origin| {
        format!("{name}{{service=\"pool\",endpoint=\"http://{}\"}}", endpoint.address)
    };
    eventually("the ejection", || {
        proxy.get("/a").send();
        (proxy.metric(&series("proxy_endpoint_ejected", &broken)) == 1.0).then_some(())
    });
    let before = broken.heads().len();
    assert_eq!(before, 3);
    assert!((0..20).all(|_| proxy.get("/b").send().status == 200));
    assert_eq!(broken.heads().len(), before);
    assert_eq!(proxy.metric(&series("proxy_endpoint_healthy", &broken)), 0.0);
    assert_eq!(proxy.metric(&series("proxy_endpoint_healthy", &well)), 1.0);
    let events = proxy.program.stderr().join("\n");
    assert!(events.contains("ejected") && events.contains("consecutive_failures"), "{events}");
    eventually("the return", || {
        proxy.get("/c").send();
        (broken.heads().len() > before).then_some(())
    });
}

#[test]
fn where_all_endpoints_fail_they_all_get_requests() {
    let dead = [ClosedPort::reserve(), ClosedPort::reserve()];
    let settings = "outlier = { consecutive_failures = 1, max_ejected = 100 }";
    let proxy = Proxy::start(&pool_of(&dead.each_ref().map(|port| port.address), settings));
    for _ in 0..10 {
        let answer = proxy.get("/a").send();
        assert_eq!(answer.status, 502);
        let why = answer.header("proxy-status").expect("says why");
        assert!(why.contains("connection_refused"), "{why}");
    }
    assert!(proxy.metric("proxy_failed_open_total{service=\"pool\"}") > 0.0);
}

#[test]
fn a_client_that_leaves_speaks_against_nobody() {
    let origin = Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            if head.line.contains("/wait") {
                exchange.wait_for_close();
                return;
            }
            exchange.write(OK);
        }
    });
    let settings = "outlier = { consecutive_failures = 1 }";
    let spare = Origin::answering(OK);
    let proxy = Proxy::start(&pool_of(&[origin.address, spare.address], settings));
    for _ in 0..10 {
        let mut client = crate::support::Client::connect(proxy.address);
        client.write("GET /wait HTTP/1.1\r\nHost: a.test\r\n\r\n");
        drop(client);
    }
    proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
    let series = format!(
        "proxy_endpoint_ejections_total{{service=\"pool\",endpoint=\"http://{}\",cause=\"consecutive_failures\"}}",
        origin.address
    );
    assert_eq!(proxy.metric(&series), 0.0);
}
