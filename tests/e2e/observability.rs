//! The access log: one JSON line per request on stdout, with what operators need and nothing that
//! must stay secret.

use std::{
    io::BufRead,
    process::Command,
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Client, Origin, PATIENCE, Proxy, eventually};

/// The keys of a line, in order.
const KEYS: [&str; 19] = [
    "ts",
    "request_id",
    "trace_id",
    "client_ip",
    "method",
    "host",
    "path",
    "status",
    "bytes_in",
    "bytes_out",
    "duration_ms",
    "route",
    "service",
    "endpoint",
    "attempts",
    "reason",
    "user_agent",
    "tls",
    "subject",
];

fn origin() -> Origin {
    Origin::answering("HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello")
}

/// Everything that the program has said so far, on both streams and in its metrics.
fn everything_said(proxy: &Proxy) -> String {
    let streams = [proxy.program.stdout().join("\n"), proxy.program.stderr().join("\n")];
    format!("{}\n{}", streams.join("\n"), proxy.admin("/metrics").text())
}

#[test]
fn a_line_has_just_the_documented_keys() {
    let origin = origin();
    let proxy = Proxy::start(&origin.config());

    proxy.get("/keys").send();
    proxy.request("BREW", "*").send();
    let lines = eventually("two lines", || Some(proxy.access_lines()).filter(|all| all.len() == 2));

    for line in lines {
        let keys: Vec<&String> = line.as_object().expect("is an object").keys().collect();
        assert_eq!(keys, KEYS);
    }
}

#[test]
fn a_line_tells_what_happened() {
    let origin = origin();
    let proxy = Proxy::start(&origin.config());

    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = proxy.request("POST", "/orders/7?secret=1").body("twelve bytes");
    let request = request.header("Host", "shop.test").header("User-Agent", "curl/8");
    request.header("X-Request-ID", "my-request-1").header("traceparent", trace).send();
    let line = proxy.access_line("/orders/7");

    let expected = json!({
        "request_id": "my-request-1", "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "client_ip": "127.0.0.1", "method": "POST", "host": "shop.test", "path": "/orders/7",
        "status": 201, "bytes_in": 12, "bytes_out": 5, "route": "all", "service": "origin",
        "endpoint": format!("http://{}", origin.address), "attempts": 1, "reason": null,
        "user_agent": "curl/8", "tls": null, "subject": null,
    });
    for (key, value) in expected.as_object().expect("is an object") {
        assert_eq!(&line[key], value, "{key}");
    }
}

#[test]
fn a_request_that_says_little_has_nulls() {
    let proxy = Proxy::start("");

    let answer = proxy.get("/nowhere").send();
    let line = proxy.access_line("/nowhere");

    assert_eq!(line["request_id"].as_str(), answer.header("x-request-id"));
    for key in ["trace_id", "route", "service", "endpoint", "user_agent"] {
        assert_eq!(line[key], Value::Null, "{key}");
    }
    assert_eq!((&line["attempts"], &line["bytes_in"]), (&json!(0), &json!(0)));
}

#[test]
fn a_chunked_body_is_counted_without_its_framing() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n7 bytes\r\n0\r\n\r\n";
    let origin = Origin::answering(chunked);
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    client.write(
        "POST /chunked HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    client.answer("POST");
    let line = proxy.access_line("/chunked");

    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&json!(5), &json!(7)));
}

#[test]
fn the_duration_lasts_until_the_last_byte() {
    let (go, asked) = mpsc::channel();
    let asked = Mutex::new(asked);
    let origin = Origin::start(move |exchange| {
        if exchange.request().is_some() {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
            let _ = asked.lock().expect("one request").recv_timeout(PATIENCE);
            exchange.write("later");
        }
    });
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    let started = Instant::now();
    client.write(proxy.get("/slow").bytes());
    client.stream.fill_buf().expect("the answer begins");
    let since = Instant::now();
    eventually("some time to pass", || (since.elapsed().as_millis() >= 150).then_some(()));
    go.send(()).expect("the origin waits");
    client.answer("GET");
    let at_most = started.elapsed();
    let ms = proxy.access_line("/slow")["duration_ms"].as_f64().expect("is a number");

    assert!(ms >= 150.0, "{ms} ms is too short");
    assert!(ms <= at_most.as_secs_f64() * 1000.0 + 50.0, "{ms} ms is longer than {at_most:?}");
}

