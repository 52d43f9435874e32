//! How many connections clients may have: all together, each of them, and as many as the system
//! has files for.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use crate::support::{
    Client, Launch, Origin, Program, Proxy, Request, eventually, named_routes, proxy_binary,
};

const ALL: &str = "proxy_connections_rejected_total{reason=\"max_connections\"}";
const PER_CLIENT: &str = "proxy_connections_rejected_total{reason=\"max_connections_per_client\"}";
const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn world(server: &str) -> Proxy {
    Proxy::start(&format!("[server]\n{server}\n{}", named_routes([("mine", "")])))
}

/// A connection that has been served and is kept.
fn kept(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.write(GET);
    assert_eq!(client.answer("GET").text(), "mine");
    client
}

/// The status that a new connection gets.
fn status(address: SocketAddr) -> u16 {
    let mut client = Client::connect(address);
    client.write(GET);
    client.answer("GET").status
}

#[test]
fn a_connection_too_many_is_answered_503_and_closed() {
    let proxy = world("max_connections = 2");
    let (first, mut second) = (kept(proxy.address), kept(proxy.address));

    let mut third = Client::connect(proxy.address);
    let answer = third.answer("GET");

    assert_eq!(answer.status_line, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(answer.text(), r#"{"message": "Too many connections"}"#);
    let why = "proxy; error=connection_limit_reached; details=\"too_many_connections\"";
    assert_eq!(answer.header("proxy-status"), Some(why));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(third.is_closed());
    assert_eq!(proxy.metric(ALL), 1.0);
    assert_eq!(proxy.metric("proxy_errors_total{reason=\"too_many_connections\"}"), 1.0);
    assert_eq!(proxy.metric("proxy_connections"), 2.0);

    // Who has a connection keeps it, and who leaves makes room.
    second.write(GET);
    assert_eq!(second.answer("GET").text(), "mine");
    drop(first);
    eventually("room for another", || (status(proxy.address) == 200).then_some(()));
}

/// Closing at once would reset the connection as soon as the client says anything.
#[test]
fn a_client_that_is_turned_away_may_still_send_its_request() {
    let proxy = world("max_connections = 1");
    let _kept = kept(proxy.address);
    for _ in 0..20 {
        let mut client = Client::connect(proxy.address);
        client.stream.get_ref().peek(&mut [0]).expect("the answer comes first");
        client.write("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8000\r\n\r\n");
        for _ in 0..8 {
            client.write([b'x'; 1000]);
        }
        assert_eq!(client.answer("POST").status, 503);
    }
    assert_eq!(proxy.metric(ALL), 20.0);
}

#[test]
fn the_bound_holds_over_all_workers_and_listeners() {
    let config = format!(
        "[server]\nmax_connections = 50\n{}{}",
        named_routes([("mine", "")]),
        "[[listeners]]\nbind = \"127.0.0.1:0\"\n".repeat(2)
    );
    let (mut proxy, _folder) = Launch::with(&config).run(&["--workers", "3"]).start();
    let addresses = [proxy.listening("traffic", 0), proxy.listening("traffic", 1)];
    let mut clients: Vec<Client> =
        (0..150).map(|number| Client::connect(addresses[number % 2])).collect();
    let served = clients.iter_mut().filter(|client| {
        // Those beyond the bound are answered and may be gone already.
        use std::io::Write;
        let _ = client.stream.get_ref().write_all(GET.as_bytes());
        true
    });
    let statuses: Vec<u16> = served.map(|client| client.answer("GET").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 50);
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 100);
}

/// A client of that address, as a load balancer announces it.
fn client_at(proxy: SocketAddr, address: &str) -> Client {
    let family = if address.contains(':') { "TCP6" } else { "TCP4" };
    let mut client = Client::connect(proxy);
    client.write(format!("PROXY {family} {address} {address} 4711 80\r\n{GET}"));
    client
}

#[test]
fn each_client_has_a_bound_of_its_own() {
    let config = format!(
        "[server]\nmax_connections_per_client = 2\n{}\
         [[listeners]]\nbind = \"127.0.0.1:0\"\nproxy_protocol = true\n",
        named_routes([("mine", "")])
    );
    let (mut proxy, _folder) = Launch::with(&config).run(&["--workers", "2"]).start();
    let address = proxy.listening("traffic", 0);
    let open = |of: &str| {
        let mut client = client_at(address, of);
        let status = client.answer("GET").status;
        (client, status)
    };
    let (first, second) = (open("192.0.2.1"), open("192.0.2.1"));
    let (other, same_network) = (open("192.0.2.2"), [open("2001:db8::1"), open("2001:db8::2")]);
    let all = [&first, &second, &other, &same_network[0], &same_network[1]];
    assert!(all.iter().all(|(_, status)| *status == 200));

    assert_eq!(open("192.0.2.1").1, 503);
    assert_eq!(open("2001:db8::3").1, 503);
    assert_eq!(open("2001:db8:0:1::3").1, 200);

    let admin = proxy.listening("admin", 0);
    let page = Request::new(admin, "GET", "/metrics").send().text();
    assert!(page.contains(&format!("{PER_CLIENT} 2\n")), "{page}");
    drop(first);
    eventually("room for another", || (open("192.0.2.1").1 == 200).then_some(()));
}

#[test]
fn without_a_header_the_address_of_the_socket_counts() {
    let proxy = world("max_connections_per_client = 1");
    let kept = kept(proxy.address);
    assert_eq!(status(proxy.address), 503);
    assert_eq!((proxy.metric(PER_CLIENT), proxy.metric(ALL)), (1.0, 0.0));
    drop(kept);
    eventually("room for another", || (status(proxy.address) == 200).then_some(()));
}

#[test]
fn peers_over_unix_sockets_are_not_one_client() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("proxy.sock");
    let config = format!(
        "[server]\nmax_connections_per_client = 1\n{}[[listeners]]\nbind = \"unix:{}\"\n",
        named_routes([("mine", "")]),
        path.display()
    );
    let (mut proxy, _folder) = Launch::with(&config).run(&[]).start();
    proxy.listening_on("traffic", 0);
    let get = Request::new(([127, 0, 0, 1], 80).into(), "GET", "/");
    let mut clients = [(); 3].map(|()| Client::connect_unix(&path));
    for client in &mut clients {
        assert_eq!(get.send_on(client).text(), "mine");
    }
}

