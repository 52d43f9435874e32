//! Routes that split their requests among services by weight.

use std::collections::BTreeSet;

use crate::support::{Ended, Origin, Proxy};

fn origin(name: &str) -> Origin {
    Origin::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{name}"))
}

fn config(split: &str, v1: &Origin, v2: &Origin) -> String {
    format!(
        "[[routes]]\nname = \"split\"\npath = \"/a/{{*rest}}\"\nsplit = {split}\n\
         rewrite = \"/b/{{*rest}}\"\n[services.v1]\nendpoints = [\"http://{}\"]\n\
         [services.v2]\nendpoints = [\"http://{}\"]\n",
        v1.address, v2.address
    )
}

#[test]
fn every_part_of_a_split_gets_requests() {
    let (v1, v2) = (origin("v1"), origin("v2"));
    let split = "[{ service = \"v1\" }, { service = \"v2\", weight = 1 }]";
    let proxy = Proxy::start(&config(split, &v1, &v2));
    // That one of them gets none of 100 happens once in 10^29 runs.
    let answers: BTreeSet<String> = (0..100).map(|_| proxy.get("/a/1").send().text()).collect();
    assert_eq!(answers, BTreeSet::from(["v1".to_owned(), "v2".to_owned()]));
    assert_eq!(v1.last_head().line, "GET /b/1 HTTP/1.1");
    assert_eq!(v2.last_head().line, "GET /b/1 HTTP/1.1");
}

#[test]
fn a_part_of_weight_0_gets_no_request() {
    let (v1, v2) = (origin("v1"), origin("v2"));
    let split = "[{ service = \"v1\", weight = 0 }, { service = \"v2\", weight = 3 }]";
    let proxy = Proxy::start(&config(split, &v1, &v2));
    for _ in 0..50 {
        assert_eq!(proxy.get("/a/1").send().text(), "v2");
    }
    assert_eq!(v1.connections(), 0);
    assert_eq!(proxy.access_line("/a/1")["service"], "v2");
}

#[test]
fn explain_names_the_parts_with_their_shares() {
    let (v1, v2) = (origin("v1"), origin("v2"));
    let split = "[{ service = \"v1\", weight = 90 }, { service = \"v2\", weight = 10 }]";
    let ended = Ended::with_file("explain", &config(split, &v1, &v2), &["GET", "/a/1"]);
    let expected = "route \"split\" sends it to service v1 (90 of 100) or v2 (10 of 100) as /b/1";
    assert_eq!(ended.stdout.lines().next(), Some(expected));
}
