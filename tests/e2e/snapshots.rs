//! A configuration that is replaced under load: what has not changed goes on with all that it has
//! counted, and what has changed keeps what its meaning allows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use proptest::{
    prelude::{ProptestConfig, Strategy, prop_oneof},
    test_runner::TestRunner,
};

use crate::support::{Client, Exchange, Origin, Swapping, eventually, with_generation};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BROKEN: &str = "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n";

/// Answers 500 to paths with `fail` in them.
fn origin() -> Origin {
    Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            exchange.body(&head);
            exchange.write(if head.line.contains("fail") { BROKEN } else { OK });
        }
    })
}

/// Three origins behind services of every kind; all that counts lasts longer than the test.
struct World {
    origins: Vec<Origin>,
}

const SERVICES: [(&str, &str); 5] = [
    ("ejects", "outlier = { consecutive_failures = 2, one_client = true, ejection = \"1h\" }"),
    (
        "opens",
        "outlier = { consecutive_failures = \"off\" }\n\
               breaker = { min_requests = 3, failure_ratio = 0.5, open = \"1h\", window = \"5m\" }",
    ),
    ("limits", "limits = { max_in_flight = 5, queue = 1, max_connections_per_endpoint = 2 }"),
    ("hashes", "balance = { hash = \"header:x-key\" }"),
    ("starts", "slow_start = \"1h\"\noutlier = { consecutive_failures = 3, one_client = true }"),
];

impl World {
    fn new() -> Self {
        Self { origins: (0..3).map(|_| origin()).collect() }
    }

    /// The configuration, with `services` before the others.
    fn config(&self, before: &str) -> String {
        let urls: Vec<String> =
            self.origins.iter().map(|one| format!("http://{}", one.address)).collect();
        let mut text = "auth_schemes.key = { type = \"bearer\", tokens = [\"a-long-secret-key\"], \
                        failures = { requests = 3, per = \"1h\" } }\n\
                        rate_limits.few = { requests = 4, per = \"1h\", burst = 4 }\n"
            .to_owned();
        text.push_str(before);
        for (name, settings) in SERVICES {
            let balance =
                if settings.contains("balance") { "" } else { "balance = \"round_robin\"\n" };
            text.push_str(&format!(
                "[services.{name}]\nendpoints = {urls:?}\n{balance}{settings}\n\
                 [[routes]]\nname = \"{name}\"\npath = \"/{name}/{{*rest}}\"\nservice = \"{name}\"\n"
            ));
        }
        text.push_str(
            "[[routes]]\nname = \"guarded\"\npath = \"/guarded\"\nservice = \"hashes\"\nauth = \"key\"\n\
             [[routes]]\nname = \"limited\"\npath = \"/limited\"\nservice = \"hashes\"\n\
             rate_limits = [\"few\"]\n",
        );
        text
    }

    fn new_service(&self) -> String {
        format!("[services.aaa]\nendpoints = [\"http://{}\"]\n", self.origins[0].address)
    }
}

type Numbers = BTreeMap<String, String>;

/// Numbers that do not depend on how long something took, or how often somebody looked.
fn numbers(proxy: &Swapping) -> Numbers {
    let timed =
        ["_seconds_sum", "_seconds_bucket", "proxy_retry_budget_left", "proxy_connections "];
    let lines = proxy.metrics().into_iter();
    let lines = lines.filter(|line| !line.starts_with('#') && !line.contains("\"generation\""));
    let lines = lines.filter(|line| !timed.iter().any(|name| line.contains(name)));
    lines
        .filter_map(|line| line.rsplit_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())))
        .collect()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// To a service, to a path that is answered well or not.
    Ask {
        service: usize,
        fails: bool,
        key: u8,
    },
    Guess {
        is_right: bool,
    },
    Limited,
    /// Of the one proxy alone: to the same file, or to one with a service before the others.
    Replace {
        has_more: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use proptest::{bool, collection::vec, num::u8};
    let ask = (0..SERVICES.len(), bool::ANY, u8::ANY).prop_map(|(service, fails, key)| Step::Ask {
        service,
        fails,
        key,
    });
    let step = prop_oneof![
        6 => ask,
        1 => bool::ANY.prop_map(|is_right| Step::Guess { is_right }),
        1 => proptest::strategy::Just(Step::Limited),
        2 => bool::ANY.prop_map(|has_more| Step::Replace { has_more }),
    ];
    vec(step, 5..60)
}

