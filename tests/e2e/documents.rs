//! Documents tell the truth: tables are compared with the code, commands of the README are run.

use std::{collections::BTreeSet, fs, net::SocketAddr, path::PathBuf, process::Command};

use proxy::{admin::metrics::METRICS, config::schema, error::Reason};

use crate::support::{
    Client, ClosedPort, Exchange, Launch, Mock, Origin, Proxy, demo_config, eventually,
    proxy_binary, skip,
};

fn document(path: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).expect("the document is there")
}

#[test]
fn the_error_table_is_the_code_s() {
    let text = document("proxy/docs/errors.md");
    let rows: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("| 4") || line.starts_with("| 5"))
        .map(|row| row.split(" | ").take(4).collect::<Vec<_>>().join(" | "))
        .collect();
    let expected: Vec<String> = Reason::ALL
        .iter()
        .map(|reason| {
            let status = reason.status().as_u16();
            format!(
                "| {status} | {} | {} | {}",
                reason.word(),
                reason.error_type(),
                reason.message()
            )
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn every_key_of_the_schema_is_documented() {
    let text = document("proxy/docs/configuration.md");
    let schema: serde_json::Value = serde_json::from_str(&schema::text()).expect("is JSON");
    let tables = schema["$defs"].as_object().expect("has tables").values().chain([&schema]);
    let keys: BTreeSet<&String> = tables
        .filter_map(|table| table["properties"].as_object())
        .flat_map(|keys| keys.keys())
        .collect();
    let missing: Vec<_> = keys.iter().filter(|key| !mentions(&text, key)).collect();
    assert!(missing.is_empty(), "not in configuration.md: {missing:?}");
}

/// Whether a key stands in the text as code, in a table's name or in an example.
fn mentions(text: &str, key: &str) -> bool {
    [format!("`{key}`"), format!("[{key}"), format!("{key} ="), format!(".{key}`")]
        .iter()
        .any(|form| text.contains(form.as_str()))
}

/// Everything that has a metric of its own: a retry, one that the budget refuses, a request that has
/// waited, a copy, checks, a breaker, limits, a client that is to be known.
fn config_of_every_metric(silent: SocketAddr, dead: SocketAddr) -> String {
    format!(
        r#"
        [rate_limits.local]
        requests = 1

        [rate_limits.shared]
        requests = 1
        store = "redis"

        [redis]
        url = "redis://{dead}"

        [[routes]]
        path = "/retried"
        service = "retried"

        [[routes]]
        path = "/refused"
        service = "refused"
        mirror = {{ service = "retried" }}

        [[routes]]
        path = "/queued"
        service = "limited"

        [[routes]]
        path = "/known"
        auth = "tokens"
        respond = {{ status = 200 }}

        [auth_schemes.tokens]
        type = "jwt"
        jwks_url = "http://{dead}/"
        issuer = "https://id.test"
        audience = "off"
        algorithms = "RS256"

        [services.retried]
        endpoints = ["http://{dead}"]

        [services.refused]
        endpoints = ["http://{dead}"]
        retry = {{ budget = 0 }}

        [services.limited]
        endpoints = ["http://{silent}"]
        limits = {{ max_in_flight = 1, queue_timeout = "10ms" }}
        health = {{ type = "tcp" }}
        breaker = {{}}
        "#
    )
}

#[test]
fn every_metric_is_documented_and_every_documented_one_exists() {
    let (silent, dead) = (Origin::start(hold), ClosedPort::reserve());
    let proxy = Proxy::start(&config_of_every_metric(silent.address, dead.address));
    proxy.get("/retried").send();
    proxy.get("/refused").send();
    assert_eq!(proxy.get("/known").send().status, 401);
    let mut first = Client::connect(proxy.address);
    first.write(proxy.get("/queued").bytes());
    eventually("the first to be there", || silent.heads().pop());
    assert_eq!(proxy.get("/queued").send().status, 503);
    proxy.wait_for_metric("proxy_mirrored_total{service=\"retried\",result=\"failed\"}", 1.0);
    let page = proxy.admin("/metrics").text();
    let exposed: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| format!("{name}{}", if kind == "counter" { "_total" } else { "" }))
        .collect();
    let text = document("proxy/docs/configuration.md");
    let section = text.split("## Metrics").nth(1).and_then(|rest| rest.split("## ").next());
    let documented = metrics_in(section.expect("has the section"));
    assert_eq!(documented, exposed);
}

/// Reads a request and never answers it; a connection without one is a check.
fn hold(exchange: &mut Exchange) {
    if exchange.request().is_some() {
        exchange.wait_for_close();
    }
}

/// The names that stand in code, without labels.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let names = text.split('`').filter(|word| word.starts_with("proxy_"));
    names.map(|name| name.split('{').next().unwrap_or(name).to_owned()).collect()
}

