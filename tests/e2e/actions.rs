//! What a route does with a request: answers it, sends the client elsewhere, or forwards it, maybe
//! under another path, to a service that the path may name.

use crate::support::{Answer, Client, Origin, Proxy};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A proxy in front of one origin, with these routes.
fn world(routes: &str) -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let address = origin.address;
    let services = format!(
        "[services.books]\nendpoints = [\"http://{address}/base/\"]\n\
         [services.root]\nendpoints = [\"http://{address}\"]\n"
    );
    let proxy = Proxy::start(&format!("{routes}\n{services}"));
    (origin, proxy)
}

/// The targets that the origin sees for these.
fn forwarded(routes: &str, targets: &[&str]) -> Vec<String> {
    let (origin, proxy) = world(routes);
    let seen = |target: &&str| {
        assert_eq!(proxy.get(target).send().status, 200, "{target}");
        let line = origin.last_head().line;
        line.strip_prefix("GET ").and_then(|rest| rest.strip_suffix(" HTTP/1.1")).map(str::to_owned)
    };
    targets.iter().map(|target| seen(target).expect("is a request line")).collect()
}

fn location(route: &str, target: &str) -> String {
    let answer = Proxy::start(&format!("[[routes]]\n{route}")).get(target).send();
    assert_eq!((answer.status, answer.body.len()), (308, 0), "{target}");
    answer.header("location").expect("is there").to_owned()
}

#[test]
fn respond_answers_with_status_body_and_content_type() {
    let (origin, proxy) = world(
        "[[routes]]\npath = \"/robots.txt\"\nrespond = { body = \"User-agent: *\\n\" }\n\
         [[routes]]\npath = \"/gone\"\n\
         respond = { status = 410, body = \"<p>gone\", content_type = \"text/html\" }\n",
    );
    let summary = |answer: Answer| {
        let content_type = answer.header("content-type").map(str::to_owned);
        (answer.status, content_type.unwrap_or_default(), answer.text())
    };
    assert_eq!(
        summary(proxy.get("/robots.txt").send()),
        (200, "text/plain; charset=utf-8".to_owned(), "User-agent: *\n".to_owned())
    );
    let gone = summary(proxy.request("POST", "/gone").body("x").send());
    assert_eq!(gone, (410, "text/html".to_owned(), "<p>gone".to_owned()));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_head_request_gets_the_length_of_the_body_and_no_body() {
    let proxy = Proxy::start("[[routes]]\nrespond = { body = \"hello\" }");
    let mut client = Client::connect(proxy.address);
    let answer = proxy.request("HEAD", "/a").send_on(&mut client);
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("5")));
    // Were there a body, it would be taken for the next answer.
    assert_eq!(proxy.get("/b").send_on(&mut client).text(), "hello");
}

#[test]
fn a_head_request_is_logged_without_bytes_sent() {
    let proxy = Proxy::start("[[routes]]\nrespond = { body = \"hello\" }");
    proxy.request("HEAD", "/a").send();
    assert_eq!(proxy.access_line("/a")["bytes_out"], 0);
}

/// A body behind these would be taken for the next answer (RFC 9112 section 6.3).
#[test]
fn an_answer_that_cannot_have_a_body_has_none() {
    for status in [204, 304] {
        let config = format!("[[routes]]\nrespond = {{ status = {status} }}");
        let proxy = Proxy::start(&config);
        let mut client = Client::connect(proxy.address);
        let line = |client: &mut Client| proxy.get("/").send_on(client).status_line;
        let lines = [line(&mut client), line(&mut client)];
        let start = format!("HTTP/1.1 {status} ");
        assert!(lines.iter().all(|line| line.starts_with(&start)), "{lines:?}");
    }
}

