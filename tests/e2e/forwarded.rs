//! What the upstream is told about the client, and who is believed: X-Forwarded-* and its
//! relatives, in every spelling that a server could mistake for them.

use crate::support::{Client, Head, Origin, Proxy, Request, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const TRUSTED: &str = "[server]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.1.2.3\"]\n";

struct World {
    origin: Origin,
    proxy: Proxy,
}

impl World {
    /// Nobody is trusted.
    fn start() -> Self {
        Self::with("")
    }

    fn with(server: &str) -> Self {
        let origin = Origin::answering(OK);
        Self { proxy: Proxy::start(&format!("{server}{}", origin.config())), origin }
    }

    /// What the upstream gets when the client sends these fields.
    fn received(&self, fields: &[(&str, &str)]) -> Head {
        let request = self.proxy.get("/").header("Host", "shop.test:81");
        let add = |request: Request, (name, value): &(&str, &str)| request.header(name, value);
        assert_eq!(fields.iter().fold(request, add).send().status, 200);
        self.origin.last_head()
    }
}

#[test]
fn the_upstream_is_told_the_client_the_protocol_and_the_host() {
    let head = World::start().received(&[]);
    assert_eq!(head.headers("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.headers("x-forwarded-proto"), ["http"]);
    assert_eq!(head.headers("x-forwarded-host"), ["shop.test:81"]);
}

#[test]
fn what_a_stranger_says_about_itself_is_replaced() {
    let head = World::start().received(&[
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-For", "5.6.7.8"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.test"),
    ]);
    assert_eq!(head.headers("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.headers("x-forwarded-proto"), ["http"]);
    assert_eq!(head.headers("x-forwarded-host"), ["shop.test:81"]);
}

#[test]
fn a_trusted_proxys_word_is_kept_and_the_peer_appended() {
    let world = World::with(TRUSTED);
    let head = world.received(&[
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-For", "5.6.7.8, 10.1.2.3"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "public.test"),
    ]);
    assert_eq!(head.headers("x-forwarded-for").join(", "), "1.2.3.4, 5.6.7.8, 10.1.2.3, 127.0.0.1");
    assert_eq!(head.headers("x-forwarded-proto"), ["https"]);
    assert_eq!(head.headers("x-forwarded-host"), ["public.test"]);
}

#[test]
fn what_a_trusted_proxy_does_not_say_is_filled_in() {
    let head = World::with(TRUSTED).received(&[]);
    assert_eq!(head.headers("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.headers("x-forwarded-proto"), ["http"]);
    assert_eq!(head.headers("x-forwarded-host"), ["shop.test:81"]);
}

#[test]
fn other_proxies_fields_are_dropped_from_strangers_and_kept_from_trusted_ones() {
    let fields = [
        ("Forwarded", "for=1.2.3.4"),
        ("X-Real-IP", "1.2.3.4"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Prefix", "/admin"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
    ];
    let (strange, trusted) = (World::start(), World::with(TRUSTED));
    let (from_stranger, from_trusted) = (strange.received(&fields), trusted.received(&fields));
    for (name, value) in fields {
        assert_eq!(from_stranger.header(name), None, "{name}");
        assert_eq!(from_trusted.headers(name), [value], "{name}");
    }
}

/// Servers behind CGI or WSGI cannot tell these from the fields themselves.
#[test]
fn other_spellings_of_the_proxys_own_fields_are_dropped() {
    for world in [World::start(), World::with(TRUSTED)] {
        for name in [
            "X_Forwarded_For",
            "x.forwarded.for",
            "X-Forwarded_Proto",
            "x_forwarded-host",
            "X_Request_ID",
            "x.request.id",
            "Content_Length",
            "Transfer_Encoding",
            "transfer.encoding",
        ] {
            assert_eq!(world.received(&[(name, "7")]).header(name), None, "{name}");
        }
    }
}

#[test]
fn other_spellings_of_fields_that_strangers_may_not_send_are_dropped() {
    let world = World::start();
    for name in
        ["X_Real_IP", "X.Forwarded.Port", "X_Forwarded_Prefix", "X_Original_URL", "X_Rewrite_URL"]
    {
        assert_eq!(world.received(&[(name, "7")]).header(name), None, "{name}");
    }
}

/// Each field that could say who the client is, in each spelling of each of its separators.
#[test]
fn no_spelling_of_a_strangers_word_about_itself_goes_on() {
    let spellings = |name: &str| {
        let mut all = vec![String::new()];
        for character in name.chars() {
            let written: &[char] = if character == '-' { &['-', '_', '.'] } else { &[character] };
            let longer =
                all.iter().flat_map(|one| written.iter().map(move |c| format!("{one}{c}")));
            all = longer.collect();
        }
        all
    };
    for server in ["", "[server]\nforwarded = true\n"] {
        let world = World::with(server);
        for name in [
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
            "X-Forwarded-Prefix",
            "X-Real-IP",
            "X-Original-URL",
            "X-Rewrite-URL",
            "Forwarded",
        ] {
            for spelling in spellings(name) {
                let head = world.received(&[(&spelling, "for=6.6.6.6")]);
                let kept = head.fields.iter().find(|(_, value)| value.contains("6.6.6.6"));
                assert_eq!(kept, None, "{spelling}");
            }
        }
    }
}

#[test]
fn a_field_with_an_underscore_that_imitates_nothing_passes() {
    let head = World::start().received(&[("my_field", "1"), ("x.other", "2")]);
    assert_eq!((head.header("my_field"), head.header("x.other")), (Some("1"), Some("2")));
}

#[test]
fn the_client_in_the_log_is_the_peer_unless_a_trusted_proxy_speaks_for_it() {
    for (server, given, client) in [
        ("", &["1.2.3.4"][..], "127.0.0.1"),
        (TRUSTED, &[], "127.0.0.1"),
        (TRUSTED, &["1.2.3.4"], "1.2.3.4"),
        // The rightmost address that is no trusted proxy; what stands left of it proves nothing.
        (TRUSTED, &["6.6.6.6, 1.2.3.4, 10.1.2.3"], "1.2.3.4"),
        (TRUSTED, &["6.6.6.6", "1.2.3.4", "10.1.2.3"], "1.2.3.4"),
        (TRUSTED, &["2001:db8::1"], "2001:db8::1"),
        (TRUSTED, &["6.6.6.6, garbage"], "127.0.0.1"),
    ] {
        let world = World::with(server);
        let fields: Vec<(&str, &str)> =
            given.iter().map(|value| ("X-Forwarded-For", *value)).collect();
        world.received(&fields);
        assert_eq!(world.proxy.access_line("/")["client_ip"], client, "{given:?}");
    }
}

const READING: &str = "[server]\nforwarded = true\n\
                       trusted_proxies = [\"127.0.0.0/8\", \"10.1.2.3\", \"unix\"]\n";

#[test]
fn forwarded_is_written_afresh_for_a_stranger_where_it_is_on() {
    let world = World::with("[server]\nforwarded = true\n");
    let head = world.received(&[("Forwarded", "for=1.2.3.4"), ("X-Forwarded-For", "5.6.7.8")]);
    let ours = "for=127.0.0.1;host=\"shop.test:81\";proto=http";
    assert_eq!(head.headers("forwarded"), [ours]);
    assert_eq!(head.headers("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(World::start().received(&[]).header("forwarded"), None);
}

#[test]
fn a_trusted_proxys_forwarded_is_kept_and_counts_instead_of_all_its_other_fields() {
    let head = World::with(READING).received(&[
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Port", "666"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X-Real-IP", "6.6.6.6"),
        ("X-Original-URL", "/evil"),
        ("Forwarded", "for=\"[2001:db8::1]:4711\";proto=https;host=public.test"),
        ("Forwarded", "for=10.1.2.3"),
    ]);
    let chain = "for=\"[2001:db8::1]:4711\";proto=https;host=public.test, for=10.1.2.3, \
                 for=127.0.0.1;host=\"shop.test:81\";proto=http";
    assert_eq!(head.headers("forwarded"), [chain]);
    assert_eq!(head.headers("x-forwarded-for"), ["2001:db8::1, 10.1.2.3, 127.0.0.1"]);
    assert_eq!(head.headers("x-forwarded-proto"), ["https"]);
    assert_eq!(head.headers("x-forwarded-host"), ["public.test"]);
    for name in ["x-forwarded-port", "x-forwarded-prefix", "x-real-ip", "x-original-url"] {
        assert_eq!(head.header(name), None, "{name}");
    }
}

#[test]
fn what_is_malformed_in_forwarded_goes_nowhere() {
    let world = World::with(READING);
    for wrong in
        ["for=\"1.2.3.4", "for=1.2.3.4:80", "for=[::1]", "for=1.2.3.4;for=1.2.3.4", "1.2.3.4"]
    {
        let head = world.received(&[("Forwarded", wrong)]);
        let ours = "for=127.0.0.1;host=\"shop.test:81\";proto=http";
        assert_eq!(head.headers("forwarded"), [ours], "{wrong}");
        assert_eq!(head.headers("x-forwarded-for"), ["127.0.0.1"], "{wrong}");
        let more = format!("{wrong}, for=9.9.9.9");
        let head = world.received(&[("Forwarded", more.as_str())]);
        assert_eq!(head.headers("x-forwarded-for"), ["9.9.9.9, 127.0.0.1"], "{wrong}");
    }
}

#[test]
fn the_client_in_the_log_is_whom_forwarded_names_where_it_is_on() {
    for (given, client) in [
        (&[("X-Forwarded-For", "1.2.3.4")][..], "127.0.0.1"),
        (&[("Forwarded", "for=1.2.3.4"), ("X-Forwarded-For", "6.6.6.6")], "1.2.3.4"),
        (&[("Forwarded", "for=6.6.6.6, for=\"[2001:db8::1]\", for=10.1.2.3")], "2001:db8::1"),
        (&[("Forwarded", "for=6.6.6.6, for=unknown")], "127.0.0.1"),
        (&[("Forwarded", "for=6.6.6.6, for=_hidden, for=10.1.2.3")], "10.1.2.3"),
    ] {
        let world = World::with(READING);
        world.received(given);
        assert_eq!(world.proxy.access_line("/")["client_ip"], client, "{given:?}");
    }
}

#[test]
fn what_is_refused_or_answered_by_the_proxy_itself_is_logged_with_the_client_behind_a_trusted_proxy()
 {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let server = format!("{TRUSTED}health_path = \"/health\"\n");
    let proxy = Proxy::start(&format!("{server}{}", origin.config()));
    for (method, target, status) in [
        ("TRACE", "/trace", 405),
        ("CONNECT", "a.test:80", 405),
        ("GET", "/%zz", 400),
        ("get", "/lower", 400),
        ("GET", "/health", 200),
    ] {
        let mut client = Client::connect(proxy.address);
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\n",
            if method == "CONNECT" { target } else { "a" }
        );
        client.write(format!("{head}X-Forwarded-For: 192.0.2.7\r\n\r\n").as_bytes());
        assert_eq!(client.answer(method).status, status, "{method} {target}");
    }
    let lines =
        eventually("five lines", || Some(proxy.access_lines()).filter(|all| all.len() == 5));
    for line in lines {
        assert_eq!(line["client_ip"], "192.0.2.7", "{line}");
    }
}