/// Each metric of the table has its row, with its labels, and no row is of another.
#[test]
fn the_metrics_of_configuration_md_are_those_of_the_table() {
    let text = document("proxy/docs/configuration.md");
    let section = text.split("\n## Metrics\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows = section.expect("is there").lines().filter(|line| line.starts_with("| `proxy_"));
    let mut shown = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels: BTreeSet<&str> = cells[2]
            .split(|byte: char| !(byte.is_ascii_alphanumeric() || byte == '_'))
            .filter(|word| !word.is_empty() && *word != "and")
            .collect();
        let names: Vec<&str> = cells[1].split('`').skip(1).step_by(2).collect();
        let mut all = BTreeSet::new();
        for name in names {
            let metric = METRICS.iter().find(|one| one.shown() == name);
            let metric = metric.unwrap_or_else(|| panic!("{name} is no metric"));
            all.extend(metric.labels);
            assert!(shown.insert(metric.shown()), "{name} has two rows");
        }
        let all: BTreeSet<&str> = all.into_iter().copied().collect();
        assert_eq!(labels, all, "the labels of {}", cells[1]);
    }
    let all: BTreeSet<String> = METRICS.iter().map(|one| one.shown()).collect();
    assert_eq!(shown, all);
}

#[test]
fn the_metrics_errors_and_events_that_traffic_md_names_exist() {
    let text = document("proxy/docs/traffic.md");
    let known = metrics_in(&document("proxy/docs/configuration.md"));
    let unknown: Vec<_> = metrics_in(&text).difference(&known).cloned().collect();
    assert!(unknown.is_empty(), "not in configuration.md: {unknown:?}");
    let (errors, code) = (document("proxy/docs/errors.md"), document("proxy/src/service/mod.rs"));
    let code = code + &document("proxy/src/service/state.rs");
    let words = text.split('`').skip(1).step_by(2).filter_map(|word| word.split_once(' '));
    for (first, rest) in words {
        let is_event =
            [first, rest].concat().bytes().all(|b| b.is_ascii_lowercase() || b" :".contains(&b));
        if first.parse::<u16>().is_ok() {
            assert!(errors.contains(&format!("| {first} | {rest} |")), "{first} {rest}");
        } else if is_event && first != "proxy" {
            assert!(code.contains(&format!("\"{first} {rest}\"")), "{first} {rest}");
        }
    }
}

#[test]
fn every_example_of_traffic_md_is_valid() {
    let text = document("proxy/docs/traffic.md");
    let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let examples: Vec<&str> = blocks.collect();
    assert!(examples.len() >= 10, "{examples:#?}");
    for example in examples {
        let mut launch = Launch::with(example).env("STICKY_SECRET", &"sixteen bytes or more");
        let file = launch.file();
        launch.command.args(["check", "-c", &file]);
        let ended = launch.end();
        assert_eq!(ended.code, Some(0), "{}{example}", ended.stderr);
    }
}

/// What stands between ```` ```LANGUAGE ```` and the end of its block.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let opened = text.split("```").skip(1).step_by(2);
    opened.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
}

/// The parts of tls.md about files: the commands of each make the files of its example.
#[test]
fn the_commands_of_tls_md_make_the_files_of_its_examples() {
    if Command::new("openssl").arg("version").output().is_err() {
        skip("openssl not found");
        return;
    }
    let text = document("proxy/docs/tls.md");
    let folder = tempfile::tempdir().expect("a folder can be made");
    for title in ["Files", "SNI", "mTLS", "Reload", "Upstream TLS"] {
        let section = text.split(&format!("## {title}\n")).nth(1).expect("has the section");
        let section = section.split("\n## ").next().expect("has an end");
        let [commands] = blocks(section, "sh")[..] else { panic!("{title} has one example") };
        let script = format!("set -e\n{commands}");
        let ran = Command::new("sh").arg("-c").arg(script).current_dir(&folder).output();
        let ran = ran.expect("sh runs");
        assert!(ran.status.success(), "{title}: {}", String::from_utf8_lossy(&ran.stderr));
        for example in blocks(section, "toml") {
            let mut launch = Launch::with(example);
            let file = launch.file();
            launch.command.args(["check", "-c", &file]).current_dir(&folder);
            let ended = launch.end();
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{example}");
        }
    }
}

