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
const SPELLINGS: [(&str, Then, Then); 35] = [
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
