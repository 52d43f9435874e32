//! Where the system has nothing left for the proxy, the proxy says so, and blames nobody else.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::support::{Client, Origin, Proxy, eventually, pool_of};

/// Files of a process that runs: all numbers below are taken.
const NONE_LEFT: u64 = 3;

fn limit_files(proxy: &Proxy, current: Option<u64>) -> Option<u64> {
    let pid = i32::try_from(proxy.program.pid()).ok().and_then(Pid::from_raw);
    // The child has ours.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let known = prlimit(pid, Resource::Nofile, Rlimit { current, maximum });
    known.expect("it is our child").current
}

/// An origin that takes one request a connection, and checks.
fn origin() -> Origin {
    Origin::start(|exchange| {
        exchange.request();
        exchange.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        exchange.close();
    })
}

fn wait(time: Duration) {
    let began = Instant::now();
    eventually("time to pass", || (began.elapsed() > time).then_some(()));
}

#[test]
fn without_files_for_endpoints_requests_fail_with_503_and_nobody_is_to_blame() {
    let (one, other) = (origin(), origin());
    let settings = "outlier = { consecutive_failures = 1, max_ejected = 100 }\n\
                    breaker = { min_requests = 1, open = \"5m\" }\n\
                    retry = { attempts = 3, on = [\"connect\"] }\n\
                    health = { path = \"/health\", interval = \"20ms\", unhealthy = 1 }";
    let endpoints = [one.address, other.address];
    let proxy = Proxy::start(&format!("[server]\nworkers = 1\n{}", pool_of(&endpoints, settings)));
    let mut client = Client::connect(proxy.address);
    assert_eq!(proxy.get("/before").send_on(&mut client).status, 200);
    let before = limit_files(&proxy, Some(NONE_LEFT));
    for _ in 0..10 {
        let answer = proxy.get("/without").send_on(&mut client);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        let why = "proxy; error=proxy_internal_error; details=\"out_of_resources\"";
        assert_eq!(answer.header("proxy-status"), Some(why));
    }
    // Checks fail for the same want.
    wait(Duration::from_millis(300));
    limit_files(&proxy, before);
    assert_eq!(proxy.get("/after").send_on(&mut client).status, 200, "at once");
    let line = proxy.access_line("/without");
    assert_eq!((&line["reason"], &line["attempts"]), (&"out_of_resources".into(), &1.into()));
    for endpoint in endpoints {
        let of = format!("{{service=\"pool\",endpoint=\"http://{endpoint}\"}}");
        assert_eq!(proxy.ejections("pool", endpoint), 0.0);
        assert_eq!(proxy.metric(&format!("proxy_breaker_opens_total{of}")), 0.0);
        assert_eq!(proxy.metric(&format!("proxy_endpoint_healthy{of}")), 1.0);
    }
    assert!(!proxy.program.stderr().join("\n").contains("endpoint is down"));
}