#[test]
fn the_metrics_and_events_that_tls_md_names_exist() {
    let text = document("proxy/docs/tls.md");
    let known = metrics_in(&document("proxy/docs/configuration.md"));
    let named: Vec<String> = metrics_in(&text).into_iter().collect();
    let unknown: Vec<_> = named
        .iter()
        .filter(|name| !known.contains(name.split(' ').next().unwrap_or(name)))
        .collect();
    assert!(unknown.is_empty(), "not in configuration.md: {unknown:?}");
    let code = document("proxy/src/tls/listener.rs");
    for event in [
        "a changed certificate is loaded",
        "a file of TLS cannot be used, what was loaded before stays",
    ] {
        assert!(text.contains(event) && code.contains(&format!("\"{event}\"")), "{event}");
    }
}

#[test]
fn every_flag_and_variable_is_documented() {
    let text = document("proxy/docs/configuration.md");
    for command in [&["run", "--help"][..], &["healthcheck", "--help"], &["explain", "--help"]] {
        let help = Command::new(proxy_binary()).args(command).output().expect("the program runs");
        let help = String::from_utf8(help.stdout).expect("is text");
        let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)));
        for word in words.filter(|word| word.starts_with("--") || word.starts_with("PROXY_")) {
            let known = ["--help", "--header"].contains(&word) || text.contains(word);
            assert!(known, "{word} of {command:?} is not in configuration.md");
        }
    }
}

/// Each `tests/e2e/FILE.rs: NAME` is a test that is run.
#[test]
fn every_promise_of_security_md_is_held_by_a_test_that_exists() {
    let text = document("proxy/docs/security.md");
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| promise"))
        .collect();
    assert!(rows.len() > 30, "{rows:#?}");
    for row in rows {
        let tests: Vec<(&str, &str)> = row
            .split('`')
            .filter(|word| word.starts_with("tests/"))
            .filter_map(|word| word.split_once(": "))
            .collect();
        assert!(!tests.is_empty(), "nothing holds {row}");
        for (file, name) in tests {
            let code = document(file);
            let test = format!("#[test]\nfn {name}()");
            assert!(code.contains(&test), "{file} has no test {name}");
        }
    }
}

