//! One client can take from no other: with 200 requests of one that wait, another is answered. What
//! takes how long is shown by `scripts/checks/shares.py`.

use std::sync::{Arc, Condvar, Mutex};

use sha2::{Digest, Sha256};

use crate::support::{Client, Exchange, Origin, Proxy, Request, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const ACTIVE: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"active\": true, \"sub\": \"bob\"}\n";
const HOSTILE: usize = 200;
const THEIRS: &str = "192.0.2.1";
const OURS: &str = "192.0.2.2";

struct World {
    proxy: Proxy,
    _origin: Origin,
}

impl World {
    fn start(scheme: &str) -> Self {
        let origin = Origin::answering(OK);
        let config = format!(
            "auth = \"main\"\n[server]\nworkers = 1\ntrusted_proxies = [\"127.0.0.1\"]\n\
             [auth_schemes.main]\n{scheme}\n{}",
            origin.config()
        );
        Self { proxy: Proxy::start(&config), _origin: origin }
    }

    fn get(&self, client: &str, authorization: &str) -> Request {
        let request = self.proxy.get("/").header("X-Forwarded-For", client);
        request.header("Authorization", authorization)
    }

    /// Connections with a request that nobody has answered yet.
    fn besiege(&self, authorization: impl Fn(usize) -> String) -> Vec<Client> {
        let besieger = |number| {
            let mut client = Client::connect(self.proxy.address);
            client.write(self.get(THEIRS, &authorization(number)).bytes());
            client
        };
        (0..HOSTILE).map(besieger).collect()
    }
}

/// Answers whoever is not hostile at once, and others when it is told to.
struct Judge {
    server: Origin,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Judge {
    /// `is_hostile` sees the question, and its body.
    fn start(
        is_hostile: impl Fn(&str) -> bool + Send + Sync + 'static,
        answer: &'static str,
    ) -> Self {
        let open: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let gate = Arc::clone(&open);
        let server = Origin::start(move |exchange: &mut Exchange| {
            while let Some(head) = exchange.request() {
                let body = exchange.body(&head);
                let question = format!("{:?}{}", head.fields, String::from_utf8_lossy(&body));
                if is_hostile(&question) {
                    let opened = gate.0.lock().expect("no panic");
                    drop(gate.1.wait_while(opened, |open| !*open).expect("no panic"));
                }
                exchange.write(answer);
            }
        });
        Self { server, open }
    }

    fn questions(&self) -> usize {
        self.server.heads().len()
    }

    fn open(&self) {
        *self.open.0.lock().expect("no panic") = true;
        self.open.1.notify_all();
    }
}

/// The honest client is answered while no hostile one is, and then all of them are.
fn see_shares(world: &World, judge: &Judge, authorization: impl Fn(usize) -> String) {
    let hostile = world.besiege(&authorization);
    eventually("its share", || (judge.questions() >= 64).then_some(()));
    assert_eq!(world.get(OURS, "Bearer honest").send().status, 200);
    assert_eq!(judge.questions(), 65, "half of the places, and the honest one");
    judge.open();
    for mut client in hostile {
        assert_eq!(client.answer("GET").status, 200, "it has waited for its turn");
    }
}

#[test]
fn questions_of_forward_auth_leave_places_for_others() {
    let judge =
        Judge::start(|question| question.contains(THEIRS), "HTTP/1.1 204 No Content\r\n\r\n");
    let world = World::start(&format!(
        "type = \"forward\"\nurl = \"http://{}\"\ntimeout = \"60s\"",
        judge.server.address
    ));
    see_shares(&world, &judge, |number| format!("Bearer hostile-{number}"));
}

#[test]
fn questions_of_introspection_leave_places_for_others() {
    let judge = Judge::start(|question| question.contains("hostile"), ACTIVE);
    let world = World::start(&format!(
        "type = \"introspection\"\nurl = \"http://{}\"\ntimeout = \"60s\"\nclient_id = \"proxy\"\n\
         client_secret = \"a-secret-of-ours\"",
        judge.server.address
    ));
    see_shares(&world, &judge, |number| format!("Bearer hostile-{number}"));
}

/// The honest one shares its network with nobody, the hostile ones are of one /64.
#[test]
fn passwords_of_one_client_leave_threads_for_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let users = folder.path().join("users");
    let hash = bcrypt::hash("right", 12).expect("can be hashed");
    std::fs::write(&users, format!("bob:{hash}\n")).expect("can be written");
    let world = World::start(&format!(
        "type = \"basic\"\nusers = \"{}\"\nfailures = \"off\"",
        users.display()
    ));
    let hostile = world.besiege(|number| basic(&format!("guess{number}:wrong")));
    eventually("the hostile ones", || {
        let in_flight = world.proxy.metric("proxy_errors_total{reason=\"auth_unavailable\"}");
        (in_flight >= 1.0).then_some(())
    });
    assert_eq!(world.get(OURS, &basic("bob:right")).send().status, 200);
    // Those that were turned away are the first to be answered; the others wait still.
    let refused = world.proxy.metric("proxy_auth_total{scheme=\"main\",result=\"wrong\"}");
    assert!(refused < 60.0, "{refused} were checked before it");
    drop(hostile);
}

#[test]
fn wrong_guesses_of_one_client_are_nobody_elses() {
    let token: String = Sha256::digest("honest").iter().map(|byte| format!("{byte:02x}")).collect();
    let world = World::start(&format!(
        "type = \"bearer\"\ntoken_sha256 = [\"{token}\"]\nfailures = {{ requests = 5, per = \"1h\" }}"
    ));
    let hostile = world.besiege(|number| format!("Bearer wrong-{number}"));
    assert_eq!(world.get(OURS, "Bearer honest").send().status, 200);
    let statuses: Vec<u16> =
        hostile.into_iter().map(|mut client| client.answer("GET").status).collect();
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((count(401), count(429)), (5, HOSTILE - 5));
    assert_eq!(world.get(OURS, "Bearer honest").send().status, 200);
}

fn basic(credentials: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    format!("Basic {}", BASE64_STANDARD.encode(credentials))
}
