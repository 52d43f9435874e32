//! Limits that are counted in Redis, and what passes while it answers late, or not at all. What Redis
//! itself makes of the script is shown by `scripts/checks/rate_limits.py`.

use std::thread;

use crate::support::{Answer, Client, ClosedPort, Origin, Proxy, RedisStub, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Requests of an hour that pass.
const BURST: usize = 10;

struct World {
    proxy: Proxy,
    origin: Origin,
}

impl World {
    fn start(redis: &str, keys: &str) -> Self {
        let origin = Origin::answering(OK);
        let config = format!(
            "[redis]\nurl = \"redis://{redis}\"\n{keys}\n\
             [rate_limits.shared]\nrequests = 1\nper = \"1h\"\nburst = {BURST}\nstore = \"redis\"\n\
             [[routes]]\npath = \"/a\"\nservice = \"pool\"\nrate_limits = \"shared\"\n\
             [services.pool]\nendpoints = [\"http://{}\"]\n",
            origin.address
        );
        Self { proxy: Proxy::start(&config), origin }
    }

    /// So many at once, each over a connection of its own.
    fn burst(&self, requests: usize) -> Vec<Answer> {
        let ask = |_| {
            let request = self.proxy.get("/a");
            thread::spawn(move || request.send())
        };
        let asking: Vec<_> = (0..requests).map(ask).collect();
        asking.into_iter().map(|asking| asking.join().expect("no panic")).collect()
    }
}

#[track_caller]
fn assert_passed(answers: &[Answer], expected: usize) {
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(200), count(429)), (expected, answers.len() - expected));
}

/// The stub lets everything pass: the process still knows what it has let pass itself.
#[test]
fn a_store_that_has_forgotten_everything_lets_nobody_pass_twice() {
    let store = RedisStub::start();
    store.answer();
    let world = World::start(&store.address.to_string(), "timeout = \"10s\"");
    assert_passed(&world.burst(100), BURST);
    assert!(store.decisions() < 2 * BURST, "{} were asked for", store.decisions());
}

#[test]
fn one_late_answer_is_no_outage() {
    let store = RedisStub::start();
    store.answer();
    for on_failure in ["local", "allow"] {
        let keys = format!("on_failure = \"{on_failure}\"");
        let world = World::start(&store.address.to_string(), &keys);
        assert_eq!(world.proxy.get("/a").send().status, 200);
        store.stall();
        let late = world.proxy.get("/a").send();
        assert_eq!(late.status, 200, "the process knows that there are some left");
        store.answer();
        let answers: Vec<Answer> = (0..60).map(|_| world.proxy.get("/a").send()).collect();
        assert_passed(&answers, BURST - 2);
        assert_eq!(world.origin.heads().len(), BURST);
        let events = world.proxy.program.stderr().join("\n");
        assert!(!events.contains("does not answer"), "{events}");
    }
}

#[test]
fn while_no_answer_comes_in_time_a_burst_passes_as_often_as_the_limit_says() {
    let store = RedisStub::start();
    store.answer();
    let keys = "on_failure = \"allow\"\ntimeout = \"1s\"";
    let world = World::start(&store.address.to_string(), keys);
    assert_eq!(world.proxy.get("/a").send().status, 200);
    store.stall();
    assert_passed(&world.burst(100), BURST - 1);
}

#[test]
fn without_the_store_each_process_counts_for_itself_by_default() {
    let dead = ClosedPort::reserve();
    let world = World::start(&dead.address.to_string(), "");
    let answers: Vec<Answer> = (0..30).map(|_| world.proxy.get("/a").send()).collect();
    assert_passed(&answers, BURST);
    assert!(answers.iter().all(|answer| answer.headers("ratelimit").len() == 1), "all are told");
    assert_eq!(world.proxy.metric("proxy_rate_limit_store_errors_total"), 10.0);
}

#[test]
fn a_store_that_goes_on_saying_nothing_is_down_and_one_that_answers_is_back_without_requests() {
    let store = RedisStub::start();
    store.answer();
    let keys = "on_failure = \"deny\"\ntimeout = \"100ms\"";
    let world = World::start(&store.address.to_string(), keys);
    let has_event = |text: &str| {
        let events = world.proxy.program.stderr().join("\n");
        events.contains(text).then_some(())
    };
    assert_eq!(world.proxy.get("/a").send().status, 200);
    store.stall();
    eventually("an outage", || {
        assert_eq!(world.proxy.get("/a").send().status, 503);
        has_event("the store of rate limits does not answer")
    });
    store.answer();
    eventually("its end", || has_event("the store of rate limits is back"));
    assert_eq!(world.proxy.get("/a").send().status, 200);
}

/// 2,048 streams of HTTP/2 would be as many: what is pipelined comes as fast.
#[test]
fn who_is_refused_here_asks_the_store_nothing() {
    let store = RedisStub::start();
    store.answer();
    let world = World::start(&store.address.to_string(), "timeout = \"10s\"");
    assert_passed(&world.burst(BURST + 1), BURST);
    let asked = store.decisions();
    let mut client = Client::connect(world.proxy.address);
    for _ in 0..2048 {
        assert_eq!(world.proxy.get("/a").send_on(&mut client).status, 429);
    }
    assert_eq!(store.decisions(), asked);
}

fn without_redis(on_failure: &str) -> World {
    let dead = ClosedPort::reserve();
    let url = format!(":a-password-of-ours@{}", dead.address);
    World::start(&url, &format!("on_failure = \"{on_failure}\""))
}

#[test]
fn without_the_store_requests_pass_if_they_may() {
    let world = without_redis("allow");
    for _ in 0..2 * BURST {
        let answer = world.proxy.get("/a").send();
        assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
    }
    assert_eq!(world.proxy.metric("proxy_rate_limit_store_errors_total"), 20.0);
    let events = world.proxy.program.stderr().join("\n");
    assert!(events.contains("the store of rate limits does not answer"), "{events}");
    assert!(!events.contains("a-password-of-ours"), "{events}");
}

#[test]
fn without_the_store_requests_are_refused_if_they_may_not() {
    let world = without_redis("deny");
    for _ in 0..2 * BURST {
        let answer = world.proxy.get("/a").send();
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    }
    let line = world.proxy.access_line("/a");
    assert_eq!(line["reason"], "rate_limit_unavailable");
}

#[test]
fn a_store_whose_connection_takes_longer_than_a_decision_is_used_once_it_is_open() {
    let store = RedisStub::start();
    let world = World::start(&store.address.to_string(), "on_failure = \"deny\"");
    assert_eq!(world.proxy.get("/a").send().status, 503);
    store.answer();
    eventually("a decision", || (world.proxy.get("/a").send().status == 200).then_some(()));
    assert_eq!(store.connections(), 1);
}