/// The proxy with at most so many open files.
fn with_open_files(most: u32, file: &Path) -> Program {
    let mut command = Command::new("sh");
    let run = format!("ulimit -n {most} && exec \"$0\" run -c \"$1\" --listen 127.0.0.1:0");
    command.arg("-c").arg(run).arg(proxy_binary()).arg(file);
    Program::spawn(command.env("PROXY_ADMIN", "127.0.0.1:0").env("PROXY_WORKERS", "1"))
}

/// Processor time that the program has used, in ticks.
fn processor_time(program: &Program) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.pid())).expect("is alive");
    let fields = stat.rsplit(')').next().expect("has fields").split_whitespace();
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("is a number")).sum()
}

#[test]
fn a_proxy_without_files_for_more_connections_waits_and_serves_again() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("proxy.toml");
    let config = format!("[server]\nmax_connections = 20000\n{}", named_routes([("mine", "")]));
    fs::write(&file, config).expect("the file can be written");
    let mut proxy = with_open_files(60, &file);
    let address = proxy.listening("traffic", 0);
    assert!(
        proxy.stderr().iter().any(|line| line.contains("limit of open files is lower")),
        "{:?}",
        proxy.stderr()
    );

    // The kernel takes them all; the proxy has no files for the last of them.
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(address)).collect();
    let complaints = |proxy: &Program| {
        proxy.stderr().iter().filter(|line| line.contains("Too many open files")).count()
    };
    eventually("a complaint", || (complaints(&proxy) > 0).then_some(()));
    let (before, heard) = (processor_time(&proxy), complaints(&proxy));
    eventually("two tries more", || (complaints(&proxy) >= heard + 2).then_some(()));
    let used = processor_time(&proxy) - before;
    assert!(used < 50, "{used} ticks in a second: it spins");

    clients.truncate(1);
    clients[0].write(GET);
    assert_eq!(clients[0].answer("GET").text(), "mine");
    assert_eq!(kept(address).stream.get_ref().peer_addr().expect("is open"), address);
    assert!(proxy.is_running());
}

#[test]
fn without_a_bound_in_the_file_there_are_as_many_as_the_system_has_files_for() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("proxy.toml");
    fs::write(&file, named_routes([("mine", "")])).expect("the file can be written");
    for most in [200, 1024, 4096, 20_000] {
        let mut proxy = with_open_files(most, &file);
        let address = proxy.listening("traffic", 0);
        assert_eq!(status(address), 200);
        proxy.signal("TERM");
        assert_eq!(proxy.exit_code(), Some(0));
        let told = proxy.stderr();
        assert!(!told.iter().any(|line| line.contains("limit of open files")), "{most}: {told:#?}");
    }
    // (200 - 64 - 8) / 2.
    let mut proxy = with_open_files(200, &file);
    let address = proxy.listening("traffic", 0);
    let _clients: Vec<Client> = (0..64).map(|_| kept(address)).collect();
    assert_eq!(status(address), 503);
    assert!(!proxy.stderr().iter().any(|line| line.contains("Too many open files")));
}

#[test]
fn connections_are_counted_as_they_open_and_close() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let proxy = Proxy::start(&origin.config());
    let clients: Vec<Client> = (0..5).map(|_| Client::connect(proxy.address)).collect();
    proxy.wait_for_metric("proxy_connections", 5.0);
    drop(clients);
    proxy.wait_for_metric("proxy_connections", 0.0);
}
