//! Spellings of a path that one server reads as another: `/admin` is guarded, all else is open, and
//! no request without the token reaches an origin by a path that it could resolve into `/admin`.

use crate::support::{Origin, Proxy};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What becomes of a request without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It is asked for the token: the path is that of the guarded route.
    Asked,
    /// 400: servers read the path differently.
    Refused,
    /// 404: no route takes the path.
    Unknown,
    /// The origin gets this path.
    Passed(&'static str),
}
use Then::{Asked, Passed, Refused, Unknown};

/// `/admin/{*rest}` is guarded; `open` is not.
fn world(server: &str, open: &str) -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let config = format!(
        "[server]\n{server}\n\
         [auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"secret-token\"]\n\
         [[routes]]\npath = [\"/admin\", \"/admin/{{*rest}}\"]\nauth = \"a\"\nservice = \"origin\"\n\
         [[routes]]\npath = \"{open}\"\nservice = \"origin\"\n\
         [services.origin]\nendpoints = [\"http://{}\"]\n",
        origin.address
    );
    let proxy = Proxy::start(&config);
    (origin, proxy)
}

fn outcome(origin: &Origin, proxy: &Proxy, target: &str) -> Then {
    let before = origin.heads().len();
    let status = proxy.get(target).send().status;
    let got = origin.heads().len() - before;
    match status {
        401 => assert_eq!(got, 0, "{target}"),
        400 => assert_eq!(got, 0, "{target}"),
        404 => assert_eq!(got, 0, "{target}"),
        200 => assert_eq!(got, 1, "{target}"),
        other => panic!("{target}: {other}"),
    }
    match status {
        401 => Asked,
        400 => Refused,
        404 => Unknown,
        _ => {
            let line = origin.last_head().line;
            let path = line.split(' ').nth(1).expect("has a target").to_owned();
            Passed(path.leak())
        }
    }
}

/// Each spelling, what becomes of it beside `/items/{*rest}`, and beside `/{*rest}`, which takes
/// every path.
const SPELLINGS: [(&str, Then, Then); 54] = [
    // The path itself.
    ("/admin", Asked, Asked),
    ("/admin/x", Asked, Asked),
    // Dot segments are resolved before anything is decided, encoded ones too.
    ("/items/../admin/x", Asked, Asked),
    ("/items/%2e%2e/admin/x", Asked, Asked),
    ("/items/.%2E/admin/x", Asked, Asked),
    ("/items/./../admin/x", Asked, Asked),
    ("/items//../../admin/x", Asked, Asked),
    ("/admin/%2e/x", Asked, Asked),
    ("/./admin/x", Asked, Asked),
    ("/../admin/x", Asked, Asked),
    ("/admin/x/..", Unknown, Refused),
    ("/admin/", Unknown, Refused),
    // Beside an encoded slash or a parameter, they are resolved by some servers and not by others.
    ("/items/..%2fadmin", Refused, Refused),
    ("/items%2f..%2fadmin", Refused, Refused),
    ("/items/..;/admin", Refused, Refused),
    ("/items/..;x=1/admin/x", Refused, Refused),
    ("/items/%2e%2e;/admin/x", Refused, Refused),
    // To some a backslash is a slash, and a control character an end.
    ("/items/..\\admin", Refused, Refused),
    ("/items\\..\\admin", Refused, Refused),
    ("/items/..%5cadmin", Refused, Refused),
    ("\\admin/x", Refused, Refused),
    ("/admin%00/x", Refused, Refused),
    ("/items/%00/../../admin", Refused, Refused),
    ("/admin%0a/x", Refused, Refused),
    ("/items/.%09./admin", Refused, Refused),
    ("/admin%5cx", Unknown, Refused),
    ("/admin\\x", Unknown, Refused),
    ("/%5cadmin/x", Unknown, Refused),
    ("/%255cadmin/x", Unknown, Refused),
    ("/ad%09min/x", Unknown, Refused),
    // Two slashes have an empty segment between them, and that is what a dot segment takes away.
    ("/items/a/..//../admin/x", Passed("/items/admin/x"), Passed("/items/admin/x")),
    // Compared byte by byte, these are other paths than the guarded ones; servers that decode, merge
    // slashes, drop parameters or ignore case read those.
    ("//admin/x", Unknown, Refused),
    ("/admin//x", Asked, Asked),
    ("/admin;x/y", Unknown, Refused),
    ("/admin;x", Unknown, Refused),
    ("/%61dmin/x", Unknown, Refused),
    ("/%2561dmin/x", Unknown, Refused),
    ("/ADMIN/x", Unknown, Refused),
    ("/admin%2fx", Unknown, Refused),
    ("/%2fadmin/x", Unknown, Refused),
    ("/items/%252e%252e/admin/x", Refused, Refused),
    // Who decodes first finds a query, or a fragment, where there was none.
    ("/admin%3F", Unknown, Refused),
    ("/admin%3Fx=/y", Unknown, Refused),
    ("/%61dmin%253f/x", Unknown, Refused),
    ("/admin%23x", Unknown, Refused),
    ("/items/%252e%252e%252fadmin%3fx", Refused, Refused),
    // Who resolves the target as a reference finds a host in it.
    ("//items/admin/x", Unknown, Refused),
    ("/%2fa.test/admin/x", Unknown, Refused),
    // To Windows, dots and spaces at the end of a name are none of it, nor are streams.
    ("/admin./x", Unknown, Refused),
    ("/admin%20", Unknown, Refused),
    ("/admin::$DATA", Unknown, Refused),
    // Fullwidth letters, a slash in more bytes than it takes, and a letter that capitals make one of
    // ASCII.
    ("/%EF%BD%81dmin", Unknown, Refused),
    ("/%c0%afadmin/x", Unknown, Refused),
    ("/adm%C4%B1n/x", Unknown, Refused),
];

