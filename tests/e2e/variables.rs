//! `${VAR}` in the strings of a configuration.

use crate::support::{Launch, Origin, Proxy, Request};

#[test]
fn variables_expand_inside_strings() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let config = "auth = \"main\"\n[auth_schemes.main]\ntype = \"bearer\"\ntokens = [\"${TOKEN}\"]\n\
        [[routes]]\nservice = \"a\"\n[services.a]\n\
        endpoints = [\"http://${UPSTREAM_HOST:-127.0.0.1}:${UPSTREAM_PORT}/${EMPTY}\"]\n";
    let world = Launch::with(config)
        .run(&["--listen", "127.0.0.1:0"])
        .env("TOKEN", &"token-of-the-environment")
        .env("UPSTREAM_PORT", &origin.address.port())
        .env("EMPTY", &"");
    let (mut program, _folder) = world.start();
    let request = Request::new(program.listening("traffic", 0), "GET", "/a");
    assert_eq!(request.bearer("token-of-the-environment").send().text(), "ok");
    assert_eq!(origin.last_head().line, "GET /a HTTP/1.1");
}

#[test]
fn a_doubled_dollar_is_a_literal_one_before_a_brace() {
    let proxy = Proxy::start("[[routes]]\nrespond = { body = \"$${HOME} $HOME ${NOT_SET:-$x}\" }");
    assert_eq!(proxy.get("/").send().text(), "${HOME} $HOME $x");
}

#[test]
fn a_variable_that_is_not_set_starts_nothing() {
    let config = "[[routes]]\nrespond = { body = \"${PROXY_TEST_NOT_SET}\" }";
    let ended = Launch::with(config).run(&["--listen", "127.0.0.1:0"]).end();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(":2:20: environment variable PROXY_TEST_NOT_SET is not set"));
}
