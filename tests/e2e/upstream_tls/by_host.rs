//! `server_name = "{host}"`: an endpoint that serves several sites is asked by the name of each.

use std::sync::{Arc, Mutex};

use super::{OK, REFUSED, World, wait_for_event};
use crate::support::{Client, Origin, Proxy, eventually};

const BY_HOST: &str = "ca = \"./ca.pem\"\nserver_name = \"{host}\"";

/// What an origin has seen: of each request its connection, the SNI of that and the `Host`.
type Seen = Arc<Mutex<Vec<(usize, Option<String>, String)>>>;

/// An origin whose certificate is for `names`.
fn origin(names: &[&str]) -> (World, Origin, Seen) {
    let world = World::new(names);
    let seen = Seen::default();
    let told = Arc::clone(&seen);
    let origin = Origin::start_tls(&world.tls(), move |exchange| {
        while let Some(head) = exchange.request() {
            exchange.body(&head);
            let name = exchange.tls().server_name().map(str::to_owned);
            let host = head.header("host").unwrap_or_default().to_owned();
            told.lock().expect("is whole").push((exchange.connection, name, host));
            exchange.write(OK);
        }
    });
    (world, origin, seen)
}

fn start(world: &World, origin: &Origin, settings: &str) -> Proxy {
    let url = format!("https://{}", origin.address);
    Proxy::start(&world.config_of(&[&url], BY_HOST, settings))
}

fn get(proxy: &Proxy, host: &str) -> u16 {
    proxy.get("/").header("Host", host).send().status
}

/// The SNI by which each host was asked, in their order.
fn names(seen: &Seen) -> Vec<(Option<String>, String)> {
    let seen = seen.lock().expect("is whole");
    seen.iter().map(|(_, name, host)| (name.clone(), host.clone())).collect()
}

fn named(name: &str, host: &str) -> (Option<String>, String) {
    (Some(name.to_owned()), host.to_owned())
}

#[test]
fn each_site_is_asked_by_its_own_name_over_connections_of_its_own() {
    let (world, origin, seen) = origin(&["a.test", "b.test"]);
    let proxy = start(&world, &origin, "");
    for host in ["a.test", "b.test:8443", "A.Test", "b.test", "a.test."] {
        assert_eq!(get(&proxy, host), 200, "{host}");
    }
    let expected = [
        named("a.test", "a.test"),
        named("b.test", "b.test:8443"),
        named("a.test", "A.Test"),
        named("b.test", "b.test"),
        named("a.test", "a.test."),
    ];
    assert_eq!(names(&seen), expected);
    let seen = seen.lock().expect("is whole");
    let connections: Vec<usize> = seen.iter().map(|(connection, ..)| *connection).collect();
    assert_eq!(connections, [0, 1, 0, 1, 0], "each is kept for its name");
}

#[test]
fn a_name_that_the_certificate_has_not_is_refused_and_is_not_the_endpoint_s_fault() {
    let (world, origin, seen) = origin(&["a.test"]);
    let url = format!("https://{}", origin.address);
    let settings = "outlier = { consecutive_failures = 1, max_ejected = 100, one_client = true }\n\
                    breaker = { min_requests = 1 }";
    let config = world.config_of(&[&url], BY_HOST, settings);
    let proxy = Proxy::start_with(&config, super::DEBUG);
    for host in ["other.test", "a~b.test", "127.0.0.1"] {
        let answer = proxy.get("/").header("Host", host).send();
        let found = (answer.status, answer.header("proxy-status"));
        assert_eq!(found, (502, Some(REFUSED)), "{host}");
    }
    wait_for_event(&proxy, "certificate not valid for name \\\"other.test\\\"");
    wait_for_event(&proxy, "no certificate can be for the host \\\"a~b.test\\\"");
    assert_eq!(proxy.ejections("origin", origin.address), 0.0);
    assert_eq!(get(&proxy, "a.test"), 200);
    assert_eq!(names(&seen), [named("a.test", "a.test")]);
}

