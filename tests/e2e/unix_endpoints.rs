//! Endpoints that are Unix sockets, in nginx's spelling: `unix:/run/app.sock:/base`.

use std::path::{Path, PathBuf};

use crate::support::{Answer, Origin, Proxy, UnixDoor};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A folder and a socket in it that does not exist yet.
fn socket() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("app.sock");
    (folder, path)
}

fn config(path: &Path, base: &str, keys: &str) -> String {
    format!(
        "[[routes]]\nname = \"all\"\nservice = \"app\"\n\n\
         [services.app]\nendpoints = [\"unix:{}{base}\"]\n{keys}\n",
        path.display()
    )
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 502);
    let why = "proxy; error=connection_refused; details=\"connection_refused\"";
    assert_eq!(answer.headers("proxy-status"), [why]);
}

#[test]
fn requests_go_to_the_socket_under_its_base() {
    let origin = Origin::start(|exchange| {
        while let Some(head) = exchange.request() {
            let body = exchange.body(&head);
            exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            exchange.write(body);
        }
    });
    let (_folder, path) = socket();
    let _door = UnixDoor::open(&path, origin.address);
    let proxy = Proxy::start(&config(&path, ":/base/", ""));

    let got = proxy.get("/a?q=1").header("Host", "shop.test").send();
    let sent = proxy.request("POST", "/b").body("twelve bytes").send();

    assert_eq!((got.status, got.text().as_str()), (200, ""));
    assert_eq!((sent.status, sent.text().as_str()), (200, "twelve bytes"));
    let heads = origin.heads();
    let lines: Vec<&str> = heads.iter().map(|head| head.line.as_str()).collect();
    assert_eq!(lines, ["GET /base/a?q=1 HTTP/1.1", "POST /base/b HTTP/1.1"]);
    assert_eq!(heads[0].headers("host"), ["shop.test"]);
    assert_eq!(origin.connections(), 1, "the connection is used again");
}

#[test]
fn the_socket_s_own_host_is_localhost() {
    let origin = Origin::answering(OK);
    let (_folder, path) = socket();
    let _door = UnixDoor::open(&path, origin.address);
    let proxy = Proxy::start(&config(&path, "", "host = \"endpoint\""));

    assert_eq!(proxy.get("/a").send().text(), "ok");

    assert_eq!(origin.last_head().headers("host"), ["localhost"]);
    assert_eq!(origin.last_head().line, "GET /a HTTP/1.1");
}

#[test]
fn a_socket_that_is_gone_is_a_refused_connection_until_it_is_back() {
    let origin = Origin::answering(OK);
    let (_folder, path) = socket();
    let proxy = Proxy::start(&config(&path, ":/base", ""));

    let before = proxy.get("/before").send();
    let door = UnixDoor::open(&path, origin.address);
    let open = proxy.get("/open").send();
    drop(door);
    let gone = proxy.get("/gone").send();
    let _door = UnixDoor::open(&path, origin.address);
    let back = proxy.get("/back").send();

    assert_refused(&before);
    assert_eq!((open.status, open.text().as_str()), (200, "ok"));
    assert_refused(&gone);
    assert_eq!((back.status, back.text().as_str()), (200, "ok"));
    let url = format!("unix:{}:/base", path.display());
    let labels = format!("service=\"app\",endpoint=\"{url}\"");
    let answered = format!("proxy_upstream_requests_total{{{labels},code=\"200\"}}");
    proxy.wait_for_metric(&answered, 2.0);
    assert_eq!(proxy.access_line("/gone")["endpoint"], url);
}

#[test]
fn the_cause_of_a_refused_connection_is_in_the_debug_log() {
    let (_folder, path) = socket();
    let log = "log = { level = \"debug\", format = \"text\" }\n";
    let proxy = Proxy::start(&format!("{log}{}", config(&path, "", "")));

    proxy.get("/a").send();

    let cause = format!("{}: No such file or directory", path.display());
    crate::support::eventually("the cause", || {
        proxy.program.stderr().iter().any(|line| line.contains(&cause)).then_some(())
    });
}
