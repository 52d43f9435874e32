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