/// A file, a constant in it, and how configuration.md says the same.
const BOUNDS: &[(&str, &str, &str)] = &[
    (
        "routing/other_fields.rs",
        "MOST_READINGS: usize = 16",
        "readings of fields that guards ask for | 16",
    ),
    ("auth/keys.rs", "LONGEST: usize = 256", "the key that was right last | 256 bytes"),
    ("rate_limit/store.rs", "MOST_WAITING: usize = 1024", "1024 per worker, each for `timeout`"),
    ("rate_limit/store.rs", "MOST_TIMEOUTS: u32 = 4", "four times as long while"),
    ("rate_limit/health.rs", "MOST_FAILURES: u32 = 3", "at least three questions"),
    ("rate_limit/health.rs", "LONGEST_ROW: Duration = Duration::from_millis(500)", "500 ms"),
    ("rate_limit/link.rs", "TRIES: u32 = 3", "three tries to connect"),
    ("upstream/call.rs", "MOST_CALLS: usize = 128", "128 per worker at once: a client"),
    ("upstream/call.rs", "MOST_WAITING: usize = 1024", "1024 wait, 512 of one client"),
    ("upstream/call.rs", "MOST_OF_ONE: usize = 512", "1024 wait, 512 of one client"),
    ("auth/basic.rs", "MOST_WAITING: usize = 256", "256 checks may wait, 64 of one"),
    ("auth/basic.rs", "MOST_OF_ONE: usize = 64", "256 checks may wait, 64 of one"),
    ("tls/client_names.rs", "MOST_NAMES: usize = 32", "32 of 2 KiB, 8 KiB in all"),
    ("tls/client_names.rs", "LONGEST: usize = 2048", "32 of 2 KiB, 8 KiB in all"),
    ("tls/client_names.rs", "MOST_BYTES: usize = 8192", "32 of 2 KiB, 8 KiB in all"),
    ("upstream/exchange.rs", "MOST_INTERIM: u8 = 16", "16 per request"),
    ("upstream/own_pools.rs", "MOST_ENDPOINTS: usize = 8", "8 endpoints, 2 idle"),
    ("headers/cdn_loop.rs", "MOST_RETURNS: usize = 4", "back for the fourth time is 508"),
    ("upstream/room.rs", "USUAL: usize = 64 << 10", "64 KiB read"),
    ("upstream/room.rs", "AMPLE: usize = 256 << 10", "256 KiB read where"),
    ("scratch.rs", "MOST_LENT: usize = 8 << 20", "no more than 8 MiB of a worker"),
    ("http2/known_fields.rs", "PLACES: usize = 256", "256 of 128 B per worker"),
    ("http2/known_fields.rs", "LONGEST: usize = 128", "256 of 128 B per worker"),
    ("server/turn_away.rs", "MOST_LINGERING: usize = 64", "64 per worker and listener"),
    ("server/turn_away.rs", "LINGER_BYTES: usize = 16 << 10", "1 s, 16 KiB each"),
    ("server/listener.rs", "MOST_TURNED_AWAY: usize = 1024", "1024 per worker at once"),
    ("bind.rs", "BACKLOG: i32 = 4096", "4096 per listener"),
    ("server/proxy_protocol.rs", "LONGEST_V1: usize = 107", "| 107 B (version 1)"),
    ("server/proxy_protocol.rs", "LONGEST_V2: usize = 4096", "4 KiB (version 2)"),
    ("http1/send.rs", "MOST_GATHERED: usize = 16 << 10", "16 KiB to write"),
    ("http1/conn/read.rs", "MOST_HELD: usize = 16 << 10", "16 KiB of them"),
    ("http1/conn/read.rs", "LARGEST_READ: usize = 32 << 10", "32 KiB read from the client"),
    ("http1/conn/read.rs", "MOST_DISCARDED: u64 = 64 << 10", "64 KiB, and only what is there"),
    ("http1/parse.rs", "line: 1024, trailers: 8 << 10", "| 1 KiB, 8 KiB |"),
    ("downstream/table.rs", "TICK: Duration = Duration::from_millis(250)", "250 ms late"),
    ("upstream/body.rs", "line: 4096, trailers: 16 << 10", "| 4 KiB, 16 KiB |"),
    ("upstream/resolver.rs", "MOST_ADDRESSES: usize = 64", "64 addresses each"),
    ("upstream/resolver.rs", "MOST_LOOKUPS: usize = 8", "lookups of names at once | 8 |"),
    ("config/size.rs", "MOST_HELD: u64 = 16 << 20", "each up to 16 MiB; the larger"),
    ("config/retry.rs", "Whole<1, 10>>(\"attempts\")", "Tries in all, 1 to 10"),
    ("retry/budget.rs", "FREE: u64 = 10;", "or 10 retries in 10 s per worker"),
    ("retry/budget.rs", "SLOTS: u64 = 11;", "the requests of the last 10 s"),
    ("retry/mod.rs", "LONGEST_BACKOFF: Duration = Duration::from_secs(1)", "retry | 1 s; 5 s if"),
    ("retry/mod.rs", "LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5)", "| 1 s; 5 s if"),
    ("forward/attempt.rs", "MOST_ADMISSIONS: usize = 16", "queues again, 16 times"),
    ("config/limits.rs", "Whole<0, 65_536>>(\"queue\"", "wait for a place, 0 to 65536"),
    (
        "forward/attempt.rs",
        "LONGEST_WITH_PERMIT: Duration = Duration::from_secs(1)",
        "| 1 s; 5 s if",
    ),
    ("forward/mirror.rs", "MOST_COPIES: usize = 64", "64 per worker at once; each for"),
    ("forward/mirror.rs", "BODY_TIME: Duration = Duration::from_secs(60)", "service and 60 s"),
    ("upstream/probe.rs", "MOST: usize = 64 << 10", "64 KiB of head, 64 KiB of body"),
    ("health/checker.rs", "JITTER: f64 = 0.1", "give or take 10 %"),
    ("health/checker.rs", "AGAIN: Duration = Duration::from_millis(500)", "500 ms where an"),
    ("health/checker.rs", "FIRST: Duration = Duration::from_secs(1)", "1 s at most before"),
    ("service/outlier.rs", "MOST_TIMES: u64 = 30", "| 30 times `outlier.ejection`"),
    ("http2/serve.rs", "MOST_STREAMS: u32 = 128", "128 requests at a time"),
    ("http2/serve.rs", "STREAM_WINDOW: u32 = 256 << 10", "256 KiB a request, 1 MiB"),
    ("http2/serve.rs", "CONNECTION_WINDOW: u32 = 1 << 20", "1 MiB a connection"),
    ("http2/serve.rs", "SEND_BUFFER: usize = 16 << 10", "16 KiB a request, and one read"),
    ("http2/frames.rs", "BURST: u32 = 1000", "1000 at once"),
    ("http2/frames.rs", "PER_TICK: u32 = 50", "200 a second"),
    ("http2/serve.rs", "MOST_UNSEEN_RESETS: usize = 100", "100 at a time"),
    ("http2/faults.rs", "BURST: u32 = 100", "| 100 at once, then 32 a second"),
    ("http2/faults.rs", "PER_TICK: u32 = 8", "100 at once, then 32 a second"),
    ("http2/session.rs", "MOST_FAULTY: usize = 256", "128 in all it is left in order"),
    ("http2/serve.rs", "MOST_STREAMS: u32 = 128", "for the last 128 of each connection"),
    ("http2/frames.rs", "PIECES: usize = 4 << 20", "After 2 MiB that pieces"),
    ("http2/frames.rs", "MOST_EMPTY: u32 = 100", "or 50 empty pieces"),
    ("http2/session.rs", "QUIET: u32 = ticks(Duration::from_secs(30))", "after 30 s"),
    ("http2/session.rs", "PONG: u32 = ticks(Duration::from_secs(15))", "within 15 s"),
    ("server/tls.rs", "MOST_HANDSHAKES: usize = 1024", "1024 per worker and listener, each"),
    ("tls/files.rs", "LARGEST: u64 = 1 << 20", "| file of TLS | 1 MiB |"),
    ("tls/clients.rs", "MOST_SESSIONS: usize = 1024", "1024 per listener, where"),
    ("tls/clients.rs", "TICKET_KEY_LIFE: u32 = 30 * 60", "certificates are asked for 1 h"),
    ("tls/subject.rs", "LONGEST: usize = 256", "certificate | 256 B |"),
    ("tls/upstream.rs", "SESSIONS_PER_NAME: usize = 8", "| 8 per name of an endpoint"),
    ("headers/rfc7239.rs", "MOST_ELEMENTS: usize = 64", "the last 64 of a request"),
    ("balance/cookie.rs", "MOST_CHECKS: usize = 8", "cookies checked | 8 per request"),
];

