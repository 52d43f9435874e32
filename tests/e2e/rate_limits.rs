//! How many requests a client may make: what is refused, what it is told, who is counted together, and
//! what comes before and after it is known who asks.

use std::{
    sync::{Arc, Condvar, Mutex},
    thread,
};

use crate::support::{Answer, Client, Origin, Proxy, Request, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const ALICE: &str = "alice-token-of-ours";
const BOB: &str = "bob-token-of-ours";

/// One in an hour, so that nothing comes back while a test runs.
fn limit(name: &str, burst: u32, key: &str) -> String {
    format!("[rate_limits.{name}]\nrequests = 1\nper = \"1h\"\nburst = {burst}\nkey = {key}\n")
}

/// Routes with these limits, each `/name`, without auth.
fn routes(routes: &[(&str, &str)]) -> String {
    let route = |(name, limits): &(&str, &str)| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nservice = \"pool\"\n             rate_limits = {limits}\n"
        )
    };
    routes.iter().map(route).collect()
}

struct World {
    proxy: Proxy,
    _origin: Origin,
}

impl World {
    fn start(config: &str) -> Self {
        let origin = Origin::answering(OK);
        let service = format!("[services.pool]\nendpoints = [\"http://{}\"]\n", origin.address);
        Self { proxy: Proxy::start(&format!("{config}{service}")), _origin: origin }
    }

    /// How many of so many requests pass; all others must be refused.
    fn passed(&self, requests: usize, request: impl Fn(&Self) -> Request) -> usize {
        let statuses = (0..requests).map(|_| request(self).send().status);
        let statuses: Vec<u16> = statuses.collect();
        assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
        statuses.iter().filter(|status| **status == 200).count()
    }
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 429);
    assert_eq!(answer.text(), r#"{"message": "Too many requests"}"#);
    assert_eq!(
        answer.headers("proxy-status"),
        ["proxy; error=http_request_denied; details=\"rate_limited\""]
    );
}

/// `r` and `t` of a `RateLimit` field.
fn standing(field: &str) -> (u32, u32) {
    let (_, numbers) = field.split_once(";r=").expect("has r");
    let (remaining, reset) = numbers.split_once(";t=").expect("has t");
    (remaining.parse().expect("a number"), reset.parse().expect("a number"))
}

#[test]
fn the_burst_passes_and_what_comes_next_is_refused_and_told_when_to_come_back() {
    let few = limit("few", 3, "\"client_ip\"");
    let world = World::start(&[few, routes(&[("a", "[\"few\"]")])].concat());
    for left in [2, 1, 0] {
        let answer = world.proxy.get("/a").send();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers("ratelimit-policy"), ["\"few\";q=1;w=3600"]);
        let [field] = answer.headers("ratelimit")[..] else { panic!("one field a limit") };
        let (remaining, reset) = standing(field);
        assert!(field.starts_with("\"few\";r=") && remaining == left, "{field}");
        assert!((3580..=3600).contains(&reset), "{field}");
    }
    let answer = world.proxy.get("/a").send();
    assert_refused(&answer);
    let (remaining, reset) = standing(answer.header("ratelimit").expect("is told"));
    let retry_after = answer.header("retry-after").and_then(|after| after.parse().ok());
    assert_eq!((remaining, Some(reset)), (0, retry_after));
    assert!((3580..=3600).contains(&reset), "{reset}");
    assert_eq!(world.proxy.access_line("/a")["status"], 200);
    assert_eq!(world.proxy.metric("proxy_rate_limited_total{limit=\"few\"}"), 1.0);
}

#[test]
fn requests_come_back_at_the_steady_rate() {
    let limit = "[rate_limits.fast]\nrequests = 2\nper = \"1s\"\nburst = 1\n";
    let world = World::start(&[limit, &routes(&[("a", "\"fast\"")])].concat());
    let wait_for = |status| {
        eventually(&format!("{status}"), || {
            (world.proxy.get("/a").send().status == status).then_some(())
        });
    };
    for _ in 0..3 {
        wait_for(429);
        wait_for(200);
    }
}

#[test]
fn routes_share_a_limit_unless_its_key_has_the_route() {
    let limits =
        [limit("both", 2, "\"client_ip\""), limit("each", 2, "[\"client_ip\", \"route\"]")];
    let paths = [("a", "\"both\""), ("b", "\"both\""), ("c", "\"each\""), ("d", "\"each\"")];
    let world = World::start(&[limits.concat(), routes(&paths)].concat());
    let passed = |path: &str| world.passed(3, |world| world.proxy.get(path));
    assert_eq!([passed("/a"), passed("/b"), passed("/c"), passed("/d")], [2, 0, 2, 2]);
}

