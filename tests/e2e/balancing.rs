//! Each policy, as requests see it.

use std::collections::HashMap;

use crate::support::{Answer, Client, Origin, Proxy, pool_of};

/// An endpoint that answers with its own letter.
fn lettered(letter: char) -> Origin {
    Origin::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{letter}"))
}

fn three() -> [Origin; 3] {
    ['a', 'b', 'c'].map(lettered)
}

fn proxy(origins: &[Origin; 3], settings: &str) -> Proxy {
    Proxy::start(&pool_of(&origins.each_ref().map(|origin| origin.address), settings))
}

fn ask(proxy: &Proxy, client: &mut Client, name: &str, value: &str) -> Answer {
    proxy.get("/a").header(name, value).send_on(client)
}

#[test]
fn round_robin_gives_each_its_turn_by_weight() {
    let origins = three();
    let config =
        pool_of(&origins.each_ref().map(|origin| origin.address), "balance = \"round_robin\"")
            .replacen(
                &format!("\"http://{}\"", origins[0].address),
                &format!("{{ url = \"http://{}\", weight = 2 }}", origins[0].address),
                1,
            );
    let proxy = Proxy::start(&config);
    let mut client = Client::connect(proxy.address);
    let letters: String = (0..12).map(|_| proxy.get("/a").send_on(&mut client).text()).collect();
    for turn in letters.as_bytes().chunks(4) {
        let mut turn = turn.to_vec();
        turn.sort_unstable();
        assert_eq!(turn, b"aabc", "{letters}");
    }
}

#[test]
fn random_and_loads_use_every_endpoint() {
    for policy in ["random", "least_requests", "p2c_ewma"] {
        let origins = three();
        let proxy = proxy(&origins, &format!("balance = \"{policy}\""));
        let mut client = Client::connect(proxy.address);
        for _ in 0..200 {
            assert_eq!(proxy.get("/a").send_on(&mut client).status, 200);
        }
        assert!(origins.iter().all(|origin| !origin.heads().is_empty()), "{policy}");
    }
}

#[test]
fn a_hash_keeps_a_key_together_and_spreads_keys() {
    let cases = [("header:x-user", "X-User", ""), ("cookie:sid", "Cookie", "other=1; sid=")];
    for (hash, field, prefix) in cases {
        let origins = three();
        let proxy = proxy(&origins, &format!("balance = {{ hash = \"{hash}\" }}"));
        let mut client = Client::connect(proxy.address);
        let mut placed = HashMap::new();
        for round in 0..3 {
            for user in 0..30 {
                let value = format!("{prefix}{user}");
                let letter = ask(&proxy, &mut client, field, &value).text();
                let known = placed.entry(user).or_insert_with(|| letter.clone());
                assert_eq!(*known, letter, "{hash}: user {user} in round {round}");
            }
        }
        assert!(origins.iter().all(|origin| !origin.heads().is_empty()), "{hash}");
    }
}

#[test]
fn a_sticky_cookie_brings_a_client_back_and_cannot_be_made_up() {
    let origins = three();
    let settings = "balance = { sticky = \"srv\", secret = \"sixteen bytes at least\" }";
    let proxy = proxy(&origins, settings);
    let mut client = Client::connect(proxy.address);
    let first = proxy.get("/a").send_on(&mut client);
    let given = first.header("set-cookie").expect("names the endpoint").to_owned();
    assert!(given.starts_with("srv=") && given.contains("HttpOnly"), "{given}");
    let cookie = given.split(';').next().expect("has a value");
    for _ in 0..20 {
        let answer = ask(&proxy, &mut client, "Cookie", cookie);
        assert_eq!(answer.text(), first.text());
        assert_eq!(answer.header("set-cookie"), None);
    }
    let (name_and_id, _) = cookie.split_once('.').expect("is signed");
    let forged = format!("{name_and_id}.{}", "0".repeat(32));
    let answer = ask(&proxy, &mut client, "Cookie", &forged);
    assert!(answer.header("set-cookie").is_some(), "a forged cookie is as none");
}

#[test]
fn a_split_sends_each_service_its_share() {
    let [one, two, _] = three();
    let config = format!(
        "[[routes]]\nname = \"all\"\nsplit = [{{ service = \"v1\", weight = 80 }}, {{ service = \"v2\", weight = 20 }}]\n\
         [services.v1]\nendpoints = [\"http://{}\"]\n[services.v2]\nendpoints = [\"http://{}\"]\n",
        one.address, two.address
    );
    let proxy = Proxy::start(&config);
    let mut client = Client::connect(proxy.address);
    for _ in 0..500 {
        assert_eq!(proxy.get("/a").send_on(&mut client).status, 200);
    }
    let share = two.heads().len();
    assert!((60..=140).contains(&share), "{share} of 500");
}
