//! The commands that say something and end: check, schema, healthcheck, version and help.
//! Exit codes: 0 ok, 1 invalid or not ready, 2 usage.

use std::{path::Path, process::Command};

use crate::support::{ClosedPort, Ended, Origin, Proxy, Request, proxy_binary};

fn proxy(args: &[&str]) -> Ended {
    Ended::of(Command::new(proxy_binary()).args(args))
}

#[test]
fn version_is_the_packages() {
    let ended = proxy(&["--version"]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stdout, concat!("proxy ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn help_names_every_command_flag_and_variable() {
    let ended = proxy(&["--help"]);
    assert_eq!(ended.code, Some(0));
    for word in [
        "run",
        "check",
        "explain",
        "schema",
        "healthcheck",
        "--config",
        "--listen",
        "--admin",
        "--log ",
        "--log-format",
        "--workers",
        "PROXY_CONFIG",
        "PROXY_LISTEN",
        "PROXY_ADMIN",
        "PROXY_LOG=",
        "PROXY_LOG_FORMAT",
        "PROXY_WORKERS",
    ] {
        assert!(ended.stdout.contains(word), "{word} in {}", ended.stdout);
    }
}

#[test]
fn a_wrong_command_line_is_2_and_prints_nothing_on_stdout() {
    for args in [
        &["frobnicate"][..],
        &["--frobnicate"],
        &["check", "--listen", "127.0.0.1:0"],
        &["run", "--listen", "8080"],
        &["run", "--admin", "localhost"],
        &["run", "--workers", "0"],
        &["run", "--workers", "513"],
        &["run", "--workers", "two"],
        &["run", "--log", "loud"],
        &["run", "--log-format", "xml"],
        &["explain", "GET"],
        &["explain", "G T", "/"],
        &["explain", "GET", "no url"],
        &["explain", "GET", "/", "-H", "no field"],
        &["healthcheck", "--port", "80"],
    ] {
        let ended = proxy(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(!ended.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn check_without_a_file_checks_the_demo() {
    let ended = Ended::of(Command::new(proxy_binary()).arg("check").env_remove("PROXY_CONFIG"));
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "ok: 1 listeners, 1 routes, 2 services\n")
    );
}

#[test]
fn check_takes_its_file_from_the_environment() {
    let ended = Ended::of(
        Command::new(proxy_binary()).arg("check").env("PROXY_CONFIG", "/nowhere/proxy.toml"),
    );
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.starts_with("/nowhere/proxy.toml: cannot be read: "), "{}", ended.stderr);
}

#[test]
fn check_says_every_mistake_on_stderr_and_ends_with_1() {
    let ended =
        Ended::with_file("check", "auht = 1\n[server]\nworkers = 0\n[log]\nlevle = \"x\"\n", &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let places: Vec<&str> =
        ended.stderr.lines().map(|line| line.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(places, ["FILE:1:1", "FILE:3:11", "FILE:5:1"]);
}

#[test]
fn schema_is_json_that_knows_every_section() {
    let ended = proxy(&["schema"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let schema: serde_json::Value = serde_json::from_str(&ended.stdout).expect("is JSON");
    for section in
        ["auth", "server", "log", "listeners", "admin", "auth_schemes", "routes", "services"]
    {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn healthcheck_of_a_running_proxy_is_0() {
    let running = Proxy::start("");
    let ended = proxy(&["healthcheck", "--url", &format!("http://{}/readyz", running.admin)]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// A proxy whose admin listener asks for a token that stands in a file, and that file.
fn with_token_file(folder: &Path) -> (Proxy, String) {
    let file = folder.join("token").display().to_string();
    std::fs::write(&file, "admin-token\n").expect("the file can be written");
    (Proxy::start(&format!("[admin]\ntoken = {{ file = \"{file}\" }}\n")), file)
}

#[test]
fn whether_a_proxy_runs_is_told_without_the_token_and_all_else_is_not() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (running, _file) = with_token_file(folder.path());
    let status = |method: &str, page: &str| Request::new(running.admin, method, page).send().status;
    for page in ["/livez", "/readyz"] {
        assert_eq!(
            (status("GET", page), status("HEAD", page), status("POST", page)),
            (200, 200, 405)
        );
    }
    for page in ["/metrics", "/", "/readyz/", "/nowhere", "//readyz", "/%72eadyz"] {
        assert_eq!(status("GET", page), 401, "{page}");
    }
    let ended = proxy(&["healthcheck", "--url", &format!("http://{}/readyz", running.admin)]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn healthcheck_shows_the_token_of_a_file() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (running, file) = with_token_file(folder.path());
    let wrong = folder.path().join("wrong").display().to_string();
    std::fs::write(&wrong, "two\nlines of a secret").expect("the file can be written");
    let url = format!("http://{}/metrics", running.admin);
    let check = |flags: &[&str]| proxy(&[&["healthcheck", "--url", &url], flags].concat());
    assert_eq!(check(&["--token-file", &file]).code, Some(0));
    let without = check(&[]);
    assert_eq!(
        (without.code, without.stderr.contains("401")),
        (Some(1), true),
        "{}",
        without.stderr
    );
    let bad = check(&["--token-file", &wrong]);
    assert_eq!((bad.code, bad.stderr.contains("lines")), (Some(1), false), "{}", bad.stderr);
    assert!(check(&["--token-file", "/nowhere"]).stderr.contains("no token"));
}

#[test]
fn healthcheck_of_a_dead_port_is_1_and_says_why() {
    let closed = ClosedPort::reserve();
    let ended = proxy(&["healthcheck", "--url", &format!("http://{}/readyz", closed.address)]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("not ready: no answer: Connection refused"), "{}", ended.stderr);
}

#[test]
fn healthcheck_of_anything_but_200_is_1_and_says_what_came() {
    for (answer, said) in [
        ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "503"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "204"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0"),
    ] {
        let origin = Origin::answering(answer);
        let ended = proxy(&["healthcheck", "--url", &format!("http://{}/readyz", origin.address)]);
        assert_eq!(ended.code, Some(1), "{answer}");
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
}

const HALF_GUARDED: &str = "[auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"secret-token\"]\n\
                            [[routes]]\nname = \"write\"\npath = \"/x\"\nmethods = [\"POST\"]\n\
                            auth = \"a\"\nservice = \"s\"\n\
                            [[routes]]\nname = \"rest\"\nservice = \"s\"\n\
                            [services.s]\nendpoints = [\"http://127.0.0.1:1\"]\n";

#[test]
fn check_warns_of_a_path_that_is_guarded_for_some_methods_and_open_for_others() {
    let ended = Ended::with_file("check", HALF_GUARDED, &[]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "ok: 1 listeners, 2 routes, 1 services\n")
    );
    assert_eq!(
        ended.stderr,
        "FILE:4:1: warning: route \"write\" guards its path for POST alone: any other method \
         goes to route \"rest\", which does not ask for the same (leave out \"methods\" of the one, or guard the \
         other as well)\n"
    );
    let all = Ended::with_file("check", &HALF_GUARDED.replace("methods = [\"POST\"]\n", ""), &[]);
    assert_eq!((all.code, all.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_start_logs_each_warning_once() {
    let running = Proxy::start(HALF_GUARDED);
    let warnings: Vec<String> = running
        .program
        .stderr()
        .into_iter()
        .filter(|line| line.contains("guards its path for POST alone"))
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let event: serde_json::Value = serde_json::from_str(&warnings[0]).expect("is JSON");
    assert_eq!(event["level"], "WARN");
    assert!(event.to_string().contains("proxy.toml:4:1"), "{event}");
}