#[test]
fn a_refused_request_counts_nothing_in_the_limits_that_come_later() {
    let limits = [limit("first", 1, "\"client_ip\""), limit("second", 9, "\"client_ip\"")];
    let paths = [("both", "[\"first\", \"second\"]"), ("second", "\"second\"")];
    let world = World::start(&[limits.concat(), routes(&paths)].concat());
    assert_eq!(world.proxy.get("/both").send().headers("ratelimit").len(), 2);
    let refused = world.proxy.get("/both").send();
    assert_refused(&refused);
    let told = refused.headers("ratelimit");
    assert!(told.len() == 1 && told[0].starts_with("\"first\""), "{told:?}");
    let left = world.proxy.get("/second").send();
    assert_eq!(standing(left.header("ratelimit").expect("is told")).0, 7);
}

#[test]
fn requests_without_the_field_of_the_key_share_one_count() {
    let by_key = limit("by_key", 2, "\"header:x-key\"");
    let world = World::start(&[by_key, routes(&[("a", "\"by_key\"")])].concat());
    let with = |key: &'static str| {
        world.passed(3, move |world| world.proxy.get("/a").header("X-Key", key))
    };
    assert_eq!([with("one"), with("two"), with("")], [2, 2, 2]);
    assert_eq!(world.passed(3, |world| world.proxy.get("/a")), 2);
    assert_eq!(world.passed(3, |world| world.proxy.get("/a").header("X-Other", "a")), 0);
    assert_eq!(with("one"), 0);
}

#[test]
fn each_spelling_of_the_same_credentials_counts_as_one() {
    let few = limit("few", 2, "\"header:authorization\"");
    let world = World::start(&[few, routes(&[("a", "\"few\"")])].concat());
    let with = |value: &'static str| {
        world.passed(3, move |world| world.proxy.get("/a").header("Authorization", value))
    };
    assert_eq!([with("Bearer T"), with("bearer T"), with("BEARER   T")], [2, 0, 0]);
    assert_eq!([with("Bearer t"), with("Basic YTpiYw=="), with("basic YTpiYw")], [2, 2, 0]);
    assert_eq!([with("Basic YTpiYx=="), with("Basic YTpiZA==")], [0, 2]);
    // What some would read as one thing and some as another shares one count.
    assert_eq!([with("Bearer T more"), with("Bearer T other")], [2, 0]);
    let twice = |world: &World| world.proxy.get("/a").bearer("T").bearer("U");
    assert_eq!(world.passed(3, twice), 0);
}

#[test]
fn an_ipv6_client_behind_a_trusted_proxy_is_its_network() {
    let config = [
        "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n".to_owned(),
        limit("few", 2, "\"client_ip\""),
        routes(&[("a", "\"few\"")]),
    ];
    let world = World::start(&config.concat());
    let from = |address: &'static str| {
        world.passed(3, move |world| world.proxy.get("/a").header("X-Forwarded-For", address))
    };
    assert_eq!([from("2001:db8::1"), from("2001:db8::ffff:2")], [2, 0]);
    assert_eq!([from("2001:db8:0:1::1"), from("192.0.2.1"), from("192.0.2.2")], [2, 2, 2]);
    assert_eq!([from("::ffff:192.0.2.1"), from("8.8.8.8, 192.0.2.2")], [0, 0]);
}

/// A scheme with two clients, and a route for each limit.
fn with_clients(limits: &[(&str, String)]) -> World {
    let mut config = "[auth_schemes.main]\ntype = \"bearer\"\n        token_sha256 = { alice = \"2b5743dcd289d3de94f5aec4282f15d5bd8d83effa03c6c1783aa17e74f6008d\",         bob = \"4c9ee527a09827459acee86a1b9bb87b334d451ae32ddec89c56866254fa17da\" }\n"
        .to_owned();
    for (path, limit) in limits {
        config += limit;
        config += &routes(&[(path, &format!("\"{path}\"\nauth = \"main\""))]);
    }
    World::start(&config)
}

#[test]
fn each_client_that_is_known_has_its_own_count() {
    let world = with_clients(&[("a", limit("a", 2, "\"claim:sub\""))]);
    let of = |token: &'static str| world.passed(3, |world| world.proxy.get("/a").bearer(token));
    assert_eq!([of(ALICE), of(BOB), of(ALICE)], [2, 2, 0]);
}