/// The status that a step is answered with.
fn run(proxy: &Swapping, step: Step) -> u16 {
    let request = match step {
        Step::Ask { service, fails, key } => {
            let path = format!("/{}/{}", SERVICES[service].0, if fails { "fail" } else { "well" });
            proxy.request("GET", &path).header("X-Key", &key.to_string())
        }
        Step::Guess { is_right } => {
            let key = if is_right { "a-long-secret-key" } else { "another-secret-key" };
            proxy.request("GET", "/guarded").header("X-Key", "guess").bearer(key)
        }
        Step::Limited => proxy.request("GET", "/limited").header("X-Key", "limited"),
        Step::Replace { .. } => return 0,
    };
    request.send().status
}

/// Two proxies of the same configuration are asked the same; the configuration of one is replaced again
/// and again by what says the same of all that is asked.
#[test]
fn what_has_not_changed_goes_on_as_if_nothing_had_been_replaced() {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let checked = runner.run(&steps(), |steps| {
        let world = World::new();
        let (same, more) = (world.config(""), world.config(&world.new_service()));
        let (replaced, left_alone) = (Swapping::start(&same), Swapping::start(&same));
        for (generation, step) in steps.iter().enumerate() {
            if let Step::Replace { has_more } = step {
                let next = if *has_more { &more } else { &same };
                // To the same file at first: that is a change of nothing at all.
                replaced.replace(&same);
                replaced.replace_and_see(next, generation);
            }
            assert_eq!(run(&replaced, *step), run(&left_alone, *step), "{step:?}");
        }
        let asked = steps.iter().filter(|step| !matches!(step, Step::Replace { .. })).count();
        let all = "all requests to be counted";
        let expected = eventually(all, || settled(&left_alone, asked));
        let found = eventually(all, || settled(&replaced, asked));
        let found: Numbers =
            found.into_iter().filter(|(series, _)| !series.contains("\"aaa\"")).collect();
        let series: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
        let differ = series.into_iter().filter(|one| found.get(*one) != expected.get(*one));
        let differ: Vec<_> = differ.map(|one| (one, found.get(one), expected.get(one))).collect();
        assert!(differ.is_empty(), "{differ:#?}");
        Ok(())
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
}

/// The numbers, once so many requests are counted.
fn settled(proxy: &Swapping, asked: usize) -> Option<Numbers> {
    let numbers = numbers(proxy);
    let counted = numbers.iter().filter(|(series, _)| series.starts_with("proxy_requests_total"));
    let counted = counted.map(|(_, value)| value.parse::<usize>().expect("is a number"));
    (counted.sum::<usize>() == asked && numbers["proxy_requests_in_flight"] == "0")
        .then_some(numbers)
}

/// Holds requests until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().expect("is whole") = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let is_open = self.0.0.lock().expect("is whole");
        drop(self.0.1.wait_while(is_open, |is_open| !*is_open).expect("is whole"));
    }
}

