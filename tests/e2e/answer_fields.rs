//! Fields of answers that both the endpoint and the proxy write: one is left, the proxy's, but where
//! there can be several.

use crate::support::{
    Authority, Origin, Proxy, Shaking, TlsFiles,
    http2::{Fields, Http2},
};

/// An answer of an endpoint that has opinions, in several spellings.
const OPINIONATED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
     Strict-Transport-Security: max-age=0\r\nSTRICT-TRANSPORT-SECURITY: max-age=1\r\n\
     RateLimit: \"theirs\";r=9;t=1\r\nratelimit-policy: \"theirs\";q=9;w=1\r\n\
     X-Request-Id: theirs-theirs\r\nVary: Accept, origin\r\nX-Env: theirs\r\n\
     Set-Cookie: sid=theirs; Path=/\r\nSet-Cookie: sids=theirs\r\n\
     Access-Control-Allow-Origin: *\r\n\r\nok";
const LIMIT: &str = "[rate_limits.few]\nrequests = 60\nburst = 7\n";

/// A route to the endpoint with these lines.
fn config(origin: &Origin, route: &str, service: &str) -> String {
    format!(
        "{LIMIT}[[routes]]\nservice = \"origin\"\n{route}\n\
         [services.origin]\nendpoints = [\"http://{}\"]\n{service}\n",
        origin.address
    )
}

#[test]
fn over_tls_hsts_is_the_listeners_alone() {
    let authority = Authority::new();
    let files = TlsFiles::new("", &[&authority.server(&["a.test"])]);
    let origin = Origin::answering(OPINIONATED);
    let start =
        |hsts: &str| Proxy::start(&format!("{}{hsts}{}", files.config, config(&origin, "", "")));
    let asked = |proxy: &Proxy| {
        let mut client = Shaking::trusting(&authority).connect(proxy.address, "a.test");
        proxy.get("/").header("Host", "a.test").send_on(&mut client)
    };
    let answer = asked(&start("hsts = \"365d\"\n"));
    assert_eq!(answer.headers("strict-transport-security"), ["max-age=31536000"]);
    // The rest is as it came.
    assert_eq!(answer.headers("set-cookie"), ["sid=theirs; Path=/", "sids=theirs"]);
    assert_eq!(answer.headers("date"), ["Thu, 01 Jan 1970 00:00:00 GMT"]);
    assert_eq!(answer.text(), "ok");
    // Where the proxy says nothing, the endpoint speaks.
    let answer = asked(&start(""));
    assert_eq!(answer.headers("strict-transport-security"), ["max-age=0", "max-age=1"]);
}

#[test]
fn where_the_client_stands_is_said_once() {
    let origin = Origin::answering(OPINIONATED);
    let limited = Proxy::start(&config(&origin, "rate_limits = [\"few\"]", ""));
    let answer = limited.get("/").send();
    assert_eq!(answer.headers("ratelimit"), ["\"few\";r=6;t=1"]);
    assert_eq!(answer.headers("ratelimit-policy"), ["\"few\";q=60;w=60"]);
    assert_ne!(answer.headers("x-request-id"), ["theirs-theirs"]);

    let reply = Http2::connect(limited.address).ask(&Fields::get("/"));
    assert_eq!(reply.headers("ratelimit-policy"), ["\"few\";q=60;w=60"]);
    assert_eq!((reply.headers("ratelimit").len(), reply.headers("x-request-id").len()), (1, 1));

    let open = Proxy::start(&config(&origin, "", ""));
    assert_eq!(open.get("/").send().headers("ratelimit"), ["\"theirs\";r=9;t=1"]);
}

#[test]
fn the_cookie_of_a_sticky_service_is_the_proxys_alone() {
    let origin = Origin::answering(OPINIONATED);
    let sticky = "balance = { sticky = \"sid\", secret = \"0123456789abcdef\" }";
    let proxy = Proxy::start(&config(&origin, "", sticky));
    let first = proxy.get("/").send();
    let cookies = first.headers("set-cookie");
    assert_eq!((cookies.len(), cookies[0]), (2, "sids=theirs"));
    assert!(cookies[1].starts_with("sid=") && !cookies[1].contains("theirs"), "{cookies:?}");
    // Nor does an endpoint take it away from a client that has it.
    let pair = cookies[1].split(';').next().expect("has a pair");
    let second = proxy.get("/").header("Cookie", pair).send();
    assert_eq!(second.headers("set-cookie"), ["sids=theirs"]);

    let reply = Http2::connect(proxy.address).ask(&Fields::get("/"));
    assert_eq!(reply.headers("set-cookie").len(), 2);
}

#[test]
fn what_can_be_there_several_times_is_kept() {
    let origin = Origin::answering(OPINIONATED);
    let cors = "cors = { origins = [\"https://app.test\"] }\n\
                response_headers = { add = { x-env = \"ours\", ratelimit-policy = \"ours\" } }";
    let proxy = Proxy::start(&config(&origin, cors, ""));
    let answer = proxy.get("/").header("Origin", "https://app.test").send();
    assert_eq!(answer.headers("x-env"), ["theirs", "ours"]);
    assert_eq!(answer.headers("ratelimit-policy"), ["\"theirs\";q=9;w=1", "ours"]);
    assert_eq!(answer.headers("vary"), ["Accept, origin", "Origin"]);
    assert_eq!(answer.headers("access-control-allow-origin"), ["https://app.test"]);
}