#[test]
fn no_spelling_of_a_guarded_path_reaches_the_origin_without_the_token() {
    let (items, all) = (world("", "/items/{*rest}"), world("", "/{*rest}"));
    for (target, beside_items, beside_all) in SPELLINGS {
        assert_eq!(outcome(&items.0, &items.1, target), beside_items, "{target} beside /items");
        assert_eq!(outcome(&all.0, &all.1, target), beside_all, "{target} beside everything");
    }
}

#[test]
fn an_odd_path_that_cannot_be_read_as_a_guarded_one_goes_on_as_it_came() {
    let (origin, proxy) = world("", "/{*rest}");
    for target in [
        "/items/A%20b",
        "/items//x",
        "/items/a;v=1/b",
        "/items/a%2Fb",
        "/users/DOMAIN%5Cjoe",
        "/users/DOMAIN\\joe",
        "/items/a%09b%7F%01c",
        "/Items/%61dmin",
        "/administrator",
        "/%61dministrator",
        "/x//admin/y",
        "/items?path=/../admin//x;y",
    ] {
        assert_eq!(proxy.get(target).send().status, 200, "{target}");
        assert_eq!(origin.last_head().line, format!("GET {target} HTTP/1.1"));
    }
}

#[test]
fn who_has_the_token_has_the_guarded_path_in_its_own_spelling_alone() {
    let (origin, proxy) = world("", "/{*rest}");
    let send = |target: &str| proxy.get(target).bearer("secret-token").send().status;
    assert_eq!(send("/items/../admin/x"), 200);
    assert_eq!(origin.last_head().line, "GET /admin/x HTTP/1.1");
    assert_eq!(send("/%61dmin/x"), 400);
}

#[test]
fn ambiguous_paths_pass_where_that_is_wanted() {
    let (_origin, proxy) = world("ambiguous_paths = \"keep\"", "/{*rest}");
    for target in ["//admin/x", "/%61dmin/x", "/ADMIN/x", "/admin;x/y"] {
        assert_eq!(proxy.get(target).send().status, 200, "{target}");
    }
    // What no two servers agree about is refused all the same.
    assert_eq!(proxy.get("/items/..%2fadmin").send().status, 400);
}

#[test]
fn bytes_that_servers_may_read_otherwise_pass_where_they_may() {
    let origin = Origin::answering(OK);
    for (server, route, users, files) in [
        ("", "unsafe_bytes = \"reject\"", 400, 200),
        ("[server]\nunsafe_bytes = \"reject\"\n", "unsafe_bytes = \"keep\"", 200, 400),
    ] {
        let config = format!(
            "{server}[[routes]]\npath = \"/users/{{*rest}}\"\nservice = \"origin\"\n{route}\n{}",
            origin.config()
        );
        let proxy = Proxy::start(&config);
        for name in ["DOMAIN%5Cjoe", "DOMAIN\\joe", "a%09b", "a%7fb"] {
            let status = |folder: &str| proxy.get(&format!("/{folder}/{name}")).send().status;
            assert_eq!((status("users"), status("files")), (users, files), "{name}");
        }
        assert_eq!(proxy.get("/users/%2541").send().status, 200);
        for never in ["%00", "a%0d%0aX-Injected:%201", "a%0A"] {
            assert_eq!(proxy.get(&format!("/files/{never}")).send().status, 400, "{never}");
        }
        assert_eq!(proxy.get("/files/a%5C..%5Cb").send().status, 400);
    }
}