#[test]
fn requests_in_flight_and_in_the_queue_stay_where_they_are_counted() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |exchange: &mut Exchange| {
        while exchange.request().is_some() {
            held.pass();
            exchange.write(OK);
        }
    });
    let config = |before: &str, most: u32| {
        format!(
            "{before}[services.x]\nendpoints = [\"http://{}\"]\n\
             limits = {{ max_in_flight = {most}, queue = 8, queue_timeout = \"60s\" }}\n\
             [[routes]]\nname = \"all\"\npath = \"/x\"\nservice = \"x\"\n",
            origin.address
        )
    };
    let other = format!("[services.aaa]\nendpoints = [\"http://{}\"]\n", origin.address);
    let proxy = Swapping::start(&config("", 2));
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(proxy.address)).collect();
    for client in &mut clients {
        client.write("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    let of = |series: &str| numbers(&proxy).get(series).map(|value| value.parse::<u32>());
    let counts = || {
        let in_flight = of("proxy_service_in_flight{service=\"x\"}")?.ok()?;
        let at_endpoint = of(&format!(
            "proxy_endpoint_in_flight{{service=\"x\",endpoint=\"http://{}\"}}",
            origin.address
        ))?;
        Some((in_flight, of("proxy_queue_depth{service=\"x\"}")?.ok()?, at_endpoint.ok()?))
    };
    let wait_for = |expected| {
        eventually("requests to be where they belong", || {
            (counts() == Some(expected)).then_some(())
        });
    };
    wait_for((2, 3, 2));
    proxy.replace(&config("", 2));
    proxy.replace_and_see(&config(&other, 2), 1);
    assert_eq!(counts(), Some((2, 3, 2)), "they are counted where they were");
    // Another limit lets in who waits.
    proxy.replace_and_see(&config(&other, 4), 2);
    wait_for((4, 1, 4));
    gate.open();
    for client in &mut clients {
        assert_eq!(client.answer("GET").status, 200);
    }
    wait_for((0, 0, 0));
}

#[test]
fn no_request_fails_while_the_configuration_is_replaced_under_load() {
    let world = World::new();
    let (same, more) = (world.config(""), world.config(&world.new_service()));
    let proxy = Swapping::start(&same);
    let is_over = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let (address, is_over) = (proxy.address, Arc::clone(&is_over));
            thread::spawn(move || {
                let mut asked = 0_usize;
                while !is_over.load(SeqCst) {
                    let mut client = Client::connect(address);
                    for _ in 0..20 {
                        client.write("GET /hashes/well HTTP/1.1\r\nHost: x\r\n\r\n");
                        assert_eq!(client.answer("GET").status, 200);
                        asked += 1;
                    }
                }
                asked
            })
        })
        .collect();
    for generation in 0..20 {
        proxy.replace_and_see(if generation % 2 == 0 { &more } else { &same }, generation);
    }
    is_over.store(true, SeqCst);
    let asked = asking.into_iter().map(|one| one.join().expect("none has failed"));
    let asked = asked.sum();
    eventually("all requests to be counted", || settled(&proxy, asked));
}

#[test]
fn what_has_changed_keeps_its_state_and_what_comes_back_its_counts() {
    let world = World::new();
    let proxy = Swapping::start(&world.config(""));
    for _ in 0..6 {
        proxy.request("GET", "/ejects/fail").send();
    }
    let ejections = |proxy: &Swapping| -> Vec<(String, String)> {
        let all = numbers(proxy).into_iter();
        all.filter(|(series, _)| {
            series.starts_with("proxy_endpoint_eject") && series.contains("\"ejects\"")
        })
        .collect()
    };
    let before = eventually("an ejection", || {
        let before = ejections(&proxy);
        before.iter().any(|(_, value)| value != "0").then_some(before)
    });
    // Another timeout is no reason to forget who is ejected.
    let changed =
        world.config("").replace("[services.ejects]\n", "[services.ejects]\nhost = \"x\"\n");
    proxy.replace_and_see(&changed, 1);
    assert_eq!(ejections(&proxy), before);
    assert_eq!(proxy.request("GET", "/ejects/well").send().status, 200);
    // Gone, and back again: an endpoint, and its whole service.
    let url = format!("\"http://{}\"", world.origins[0].address);
    let fewer = world.config("").replacen(&format!("{url}, "), "", 1);
    proxy.replace_and_see(&fewer, 2);
    assert!(ejections(&proxy).iter().all(|(series, _)| !series.contains(&url)));
    let none = "[[routes]]\nname = \"nothing\"\npath = \"/none\"\nrespond = { status = 200 }\n";
    proxy.replace(&with_generation(none, 3));
    proxy.replace_and_see(&world.config(""), 4);
    let counts = |all: &[(String, String)]| -> Vec<(String, String)> {
        all.iter().filter(|(series, _)| series.contains("_total")).cloned().collect()
    };
    assert_eq!(counts(&ejections(&proxy)), counts(&before), "no counter goes back");
}
