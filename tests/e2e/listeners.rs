//! Where traffic is taken: Unix sockets beside TCP, both families of addresses at once, and what
//! is known of a client that has no address.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::PathBuf,
    process::Command,
};

use crate::support::{
    Answer, Client, Ended, Head, Launch, Origin, Program, Proxy, Request, eventually, named_routes,
    proxy_binary, skip,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A path for a socket in a folder of its own.
fn socket() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("proxy.sock");
    (folder, path)
}

/// A proxy with one listener, on a Unix socket, in front of an origin.
struct World {
    origin: Origin,
    proxy: Program,
    path: PathBuf,
    _folders: [tempfile::TempDir; 2],
}

impl World {
    fn start(server: &str) -> Self {
        let origin = Origin::answering(OK);
        let (folder, path) = socket();
        let bind = format!("unix:{}", path.display());
        let config = format!("{server}\n[[listeners]]\nbind = \"{bind}\"\n{}", origin.config());
        let (mut proxy, other) = Launch::with(&config).run(&[]).start();
        assert_eq!(proxy.listening_on("traffic", 0), bind);
        Self { origin, proxy, path, _folders: [folder, other] }
    }

    fn send(&self, fields: &[(&str, &str)]) -> (Answer, Head) {
        let request = Request::new(self.origin.address, "GET", "/a");
        let add = |request: Request, (name, value): &(&str, &str)| request.header(name, value);
        let request = fields.iter().fold(request, add);
        let answer = request.send_on(&mut Client::connect_unix(&self.path));
        (answer, self.origin.last_head())
    }

    fn client_ip(&self) -> serde_json::Value {
        eventually("an access line", || {
            let line = self.proxy.stdout().pop()?;
            let line: serde_json::Value = serde_json::from_str(&line).expect("is JSON");
            Some(line["client_ip"].clone())
        })
    }
}

#[test]
fn a_client_over_a_unix_socket_is_served_and_has_no_address() {
    let world = World::start("");
    let (answer, head) = world.send(&[("X-Other", "1"), ("X-Forwarded-For", "1.2.3.4")]);
    assert_eq!(answer.text(), "ok");
    assert_eq!(head.header("x-forwarded-for"), None);
    // Every other field is what it is over TCP.
    assert_eq!(head.headers("x-forwarded-proto"), ["http"]);
    assert!(head.header("x-forwarded-host").is_some() && head.header("x-request-id").is_some());
    assert_eq!(head.headers("x-other"), ["1"]);
    assert_eq!(world.client_ip(), serde_json::Value::Null);
}

#[test]
fn networks_do_not_make_a_peer_over_a_unix_socket_trusted() {
    let world = World::start("[server]\ntrusted_proxies = [\"0.0.0.0/0\", \"::/0\"]");
    let (_, head) = world.send(&[("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https")]);
    assert_eq!(head.header("x-forwarded-for"), None);
    assert_eq!(head.headers("x-forwarded-proto"), ["http"]);
    assert_eq!(world.client_ip(), serde_json::Value::Null);
}

#[test]
fn a_trusted_peer_over_a_unix_socket_speaks_for_the_client() {
    let world = World::start("[server]\ntrusted_proxies = [\"unix\"]");
    let given = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "1.2.3.4")];
    let (_, head) = world.send(&[&given[..], &[("X-Forwarded-Proto", "https")]].concat());
    assert_eq!(head.headers("x-forwarded-for"), ["6.6.6.6, 1.2.3.4"]);
    assert_eq!(head.headers("x-forwarded-proto"), ["https"]);
    assert_eq!(world.client_ip(), "1.2.3.4");
}

#[test]
fn a_trusted_peer_over_a_unix_socket_may_say_nothing() {
    let world = World::start("[server]\ntrusted_proxies = [\"unix\"]");
    let (_, head) = world.send(&[("X-Forwarded-For", "")]);
    assert_eq!(head.header("x-forwarded-for"), None);
    assert_eq!(world.client_ip(), serde_json::Value::Null);
}

#[test]
fn a_connection_over_a_unix_socket_is_kept_and_carries_large_bodies() {
    let world = World::start("");
    let mut client = Client::connect_unix(&world.path);
    let large = vec![b'x'; 1 << 20];
    for _ in 0..3 {
        let request = Request::new(world.origin.address, "POST", "/a").body(&large);
        assert_eq!(request.send_on(&mut client).text(), "ok");
    }
}