#[test]
fn the_bounds_in_the_documents_stand_in_the_code() {
    let text = document("proxy/docs/configuration.md");
    for (file, constant, bound) in BOUNDS {
        assert!(document(&format!("proxy/src/{file}")).contains(constant), "{constant}");
        assert!(text.contains(bound), "{bound}");
    }
}

/// Each curl line of the README, and the JSON that is shown below it.
fn readme_examples() -> Vec<(String, Option<String>)> {
    let text = document("README.md");
    let blocks: Vec<&str> = text.split("```").skip(1).step_by(2).collect();
    let block = |index: usize, language: &str| {
        blocks
            .get(index)
            .and_then(|block| block.strip_prefix(language))
            .map(|block| block.trim().to_owned())
    };
    (0..blocks.len())
        .filter_map(|index| {
            let command = block(index, "bash\n").filter(|command| command.starts_with("curl"))?;
            Some((command, block(index + 1, "json\n")))
        })
        .collect()
}

#[test]
fn the_curl_lines_of_the_readme_answer_what_they_show() {
    if Command::new("curl").arg("--version").output().is_err() {
        skip("curl not found");
        return;
    }
    let mock = Mock::start();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let dead = nobody.local_addr().expect("is bound");
    drop(nobody);
    let proxy = Proxy::start(&demo_config(mock.address, dead));
    let examples = readme_examples();
    assert!(examples.len() >= 7, "{examples:#?}");
    for (command, shown) in examples {
        let command = command.replace("localhost:8080", &proxy.address.to_string());
        let output =
            Command::new("sh").arg("-c").arg(command.replacen("curl", "curl -s", 1)).output();
        let output = output.expect("sh runs");
        assert!(output.status.success(), "{command}");
        if let Some(shown) = shown {
            assert_eq!(String::from_utf8(output.stdout).expect("is text"), shown, "{command}");
        }
    }
}
