//! How a proxy starts: where its configuration comes from, what flags and variables change of it,
//! where it listens, and when it does not start at all.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
};

use crate::support::{ClosedPort, Launch, Program, Proxy, Request, eventually, named_routes};

/// A port that somebody else listens on.
fn taken() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("is bound");
    (listener, address)
}

fn get(address: SocketAddr, target: &str) -> String {
    Request::new(address, "GET", target).send().text()
}

#[test]
fn a_wrong_configuration_starts_nothing() {
    let ended = Launch::with("[server]\nworkers = 0\nmax_bdy = \"1B\"\n").run(&[]).end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert_eq!(ended.stderr.lines().count(), 2, "{}", ended.stderr);
    assert!(!ended.stderr.contains("listening"), "{}", ended.stderr);
}

#[test]
fn a_port_in_use_starts_nothing_and_is_named() {
    let (_listener, address) = taken();
    let config =
        format!("[[listeners]]\nbind = \"127.0.0.1:0\"\n[[listeners]]\nbind = \"{address}\"\n");
    let ended = Launch::with(&config).run(&[]).end();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with(&format!("cannot listen on {address}: ")), "{}", ended.stderr);
    assert!(!ended.stderr.contains("listening"), "{}", ended.stderr);
}

#[test]
fn an_admin_port_in_use_starts_nothing_and_is_named() {
    let (_listener, address) = taken();
    let world = Launch::with("").run(&["--listen", "127.0.0.1:0"]);
    let ended = world.env("PROXY_ADMIN", &address).end();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with(&format!("cannot listen on {address}: ")), "{}", ended.stderr);
}

#[test]
fn without_a_configuration_the_demo_runs() {
    for command in [&["--listen", "127.0.0.1:0"][..], &["run", "--listen", "127.0.0.1:0"]] {
        let mut world = Launch::with("");
        world.command.args(command);
        let (mut program, _folder) = world.start();
        let address = program.listening("traffic", 0);
        assert_eq!(get(address, "/health"), r#"{"status": "ok"}"#);
        assert_eq!(get(address, "/"), r#"{"message": "Not authenticated"}"#);
    }
}

#[test]
fn the_configuration_can_be_named_by_a_variable() {
    for command in [&[][..], &["run"]] {
        let mut world = Launch::with(&named_routes([("mine", "")]));
        world.command.args(command);
        let file = world.file();
        let world = world.env("PROXY_CONFIG", &file).env("PROXY_LISTEN", &"127.0.0.1:0");
        let (mut program, _folder) = world.start();
        assert_eq!(get(program.listening("traffic", 0), "/"), "mine");
    }
}

#[test]
fn a_flag_counts_more_than_its_variable() {
    let (_listener, in_use) = taken();
    let world = Launch::with(&named_routes([("mine", "")]))
        .run(&["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"])
        .env("PROXY_CONFIG", &"/nowhere")
        .env("PROXY_LISTEN", &in_use)
        .env("PROXY_ADMIN", &in_use);
    let (mut program, _folder) = world.start();
    assert_eq!(get(program.listening("traffic", 0), "/"), "mine");
}

#[test]
fn a_variable_counts_more_than_the_file() {
    let (_listener, in_use) = taken();
    let config = format!("[[listeners]]\nbind = \"{in_use}\"\n[admin]\nbind = \"{in_use}\"\n")
        // Two listeners on one address would be a mistake of the file.
        .replacen(&in_use.to_string(), "127.0.0.1:1", 1);
    let world = Launch::with(&config).run(&[]).env("PROXY_LISTEN", &"127.0.0.1:0");
    let (mut program, _folder) = world.start();
    program.listening("traffic", 0);
    let admin = program.listening("admin", 0);
    assert_eq!(get(admin, "/readyz"), r#"{"status": "ready"}"#);
}

#[test]
fn as_many_workers_run_as_the_variable_says() {
    let world =
        |workers| Launch::with("").run(&["--listen", "127.0.0.1:0"]).env("PROXY_WORKERS", &workers);
    let threads = |program: &Program| {
        let tasks = fs::read_dir(format!("/proc/{}/task", program.pid())).expect("is alive");
        tasks.count()
    };
    let ((few, _folder), (many, _other)) = (world(2).start(), world(5).start());
    eventually("three threads more", || (threads(&many) == threads(&few) + 3).then_some(()));
}

#[test]
fn level_and_format_of_events_come_from_flags_or_variables() {
    let closed = ClosedPort::reserve();
    let config = format!(
        "[[routes]]\nservice = \"none\"\n[services.none]\nendpoints = [\"http://{}\"]\n",
        closed.address
    );
    let debug_event = |world: Launch| {
        let (mut program, _folder) = world.env("PROXY_LISTEN", &"127.0.0.1:0").start();
        get(program.listening("traffic", 0), "/");
        eventually("a debug event", || {
            program.stderr().into_iter().find(|line| line.contains("request failed"))
        })
    };
    let text =
        Launch::with(&config).run(&[]).env("PROXY_LOG", &"debug").env("PROXY_LOG_FORMAT", &"text");
    assert!(!debug_event(text).starts_with('{'));
    let json = Launch::with(&config).run(&["--log", "debug", "--log-format", "json"]);
    let event: serde_json::Value = serde_json::from_str(&debug_event(json)).expect("is JSON");
    assert_eq!(event["level"], "DEBUG");
}

#[test]
fn two_listeners_print_two_lines_and_both_serve() {
    let config = format!(
        "{}[[listeners]]\nbind = \"127.0.0.1:0\"\n[[listeners]]\nbind = \"127.0.0.1:0\"\n",
        named_routes([("mine", "")])
    );
    let (mut program, _folder) = Launch::with(&config).run(&[]).start();
    let (first, second) = (program.listening("traffic", 0), program.listening("traffic", 1));
    assert_ne!(first, second);
    assert_eq!((get(first, "/").as_str(), get(second, "/").as_str()), ("mine", "mine"));
}

#[test]
fn listen_replaces_the_first_listener_alone() {
    let (_listener, in_use) = taken();
    let config = format!(
        "{}[[listeners]]\nbind = \"{in_use}\"\n[[listeners]]\nbind = \"127.0.0.1:0\"\n",
        named_routes([("mine", "")])
    );
    let (mut program, _folder) = Launch::with(&config).run(&["--listen", "127.0.0.1:0"]).start();
    for index in [0, 1] {
        assert_eq!(get(program.listening("traffic", index), "/"), "mine");
    }
}

#[test]
fn an_admin_listener_that_others_can_reach_needs_a_token() {
    let flags = ["--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0"];
    let ended = Launch::with("").run(&flags).end();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("0.0.0.0:0") && ended.stderr.contains("token"),
        "{}",
        ended.stderr
    );

    let (mut program, _folder) =
        Launch::with("[admin]\ntoken = \"admin-token\"").run(&flags).start();
    let admin = SocketAddr::from(([127, 0, 0, 1], program.listening("admin", 0).port()));
    let ask = |token: &str| Request::new(admin, "GET", "/metrics").bearer(token).send();
    assert_eq!(Request::new(admin, "GET", "/metrics").send().status, 401);
    assert_eq!((ask("other-token").status, ask("admin-token").status), (401, 200));
}

#[test]
fn stdout_carries_the_access_log_alone() {
    let proxy = Proxy::start(&named_routes([("mine", "")]));
    proxy.get("/a").send();
    proxy.access_line("/a");
    // `access_lines` fails on anything that is not JSON.
    assert_eq!(proxy.access_lines().len(), 1);
}
