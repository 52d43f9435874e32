//! What signals do to a proxy that is not busy, and to one with tunnels.

use std::io::Read;

use crate::support::{Client, Launch, OFFER, Proxy, eventually, named_routes, switching};

/// A proxy that drains for as long as the test likes.
const LONG_DELAY: &str = "[server]\ndrain_delay = \"10s\"\n";

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
fn usr1_and_usr2_are_answered_with_an_event_and_end_nothing() {
    let proxy = Proxy::start(&named_routes([("mine", "")]));
    for signal in ["USR1", "USR2"] {
        proxy.program.signal(signal);
        let event = eventually("an event about the signal", || {
            proxy.program.stderr().into_iter().find(|line| line.contains(signal))
        });
        let event: serde_json::Value = serde_json::from_str(&event).expect("is JSON");
        assert_eq!(event["level"], "WARN");
        assert_eq!(proxy.get("/").send().text(), "mine");
    }
}

#[test]
fn a_proxy_that_has_served_ends_with_0_on_term_int_and_quit() {
    for signal in ["TERM", "INT", "QUIT"] {
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

#[test]
fn two_signals_with_nothing_in_flight_are_a_stop_like_any_other() {
    for (first, second) in [("INT", "INT"), ("TERM", "TERM"), ("INT", "TERM"), ("TERM", "QUIT")] {
        let mut proxy = Proxy::start(&format!("{LONG_DELAY}{}", named_routes([("mine", "")])));
        let mut idle = Client::connect(proxy.address);
        assert_eq!(proxy.get("/").send_on(&mut idle).status, 200);
        proxy.program.signal(first);
        eventually("/readyz to turn 503", || (proxy.admin("/readyz").status == 503).then_some(()));
        proxy.program.signal(second);

        let code = proxy.program.exit_code();
        let events = proxy.program.stderr();
        assert_eq!(code, Some(0), "{first}, {second}: {events:#?}");
        let of_the_stop = events.iter().skip_while(|line| !line.contains("draining"));
        assert!(!of_the_stop.into_iter().any(|line| line.contains("WARN")), "{events:#?}");
    }
}

#[test]
fn a_tunnel_that_is_closed_by_the_end_is_no_request_that_was_cut() {
    let origin = switching(|exchange| while exchange.read(&mut [0; 64]) > 0 {});
    let last_signal = |config: &str, second: Option<&str>| {
        let mut proxy = Proxy::start(&format!("{config}{}", origin.config()));
        let mut client = Client::connect(proxy.address);
        client.write(OFFER);
        assert_eq!(client.head().0, "HTTP/1.1 101 Switching Protocols");
        proxy.program.signal("TERM");
        eventually("/readyz to turn 503", || (proxy.admin("/readyz").status == 503).then_some(()));
        second.iter().for_each(|second| proxy.program.signal(second));
        let code = proxy.program.exit_code();
        let is_closed = !matches!(client.stream.read(&mut [0; 64]), Ok(1..));
        assert!(is_closed, "the tunnel goes on");
        let events = proxy.program.stderr();
        assert!(events.iter().any(|line| line.contains("tunnels are closed")), "{events:#?}");
        code
    };
    assert_eq!(last_signal("[server]\ndrain_timeout = \"1s\"\n", None), Some(0));
    assert_eq!(last_signal(LONG_DELAY, Some("INT")), Some(0));
}

#[test]
fn a_signal_amid_the_start_is_a_stop() {
    for signal in ["TERM", "INT"] {
        let world = Launch::with(&named_routes([("mine", "")])).run(&["--listen", "127.0.0.1:0"]);
        let (mut program, _folder) = world.start();
        // From then on it has hold of the signal; it listens later, or never.
        eventually("the handler", || program.handles(signal).then_some(()));
        program.signal(signal);
        assert_eq!(program.exit_code(), Some(0), "{signal}: {:#?}", program.stderr());
    }
}