#[test]
fn a_stop_closes_idle_connections_and_removes_the_socket() {
    let mut world = World::start("");
    let mut idle = Client::connect_unix(&world.path);
    let get = Request::new(world.origin.address, "GET", "/a");
    assert_eq!(get.send_on(&mut idle).status, 200);
    assert!(world.path.exists());
    world.proxy.signal("TERM");
    assert!(idle.is_closed());
    assert_eq!(world.proxy.exit_code(), Some(0));
    assert!(!world.path.exists());
}

fn serving(path: &std::path::Path, more: &str) -> Launch {
    let config = format!(
        "{}[[listeners]]\nbind = \"unix:{}\"\n{more}\n",
        named_routes([("mine", "")]),
        path.display()
    );
    Launch::with(&config).run(&[])
}

#[test]
fn the_socket_that_a_killed_process_left_is_replaced() {
    let (_folder, path) = socket();
    let (mut first, _first_folder) = serving(&path, "").start();
    first.listening_on("traffic", 0);
    first.signal("KILL");
    first.exit_code();
    assert!(path.exists());
    let (mut second, _second_folder) = serving(&path, "").start();
    second.listening_on("traffic", 0);
    let get = Request::new(([127, 0, 0, 1], 80).into(), "GET", "/");
    assert_eq!(get.send_on(&mut Client::connect_unix(&path)).text(), "mine");
}

#[test]
fn a_socket_that_somebody_listens_on_is_named_and_left_alone() {
    let (_folder, path) = socket();
    let _listener = UnixListener::bind(&path).expect("can be bound");
    let ended = serving(&path, "").end();
    assert_eq!(ended.code, Some(1));
    let start = format!("cannot listen on unix:{}: ", path.display());
    assert!(ended.stderr.starts_with(&start), "{}", ended.stderr);
    assert!(ended.stderr.contains("another process has it"), "{}", ended.stderr);
    assert!(path.exists());
}

#[test]
fn a_start_that_fails_leaves_no_socket() {
    let (_folder, path) = socket();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("is bound");
    let ended = serving(&path, &format!("[[listeners]]\nbind = \"{address}\"")).end();
    assert_eq!(ended.code, Some(1));
    assert!(!path.exists());
}

#[test]
fn the_socket_has_the_mode_of_the_configuration() {
    let (_folder, path) = socket();
    let (mut proxy, _other) = serving(&path, "mode = \"0602\"").start();
    proxy.listening_on("traffic", 0);
    let mode = fs::metadata(&path).expect("is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o602);
}

#[test]
fn the_admin_listener_may_be_a_unix_socket_without_a_token() {
    let (_folder, path) = socket();
    let bind = format!("unix:{}", path.display());
    let launch = Launch::with("").run(&["--listen", "127.0.0.1:0"]).env("PROXY_ADMIN", &bind);
    let (mut proxy, _other) = launch.start();
    assert_eq!(proxy.listening_on("admin", 0), bind);
    let healthcheck =
        || Ended::of(Command::new(proxy_binary()).args(["healthcheck", "--url", &bind])).code;
    assert_eq!(healthcheck(), Some(0));
    let metrics = Request::new(([127, 0, 0, 1], 80).into(), "GET", "/metrics");
    let page = metrics.send_on(&mut Client::connect_unix(&path)).text();
    assert!(page.contains("proxy_build_info"), "{page}");
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), Some(0));
    assert!(!path.exists());
    assert_eq!(healthcheck(), Some(1));
}

#[test]
fn a_listener_for_all_ipv6_addresses_takes_ipv4_and_shows_it_as_such() {
    if TcpListener::bind("[::1]:0").is_err() {
        skip("no IPv6 here");
        return;
    }
    let origin = Origin::answering(OK);
    let proxy = Proxy::start_with(&origin.config(), &["--listen", "[::]:0", "--workers", "1"]);
    let port = proxy.address.port();
    for (target, address) in [("/4", "127.0.0.1"), ("/6", "::1")] {
        let listener = (address.parse::<std::net::IpAddr>().expect("is one"), port).into();
        assert_eq!(Request::new(listener, "GET", target).send().text(), "ok");
        assert_eq!(origin.last_head().headers("x-forwarded-for"), [address]);
        assert_eq!(proxy.access_line(target)["client_ip"], address);
    }
}