#[test]
fn a_body_that_a_route_does_not_want_is_not_taken_for_the_next_request() {
    let proxy = Proxy::start("[[routes]]\nrespond = { body = \"hello\" }");
    let mut client = Client::connect(proxy.address);
    let post = proxy.request("POST", "/a").body("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(post.send_on(&mut client).text(), "hello");
    proxy.get("/b").send();
    proxy.access_line("/b");
    let lines = proxy.access_lines();
    assert!(lines.iter().all(|line| line["path"] != "/smuggled"), "{lines:#?}");
}

#[test]
fn a_redirect_is_a_308_unless_it_says_otherwise() {
    for (status, expected) in
        [("", 308), (", status = 301", 301), (", status = 302", 302), (", status = 303", 303)]
    {
        let proxy =
            Proxy::start(&format!("[[routes]]\nredirect = {{ to = \"https://b.test/\"{status} }}"));
        let answer = proxy.get("/a").send();
        assert_eq!((answer.status, answer.header("location")), (expected, Some("https://b.test/")));
    }
}

#[test]
fn a_redirect_fills_placeholders_as_they_were_sent_and_keeps_the_query() {
    let route = "path = \"/{lang}/old/{*rest}\"\n\
                 redirect = { to = \"https://b.test/new/{rest}?\" }";
    let kept = route.replace("{rest}?", "{rest}");
    for (route, target, expected) in [
        (kept.as_str(), "/de/old/a/b%2Fc%20d", "https://b.test/new/a/b%2Fc%20d"),
        (&kept, "/de/old/a?x=1&y=%26", "https://b.test/new/a?x=1&y=%26"),
        // A template that has a query of its own takes no other.
        (route, "/de/old/a?x=1", "https://b.test/new/a?"),
    ] {
        assert_eq!(location(route, target), expected, "{target}");
    }
}

#[test]
fn the_query_of_a_redirect_stands_before_its_fragment() {
    for (to, target, expected) in [
        ("https://b.test/y#z", "/v/1?b=2", "https://b.test/y?b=2#z"),
        ("https://b.test/y#z", "/v/1", "https://b.test/y#z"),
        ("https://b.test/y#z?{a}", "/v/1?b=2", "https://b.test/y?b=2#z?1"),
        ("https://b.test/{a}#{a}", "/v/1%23?b=2", "https://b.test/1%23?b=2#1%23"),
        ("https://b.test/y?c={a}#z", "/v/1?b=2", "https://b.test/y?c=1#z"),
        ("https://b.test/y?c={a}", "/v/1&d=2+3;e", "https://b.test/y?c=1%26d%3D2%2B3%3Be"),
        ("/y#z", "/v/1?", "/y?#z"),
        ("#z", "/v/1?b=2", "?b=2#z"),
    ] {
        let route = format!("path = \"/v/{{a}}\"\nredirect = {{ to = \"{to}\" }}");
        assert_eq!(location(&route, target), expected, "{to} {target}");
    }
}

#[test]
fn a_placeholder_that_a_redirects_path_lacks_is_dropped_with_its_slash() {
    let route =
        "path = [\"/old\", \"/old/{*rest}\"]\nredirect = { to = \"https://b.test/new/{rest}\" }";
    assert_eq!(location(route, "/old"), "https://b.test/new");
    assert_eq!(location(route, "/old/a/b"), "https://b.test/new/a/b");
}

/// Otherwise any link to this host can lead anywhere: "//evil.test/" names another host.
#[test]
fn a_redirect_to_a_path_stays_on_its_host() {
    let proxy =
        Proxy::start("[[routes]]\npath = \"/old/{*rest}\"\nredirect = { to = \"/{rest}\" }");
    let answer = proxy.get("/old//evil.test/").send();
    let location = answer.header("location").unwrap_or_default();
    assert!(!location.starts_with("//"), "{location}");
}

#[test]
fn without_a_rewrite_the_path_is_appended_to_the_endpoints_own() {
    let routes =
        "[[routes]]\nservice = \"books\"\n[[routes]]\nhost = \"root.test\"\nservice = \"root\"";
    let seen = forwarded(
        routes,
        &["/", "/a/", "//a", "/a?b/c?d", "http://root.test", "http://root.test?q"],
    );
    assert_eq!(seen, ["/base/", "/base/a/", "/base//a", "/base/a?b/c?d", "/", "/?q"]);
}

#[test]
fn percent_encoding_passes_as_it_was_sent() {
    let targets = ["/a%2Fb", "/a%2fb%20c", "/%41%7e~", "/a+b;c=d,e", "/a?b=%00%zz", "/%C3%A9?%ff"];
    let seen = forwarded("[[routes]]\nservice = \"root\"", &targets);
    assert_eq!(seen, targets);
    let seen = forwarded(
        "[[routes]]\npath = \"/{a}/{*b}\"\nrewrite = \"/{b}/{a}\"\nservice = \"root\"",
        &["/a%2Fb/c%20d/%65", "/a%3Fb/c%23?q"],
    );
    assert_eq!(seen, ["/c%20d/%65/a%2Fb", "/c%23/a%3Fb?q"]);
}

#[test]
fn a_rewrite_is_appended_to_the_endpoints_path_and_the_query_is_kept() {
    let routes = "[[routes]]\npath = \"/v1/{*rest}\"\nrewrite = \"/api/{*rest}\"\nservice = \"books\"\n\
                  [[routes]]\npath = \"/fixed\"\nrewrite = \"/other\"\nservice = \"books\"\n";
    let seen = forwarded(routes, &["/v1/a/b?c", "/v1/a/", "/fixed?x=1"]);
    assert_eq!(seen, ["/base/api/a/b?c", "/base/api/a/", "/base/other?x=1"]);
}

#[test]
fn the_query_of_a_rewrite_and_that_of_the_request_are_one() {
    let seen = |rewrite: &str, target: &str| {
        let routes = format!(
            "[[routes]]\npath = \"/v/{{*a}}\"\nrewrite = \"{rewrite}\"\nservice = \"root\""
        );
        forwarded(&routes, &[target]).remove(0)
    };
    for (rewrite, target, expected) in [
        ("/x?a={a}", "/v/1?b=2", "/x?a=1&b=2"),
        ("/x?a={a}", "/v/1?", "/x?a=1"),
        ("/x?a={a}", "/v/1", "/x?a=1"),
        ("/x?", "/v/1?b=2", "/x?b=2"),
        ("/{a}?", "/v/1/2?b=2?c", "/1/2?b=2?c"),
        ("/x?a={a}&c=/", "/v/1/%26%3f?b=%26", "/x?a=1/%26%3f&c=/&b=%26"),
        // What is one segment of a path is one value of a query.
        ("/x?a={a}", "/v/1&a=2;3+4?b", "/x?a=1%26a%3D2%3B3%2B4&b"),
        ("/{a}?{a}=1", "/v/1&2?b", "/1&2?1%262=1&b"),
    ] {
        assert_eq!(seen(rewrite, target), expected, "{rewrite} {target}");
    }
}

#[test]
fn a_placeholder_that_the_path_lacks_is_dropped_with_the_slash_before_it() {
    let routes = "[[routes]]\npath = [\"/v1\", \"/v1/{a}\", \"/v1/{a}/{*b}\"]\n\
                  rewrite = \"/x/{a}-{b}/{*b}\"\nservice = \"books\"\n";
    let seen = forwarded(routes, &["/v1", "/v1/one", "/v1/one/two/three"]);
    assert_eq!(seen, ["/base/x-", "/base/x/one-", "/base/x/one-two/three/two/three"]);
}

#[test]
fn a_rewrite_whose_placeholders_are_all_absent_is_still_a_path() {
    let routes = "[[routes]]\npath = [\"/v1\", \"/v1/{*a}\"]\nrewrite = \"/{*a}\"\n";
    let seen =
        |service: &str| forwarded(&format!("{routes}service = \"{service}\""), &["/v1", "/v1/b"]);
    assert_eq!(seen("root"), ["/", "/b"]);
    assert_eq!(seen("books"), ["/base", "/base/b"]);
}

#[test]
fn a_target_that_is_no_path_is_refused() {
    let (origin, proxy) = world("[[routes]]\nservice = \"root\"");
    for (method, target, status) in [("GET", "*", 400), ("CONNECT", "inner.test:443", 405)] {
        assert_eq!(proxy.request(method, target).send().status, status, "{method} {target}");
    }
    assert_eq!(origin.connections(), 0);
}
