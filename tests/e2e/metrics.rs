//! What the metrics say after known traffic, with labels that no client can make grow.

use std::sync::{Mutex, mpsc};

use crate::support::{Client, Origin, PATIENCE, Proxy, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// How many sample lines the page has.
fn count_samples(proxy: &Proxy) -> usize {
    let page = proxy.admin("/metrics").text();
    page.lines().filter(|line| !line.starts_with('#')).count()
}

#[test]
fn requests_are_counted_by_route_service_method_and_code() {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());

    proxy.get("/1").send();
    proxy.get("/2").send();
    proxy.request("POST", "/3").body("twelve bytes").send();

    let series = |method| {
        format!(
            "proxy_requests_total{{route=\"all\",service=\"origin\",method=\"{method}\",code=\"200\"}}"
        )
    };
    proxy.wait_for_metric(&series("POST"), 1.0);
    assert_eq!(proxy.metric(&series("GET")), 2.0);
    let both = "{route=\"all\",service=\"origin\"}";
    for (name, value) in [
        ("proxy_request_duration_seconds_count", 3.0),
        ("proxy_request_bytes_total", 12.0),
        ("proxy_response_bytes_total", 15.0),
    ] {
        assert_eq!(proxy.metric(&format!("{name}{both}")), value, "{name}");
    }
    let sum = proxy.metric(&format!("proxy_request_duration_seconds_sum{both}"));
    assert!(sum > 0.0 && sum < 20.0, "{sum} s");
}

#[test]
fn attempts_are_counted_by_endpoint_and_code() {
    let origin = Origin::answering("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    let proxy = Proxy::start(&origin.config());

    proxy.get("/1").send();
    proxy.get("/2").send();

    let endpoint = format!("service=\"origin\",endpoint=\"http://{}\"", origin.address);
    let attempts = format!("proxy_upstream_requests_total{{{endpoint},code=\"503\"}}");
    proxy.wait_for_metric(&attempts, 2.0);
    let connects = format!("proxy_upstream_connect_duration_seconds_count{{{endpoint}}}");
    assert_eq!(proxy.metric(&connects), 1.0);
}

#[test]
fn requests_in_flight_and_connections_go_up_and_down() {
    let (go, asked) = mpsc::channel();
    let asked = Mutex::new(asked);
    let origin = Origin::start(move |exchange| {
        while exchange.request().is_some() {
            let _ = asked.lock().expect("one request").recv_timeout(PATIENCE);
            exchange.write(OK);
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);
    let state = || {
        let of = |state| proxy.metric(&format!("proxy_upstream_connections{{state=\"{state}\"}}"));
        (proxy.metric("proxy_requests_in_flight"), of("active"), of("idle"))
    };

    let before = state();
    client.write(proxy.get("/").bytes());
    eventually("the request to arrive", || origin.heads().pop());
    let during = state();
    go.send(()).expect("the origin waits");
    client.answer("GET");
    proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
    let after = state();

    assert_eq!([before, during, after], [(0.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 0.0, 1.0)]);
}

#[test]
fn a_client_that_leaves_is_no_longer_in_flight() {
    let origin = Origin::start(|exchange| {
        exchange.request();
        exchange.wait_for_close();
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write(proxy.get("/").bytes());
    proxy.wait_for_metric("proxy_upstream_connections{state=\"active\"}", 1.0);
    drop(client);

    proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
    proxy.wait_for_metric("proxy_upstream_connections{state=\"active\"}", 0.0);
}

#[test]
fn what_clients_make_up_does_not_become_labels() {
    let origin = Origin::answering(OK);
    let only_known = "[[routes]]\nname = \"known\"\npath = \"/known/{id}\"\nservice = \"origin\"\n";
    let config =
        origin.config().replace("[[routes]]\nname = \"all\"\nservice = \"origin\"\n", only_known);
    let proxy = Proxy::start(&config);
    let ask = |number: usize| {
        proxy.request(&format!("BREW{number}"), &format!("/{number}")).send();
        proxy
            .request("GET", &format!("/known/{number}"))
            .header("Host", &format!("h{number}"))
            .send();
    };

    ask(0);
    let other = "{route=\"none\",service=\"none\",method=\"other\",code=\"404\"}";
    proxy.wait_for_metric(&format!("proxy_requests_total{other}"), 1.0);
    let known = "{route=\"known\",service=\"origin\",method=\"GET\",code=\"200\"}";
    proxy.wait_for_metric(&format!("proxy_requests_total{known}"), 1.0);
    let few = count_samples(&proxy);
    (1..30).for_each(ask);
    proxy.wait_for_metric(&format!("proxy_requests_total{other}"), 30.0);
    let many = count_samples(&proxy);

    assert_eq!(few, many);
}

#[test]
fn a_method_in_lower_case_is_another_method() {
    let proxy = Proxy::start("");

    proxy.request("get", "/").send();

    let series =
        "proxy_requests_total{route=\"none\",service=\"none\",method=\"other\",code=\"400\"}";
    proxy.wait_for_metric(series, 1.0);
}