#[test]
fn a_stranger_uses_up_its_own_address_and_nothing_else() {
    let world = with_clients(&[
        ("own", limit("own", 3, "[\"route\", \"client_ip\"]")),
        ("all", limit("all", 3, "\"route\"")),
        ("field", limit("field", 3, "[\"client_ip\", \"header:x-a\"]")),
    ]);
    for path in ["/all", "/field"] {
        for _ in 0..5 {
            let answer = world.proxy.get(path).bearer("wrong-token-of-theirs").send();
            assert_eq!((answer.status, answer.header("ratelimit")), (401, None));
        }
        assert_eq!(world.passed(4, |world| world.proxy.get(path).bearer(ALICE)), 3);
    }
    for left in [2, 1, 0] {
        let answer = world.proxy.get("/own").bearer("wrong-token-of-theirs").send();
        assert_eq!(answer.status, 401);
        assert_eq!(standing(answer.header("ratelimit").expect("is told")).0, left);
    }
    assert_refused(&world.proxy.get("/own").bearer(ALICE).send());
}

/// A client could choose another count with each request, or use up that of somebody else.
#[test]
fn a_field_that_says_who_the_client_is_counts_as_the_upstream_gets_it() {
    let server = Origin::answering("HTTP/1.1 204 No Content\r\nX-User: alice\r\n\r\n");
    let config = [
        format!(
            "[auth_schemes.main]\ntype = \"forward\"\nurl = \"http://{}/\"\n\
             copy_headers = [\"X-User\"]\n",
            server.address
        ),
        limit("few", 2, "\"header:x-user\""),
        routes(&[("known", "\"few\"\nauth = \"main\""), ("open", "\"few\"")]),
    ];
    let world = World::start(&config.concat());
    let users = std::cell::Cell::new(0);
    let as_another = |path: &'static str| {
        world.passed(4, |world| {
            users.set(users.get() + 1);
            world.proxy.get(path).header("X-User", &format!("user{}", users.get()))
        })
    };
    assert_eq!([as_another("/known"), as_another("/open")], [2, 2]);
}

/// Answers when the gate is opened.
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn origin() -> (Self, Origin) {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let waited = Arc::clone(&gate);
        let origin = Origin::start(move |exchange| {
            while exchange.request().is_some() {
                let (open, changed) = &*waited;
                let opened = open.lock().expect("no panic");
                drop(changed.wait_while(opened, |open| !*open).expect("no panic"));
                exchange.write(OK);
            }
        });
        (Self(gate), origin)
    }

    fn open(&self) {
        *self.0.0.lock().expect("no panic") = true;
        self.0.1.notify_all();
    }
}

fn with_places(origin: &Origin) -> Proxy {
    let limit = "[rate_limits.places]\nin_flight = 1\nkey = \"header:x-key\"\n";
    let service = format!("[services.pool]\nendpoints = [\"http://{}\"]\n", origin.address);
    Proxy::start(&[limit, &routes(&[("a", "\"places\"")]), &service].concat())
}

#[test]
fn a_key_has_as_many_requests_in_flight_as_it_may() {
    let (gate, origin) = Gate::origin();
    let proxy = with_places(&origin);
    let ask = |key: &str| {
        let request = proxy.get("/a").header("X-Key", key);
        thread::spawn(move || request.send().status)
    };
    let one = ask("one");
    eventually("the first at the origin", || (origin.heads().len() == 1).then_some(()));
    let refused = proxy.get("/a").header("X-Key", "one").send();
    assert_refused(&refused);
    assert_eq!((refused.header("retry-after"), refused.header("ratelimit")), (Some("1"), None));
    let other = ask("other");
    eventually("the other at the origin", || (origin.heads().len() == 2).then_some(()));
    gate.open();
    assert_eq!([one, other].map(|running| running.join().expect("no panic")), [200, 200]);
    eventually("the place to be free", || {
        (proxy.get("/a").header("X-Key", "one").send().status == 200).then_some(())
    });
    assert!(proxy.metric("proxy_rate_limited_total{limit=\"places\"}") >= 1.0);
}

#[test]
fn a_client_that_leaves_gives_its_place_back() {
    let (gate, origin) = Gate::origin();
    let proxy = with_places(&origin);
    let mut leaving = Client::connect(proxy.address);
    leaving.write(proxy.get("/a").header("X-Key", "one").bytes());
    eventually("the first at the origin", || (origin.heads().len() == 1).then_some(()));
    drop(leaving);
    // The first is not answered: only that the client has left can free its place.
    thread::scope(|scope| {
        let next = scope.spawn(|| {
            eventually("the place to be free", || {
                (proxy.get("/a").header("X-Key", "one").send().status == 200).then_some(())
            });
        });
        eventually("the next at the origin", || (origin.heads().len() == 2).then_some(()));
        gate.open();
        next.join().expect("no panic");
    });
}
