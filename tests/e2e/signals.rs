//! What signals do to a proxy that is not busy.

use crate::support::{Proxy, eventually, named_routes};

#[test]
fn hup_is_logged_and_ignored() {
    let proxy = Proxy::start(&named_routes([("mine", "")]));
    proxy.program.signal("HUP");
    let event = eventually("an event about HUP", || {
        proxy.program.stderr().into_iter().find(|line| line.contains("HUP"))
    });
    let event: serde_json::Value = serde_json::from_str(&event).expect("is JSON");
    assert_eq!(event["level"], "WARN");
    assert_eq!(proxy.get("/").send().text(), "mine");
}

#[test]
fn a_proxy_that_has_served_ends_with_0_on_term_and_on_int() {
    for signal in ["TERM", "INT"] {
        let mut proxy = Proxy::start(&named_routes([("mine", "")]));
        proxy.get("/").send();
        proxy.program.signal(signal);
        let code = proxy.program.exit_code();
        assert_eq!(code, Some(0), "{signal}: {:#?}", proxy.program.stderr());
    }
}

#[test]
fn hup_before_term_does_not_count_as_a_stop() {
    let mut proxy = Proxy::start(&named_routes([("mine", "")]));
    proxy.program.signal("HUP");
    eventually("an event about HUP", || {
        proxy.program.stderr().iter().any(|line| line.contains("HUP")).then_some(())
    });
    assert!(proxy.program.is_running());
    proxy.program.signal("TERM");
    assert_eq!(proxy.program.exit_code(), Some(0));
}
