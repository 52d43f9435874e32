//! Endpoints that fail real requests are left out for a while, and never all of them.

use crate::support::{
    Client, ClosedPort, Exchange, OFFER, Origin, Proxy, eventually, pool_of, switching,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

#[test]
fn an_endpoint_that_fails_in_a_row_is_left_out_and_comes_back() {
    let (broken, well) = (Origin::answering(BROKEN), Origin::answering(OK));
    let settings = "outlier = { consecutive_failures = 3, one_client = true, ejection = \"1s\" }";
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
fn the_url_that_one_client_makes_fail_takes_no_endpoint_from_others() {
    let (broken, well) = (Origin::answering(BROKEN), Origin::answering(OK));
    let pool = pool_of(&[broken.address, well.address], "balance = \"round_robin\"");
    // A run of the broken endpoint is one of clients as the trusted proxy names them.
    let proxy = Proxy::start(&format!("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n{pool}"));
    let ask = |client: &str| proxy.get("/a").header("X-Forwarded-For", client).send();
    for place in 0..40 {
        ask(&format!("2001:db8::{place}"));
    }
    assert_eq!(proxy.ejections("pool", broken.address), 0.0);
    assert_eq!(broken.heads().len(), 20);
    for place in 0..40 {
        ask(&format!("192.0.2.{place}"));
    }
    assert_eq!(proxy.ejections("pool", broken.address), 1.0);
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
        let mut client = Client::connect(proxy.address);
        client.write("GET /wait HTTP/1.1\r\nHost: a.test\r\n\r\n");
        drop(client);
    }
    proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
    assert_eq!(proxy.ejections("pool", origin.address), 0.0);
}

#[test]
fn a_request_to_endpoints_that_are_all_ejected_is_counted_once_and_the_first_is_logged() {
    let (one, two) = (Origin::answering(BROKEN), Origin::answering(BROKEN));
    let settings = "outlier = { consecutive_failures = 1, max_ejected = 100, ejection = \"5m\" }\n\
                    limits = { max_connections_per_endpoint = 10 }";
    let proxy = Proxy::start(&pool_of(&[one.address, two.address], settings));
    eventually("both to be ejected", || {
        proxy.get("/a").send();
        let ejected = [&one, &two].map(|origin| proxy.ejections("pool", origin.address));
        (ejected == [1.0, 1.0]).then_some(())
    });
    let count = || proxy.metric("proxy_failed_open_total{service=\"pool\"}");
    let before = count();
    assert!((0..10).all(|_| proxy.get("/b").send().status == 500));
    assert_eq!(count() - before, 10.0);
    let warnings = || {
        let lines = proxy.program.stderr();
        lines.iter().filter(|line| line.contains("all endpoints are ejected")).count()
    };
    eventually("the warning", || (warnings() > 0).then_some(()));
    assert_eq!(warnings(), 1);
}

#[test]
fn a_tunnel_that_ends_by_its_limits_speaks_against_nobody() {
    for tunnel in ["idle = \"100ms\"", "lifetime = \"100ms\""] {
        let (one, two) = (switching(Exchange::wait_for_close), switching(Exchange::wait_for_close));
        let settings = format!("outlier = {{ consecutive_failures = 1 }}\ntunnel = {{ {tunnel} }}");
        let proxy = Proxy::start(&pool_of(&[one.address, two.address], settings));
        for _ in 0..4 {
            let mut client = Client::connect(proxy.address);
            client.write(OFFER);
            assert_eq!(client.head().0, "HTTP/1.1 101 Switching Protocols");
            assert!(client.is_closed());
        }
        proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
        for origin in [one, two] {
            assert_eq!(proxy.ejections("pool", origin.address), 0.0, "{tunnel}");
        }
    }
}

#[test]
fn a_client_that_uploads_too_slowly_speaks_against_nobody() {
    let (one, two) = (Origin::answering(OK), Origin::answering(OK));
    let settings = "outlier = { consecutive_failures = 1 }\ntimeouts = { total = \"100ms\" }";
    let proxy = Proxy::start(&pool_of(&[one.address, two.address], settings));
    for _ in 0..4 {
        let mut client = Client::connect(proxy.address);
        client.write("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nabc");
        assert_eq!(client.answer("POST").status, 504);
    }
    proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
    for origin in [one, two] {
        assert_eq!(proxy.ejections("pool", origin.address), 0.0);
    }
}
