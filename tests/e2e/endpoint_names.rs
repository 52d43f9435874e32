//! Endpoints that are names: looked up beside the requests, and a name that is not found is the
//! trouble of its own service alone.

use crate::support::{Origin, Proxy, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Two services by path: `/named` at `name`, `/other` at the origin's address.
fn world(name: &str) -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let config = format!(
        "[[routes]]\npath = \"/{{service}}\"\nservice = \"{{service}}\"\n\
         [services.named]\nendpoints = [\"http://{name}:{}/base\"]\nhost = \"endpoint\"\n\
         timeouts = {{ connect = \"15s\" }}\n\
         [services.other]\nendpoints = [\"http://{}\"]\n",
        origin.address.port(),
        origin.address
    );
    (origin, Proxy::start(&config))
}

#[test]
fn a_name_is_found_whatever_family_its_first_address_has() {
    // The origin listens on 127.0.0.1 only; for many systems "localhost" is ::1 first.
    let (origin, proxy) = world("localhost");

    let answer = proxy.get("/named").send();

    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(origin.last_head().line, "GET /base/named HTTP/1.1");
    let host = format!("localhost:{}", origin.address.port());
    assert_eq!(origin.last_head().headers("host"), [host]);
    assert_eq!(proxy.metric("proxy_dns_lookups_total{result=\"ok\"}"), 1.0);
    assert_eq!(proxy.metric("proxy_dns_lookups_total{result=\"failed\"}"), 0.0);
}

#[test]
fn a_name_that_is_not_found_fails_its_own_service_only() {
    let (origin, proxy) = world("does-not-exist.invalid");

    let named = proxy.get("/named").send();
    let other = proxy.get("/other").send();
    let again = proxy.get("/named").send();

    for answer in [named, again] {
        assert_eq!(answer.status, 502);
        let why = "proxy; error=dns_error; details=\"name_unresolved\"";
        assert_eq!(answer.headers("proxy-status"), [why]);
    }
    assert_eq!((other.status, other.text().as_str()), (200, "ok"));
    assert_eq!(origin.heads().len(), 1);
    assert!(proxy.metric("proxy_dns_lookups_total{result=\"failed\"}") >= 1.0);
}

#[test]
fn that_a_name_is_not_found_is_said_once() {
    let (_origin, proxy) = world("does-not-exist.invalid");
    // A second failed lookup comes a second after the first.
    eventually("a further lookup", || {
        (proxy.metric("proxy_dns_lookups_total{result=\"failed\"}") >= 2.0).then_some(())
    });

    let lines = proxy.program.stderr();
    let said: Vec<&String> =
        lines.iter().filter(|line| line.contains("does not resolve")).collect();

    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("does-not-exist.invalid") && said[0].contains("WARN"), "{said:?}");
}