#[test]
fn what_is_sent_counts_and_not_what_the_client_said() {
    let (world, origin, seen) = origin(&["fixed.test"]);
    let proxy = start(&world, &origin, "host = \"fixed.test\"");
    assert_eq!(get(&proxy, "a.test"), 200);
    assert_eq!(names(&seen), [named("fixed.test", "fixed.test")]);
}

#[test]
fn an_address_is_verified_as_one_and_needs_no_sni() {
    let (world, origin, seen) = origin(&["127.0.0.1"]);
    let proxy = start(&world, &origin, "");
    assert_eq!(get(&proxy, "127.0.0.1:8443"), 200);
    // Without a host the endpoint's own is said.
    let mut client = Client::connect(proxy.address);
    client.write("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer("GET").status, 200);
    let own = origin.address.to_string();
    assert_eq!(names(&seen), [(None, "127.0.0.1:8443".to_owned()), (None, own)]);
}

#[test]
fn the_name_used_longest_ago_makes_room_for_a_65th() {
    let all: Vec<String> = (0..65).map(|number| format!("n{number}.test")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let (world, origin, seen) = origin(&all);
    let url = format!("https://{}", origin.address);
    let flags = ["--listen", "127.0.0.1:0", "--workers", "1"];
    let proxy = Proxy::start_with(&world.config_of(&[&url], BY_HOST, ""), &flags);
    for name in &all[..64] {
        assert_eq!(get(&proxy, name), 200);
    }
    // The first is used again, so that the second makes room.
    for name in [all[0], all[64], all[0], all[1]] {
        assert_eq!(get(&proxy, name), 200);
    }
    let seen = seen.lock().expect("is whole");
    let connections: Vec<usize> = seen.iter().map(|(connection, ..)| *connection).collect();
    assert_eq!(connections[64..], [0, 64, 0, 65]);
}

#[test]
fn copies_are_asked_by_the_host_that_they_say() {
    let (world, origin, seen) = origin(&["a.test"]);
    let first = Origin::answering(OK);
    let folder = world.folder.path().join("ca.pem");
    let config = format!(
        "[[routes]]\nname = \"all\"\nservice = \"first\"\nmirror = {{ service = \"copies\" }}\n\
         [services.first]\nendpoints = [\"http://{}\"]\n\
         [services.copies]\nendpoints = [\"https://{}\"]\n\
         tls = {{ ca = {folder:?}, server_name = \"{{host}}\" }}\n",
        first.address, origin.address,
    );
    let proxy = Proxy::start(&config);
    assert_eq!(get(&proxy, "a.test"), 200);
    proxy.wait_for_metric("proxy_mirrored_total{service=\"copies\",result=\"answered\"}", 1.0);
    assert_eq!(names(&seen), [named("a.test", "a.test")]);
}

#[test]
fn checks_ask_by_the_host_that_they_say_or_only_whether_somebody_listens() {
    let (world, origin, seen) = origin(&["checked.test"]);
    let passed = |proxy: &Proxy| {
        let series = format!(
            "proxy_health_checks_total{{service=\"origin\",endpoint=\"https://{}\",result=\"passed\"}}",
            origin.address
        );
        eventually("a check passes", || (proxy.metric(&series) > 0.0).then_some(()));
    };
    passed(&start(&world, &origin, "health = { path = \"/\", host = \"checked.test\" }"));
    assert_eq!(names(&seen)[0], named("checked.test", "checked.test"));
    passed(&start(&world, &origin, "health = { type = \"tcp\" }"));
}

#[test]
fn a_tunnel_is_opened_by_the_name_of_its_site() {
    let world = World::new(&["a.test"]);
    let origin = crate::support::switching_tls(&world.tls(), |exchange| {
        let name = exchange.tls().server_name().map(str::to_owned);
        exchange.write(name.unwrap_or_default());
        exchange.close();
    });
    let proxy = start(&world, &origin, "");
    let mut client = Client::connect(proxy.address);
    client.write(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert_eq!(client.head().0, "HTTP/1.1 101 Switching Protocols");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut client.stream, &mut text).expect("ends in order");
    assert_eq!(text, "a.test");
}