#[test]
fn a_path_is_guarded_by_addresses_as_well() {
    let origin = Origin::answering(OK);
    let config = format!(
        "[[routes]]\npath = \"/admin/{{*rest}}\"\nallow_clients = [\"10.0.0.0/8\"]\n\
         service = \"origin\"\n{}",
        origin.config()
    );
    let proxy = Proxy::start(&config);
    assert_eq!(proxy.get("/admin/x").send().status, 403);
    assert_eq!(proxy.get("//admin/x").send().status, 400);
    assert_eq!(origin.connections(), 0);
}

/// A proxy whose open route for all paths has `open`, and another at `path` has `guard`.
fn beside(open: &str, path: &str, guard: &str) -> (Origin, Proxy) {
    let origin = Origin::answering(OK);
    let action = if guard.contains("respond") { "" } else { "service = \"origin\"\n" };
    let config = format!(
        "[rate_limits.few]\nrequests = 5\nburst = 5\nper = \"1h\"\n\
         [rate_limits.many]\nrequests = 6000\nburst = 1000\n\
         [[routes]]\npath = \"{path}\"\n{action}{guard}\n\
         [[routes]]\npath = \"/{{*rest}}\"\nservice = \"origin\"\n{open}\n\
         [services.origin]\nendpoints = [\"http://{}\"]\n",
        origin.address
    );
    let proxy = Proxy::start(&config);
    (origin, proxy)
}

#[test]
fn a_stricter_limit_is_not_evaded_by_another_spelling() {
    let limited = |name: &str| format!("rate_limits = [\"{name}\"]");
    for open in [String::new(), limited("many")] {
        let (origin, proxy) = beside(&open, "/login", &limited("few"));
        for target in
            ["//login", "/%6cogin", "/login/", "/LOGIN", "/login;x", "/login%3f", "/login."]
        {
            assert_eq!(proxy.get(target).send().status, 400, "{target}");
        }
        assert_eq!(proxy.get("/login").send().status, 200);
        assert_eq!(proxy.get("/logins//x").send().status, 200);
        assert_eq!(origin.heads().len(), 2);
    }
    // Who is held to fewer requests anyway evades nothing.
    let (_origin, proxy) = beside(&limited("few"), "/static/{*rest}", &limited("many"));
    assert_eq!(proxy.get("/Static/x").send().status, 200);
}

#[test]
fn what_nobody_gets_is_not_got_by_another_spelling() {
    for status in [401, 403, 404, 410] {
        let answer = format!("respond = {{ status = {status} }}");
        let (origin, proxy) = beside("", "/internal/{*rest}", &answer);
        assert_eq!(proxy.get("/internal/x").send().status, status);
        for target in ["/%69nternal/x", "//internal/x", "/internal;v/x", "/Internal/x"] {
            assert_eq!(proxy.get(target).send().status, 400, "{target}");
        }
        assert_eq!(origin.connections(), 0);
    }
    for answer in ["respond = { status = 503 }", "redirect = { to = \"/new\" }"] {
        let route = format!("[[routes]]\npath = \"/old/{{*rest}}\"\n{answer}\n");
        let origin = Origin::answering(OK);
        let proxy = Proxy::start(&format!("{route}{}", origin.config()));
        assert_eq!(proxy.get("/%6fld/x").send().status, 200, "{answer}");
    }
}

/// The proxy would have to look at more readings than it is worth.
#[test]
fn a_path_that_was_made_to_be_read_in_many_ways_is_refused_where_there_are_guards() {
    let (_origin, proxy) = world("", "/{*rest}");
    let target = format!("/x%{}41", "25".repeat(200));
    assert_eq!(proxy.get(&target).send().status, 400);
    let origin = Origin::answering(OK);
    let open = Proxy::start(&origin.config());
    assert_eq!(open.get(&target).send().status, 200);
}