/// What the system's clock says, in UTC.
fn now() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S"]).output();
    let text = String::from_utf8(output.expect("date runs").stdout).expect("is text");
    text.trim_end().to_owned()
}

#[test]
fn the_time_is_in_utc_with_milliseconds() {
    let proxy = Proxy::start("");

    let before = now();
    proxy.get("/time").send();
    let line = proxy.access_line("/time");
    let after = now();

    let text = line["ts"].as_str().expect("is text");
    let (second, fraction) = text.split_at(19);
    assert!(before.as_str() <= second && second <= after.as_str(), "{before} {text} {after}");
    let digits = fraction.strip_prefix('.').and_then(|rest| rest.strip_suffix('Z'));
    let is_ms = |digits: &str| digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit());
    assert!(digits.is_some_and(is_ms), "{text}");
}

#[test]
fn each_request_has_one_line_and_stdout_has_nothing_else() {
    let origin = origin();
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    for number in 0..50 {
        proxy.get(&format!("/{number}")).send_on(&mut client);
    }
    proxy.get("/last").send();
    proxy.access_line("/last");

    // `access_lines` fails on a line that is not JSON.
    let lines = proxy.access_lines();
    let paths: Vec<&str> = lines.iter().filter_map(|line| line["path"].as_str()).collect();
    let expected: Vec<String> = (0..50).map(|number| format!("/{number}")).collect();
    assert_eq!(paths[..50], expected);
    assert_eq!((paths.len(), paths[50]), (51, "/last"));
}

#[test]
fn a_line_comes_promptly() {
    let proxy = Proxy::start("");
    proxy.get("/warm").send();
    proxy.access_line("/warm");

    let started = Instant::now();
    proxy.get("/prompt").send();
    proxy.access_line("/prompt");

    // 100 ms are promised; the rest is for a busy machine. Without a promise nothing would come: no
    // request follows that could push it out.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn credentials_are_never_shown() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nSet-Cookie: session=hidden-set-cookie\r\nContent-Length: 0\r\n\r\n",
    );
    let config = format!(
        "auth = \"a\"\n[log]\nlevel = \"trace\"\n{}\n\
         [auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"hidden-token\"]\n",
        origin.config()
    );
    let proxy = Proxy::start(&config);

    for token in ["hidden-token", "hidden-wrong-token"] {
        let request = proxy.get("/secret").bearer(token);
        request.header("Cookie", "a=hidden-cookie").header("Proxy-Authorization", "hidden").send();
    }
    let two = || Some(proxy.access_lines()).filter(|lines| lines.len() == 2);
    let lines = eventually("two lines", two);

    assert_eq!((&lines[0]["status"], &lines[1]["status"]), (&json!(200), &json!(401)));
    let said = everything_said(&proxy);
    assert!(!said.contains("hidden"), "{said}");
}

#[test]
fn without_access_log_stdout_stays_empty() {
    let origin = origin();
    let mut proxy = Proxy::start(&format!("log = {{ access = false }}\n{}", origin.config()));

    proxy.get("/quiet").send();
    proxy.program.signal("TERM");
    proxy.program.exit_code();

    assert_eq!(proxy.program.stdout(), Vec::<String>::new());
}

#[test]
fn a_client_cannot_forge_a_line() {
    let origin = origin();
    let proxy = Proxy::start(&origin.config());
    let mut client = Client::connect(proxy.address);

    let agent = "\"}\\{\"path\":\"/forged\"\tta\u{fc}b \u{1f600}";
    client
        .write(format!("GET /q%22%0a\"x HTTP/1.1\r\nHost: a.test\r\nUser-Agent: {agent}\r\n\r\n"));
    let status = client.answer("GET").status;
    proxy.get("/after").send();
    proxy.access_line("/after");

    let lines = proxy.access_lines();
    let line = lines.iter().find(|line| line["status"] == status).expect("has a line");
    assert_eq!(line["user_agent"], agent);
    assert_eq!(line["path"], "/q%22%0a\"x");
    assert_eq!(lines.len(), 2, "{lines:#?}");
}
