//! `type = "mtls"`: certificates of clients are asked for per listener, so who came in by another
//! one has shown none, whatever host it asks for.

use crate::support::{Authority, Origin, Proxy, Shaking, TlsFiles};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_host_that_wants_a_certificate_cannot_be_reached_by_a_listener_that_asks_for_none() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let both = authority.server(&["open.test", "closed.test"]);
    let (asking, silent) = (TlsFiles::new("", &[&both]), TlsFiles::new("", &[&both]));
    let origin = Origin::answering(OK);
    let config = format!(
        "{}{}client_auth = \"optional\"\n{}[auth_schemes.certificate]\ntype = \"mtls\"\n\
         [[routes]]\nhost = \"closed.test\"\nauth = \"certificate\"\nservice = \"origin\"\n{}",
        asking.config,
        asking.client_ca(&clients),
        silent.config,
        origin.config()
    );
    let mut proxy = Proxy::start_with(&config, &["--workers", "1"]);
    let silent_address = proxy.program.listening("traffic", 1);
    let known = clients.client("alice.test");
    let anonymous = Shaking::trusting(&authority);
    let alice = || Shaking::showing(&authority, &known);
    let status = |shaking: &Shaking, address, name: &str, host: &str| {
        let mut client = shaking.connect(address, name);
        proxy.get("/").header("Host", host).send_on(&mut client).status
    };
    let address = proxy.address;

    assert_eq!(status(&alice(), address, "closed.test", "closed.test"), 200);
    assert_eq!(status(&anonymous, address, "closed.test", "closed.test"), 401);
    assert_eq!(status(&anonymous, address, "open.test", "closed.test"), 401);
    // By the other listener: nobody is asked, so nobody is known, not even who has a certificate.
    for shaking in [anonymous, alice()] {
        for name in ["open.test", "closed.test"] {
            assert_eq!(status(&shaking, silent_address, name, "closed.test"), 401, "{name}");
            assert_eq!(status(&shaking, silent_address, name, "open.test"), 200, "{name}");
        }
    }
    assert_eq!(origin.heads().len(), 5);
}

/// As SPIFFE issues them.
#[test]
fn a_certificate_without_a_subject_is_known_by_its_alternative_name() {
    const API: &str = "spiffe://example.test/api";
    let (authority, clients) = (Authority::new(), Authority::new());
    let tls = TlsFiles::new("", &[&authority.server(&["a.test"])]);
    let origin = Origin::answering(OK);
    let route = |path: &str| {
        format!("[[routes]]\npath = \"/{path}\"\nauth = \"{path}\"\nservice = \"origin\"\n")
    };
    let config = format!(
        "{}{}[auth_schemes.all]\ntype = \"mtls\"\n[auth_schemes.api]\ntype = \"mtls\"\n\
         subjects = [\"{API}\"]\n[auth_schemes.web]\ntype = \"mtls\"\n\
         subjects = [\"CN=web\", \"URI:spiffe://example.test/web\"]\n{}{}{}{}",
        tls.config,
        tls.client_ca(&clients),
        route("all"),
        route("api"),
        route("web"),
        origin.config()
    );
    let proxy = Proxy::start(&config);
    let shaking = Shaking::showing(&authority, &clients.workload(API));
    let mut client = shaking.connect(proxy.address, "a.test");
    for (path, status) in [("/all", 200), ("/api", 200), ("/web", 403)] {
        let answer = proxy.get(path).header("Host", "a.test").send_on(&mut client);
        assert_eq!(answer.status, status, "{path}");
    }
    assert_eq!(proxy.access_line("/api")["subject"], API);
}
