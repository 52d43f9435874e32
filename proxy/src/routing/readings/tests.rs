//! Readings of paths and methods that a guard is for.

use actix_http::header::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::routing::Found;

const SCHEME: &str = "[auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"12345678\"]\n\
                      [rate_limits.few]\nrequests = 1\n[rate_limits.many]\nrequests = 9\n\
                      [rate_limits.each]\nrequests = 1\nkey = \"header:x-key\"\n\
                      [rate_limits.places]\nin_flight = 3\n\
                      [rate_limits.all]\nrequests = 1\nkey = \"route\"\nin_flight = 2\n";

/// Whether a GET of `path` could evade a guard; routes by path, and what else they say.
fn evades(routes: &[(&str, &str)], path: &str) -> Option<bool> {
    evades_by(routes, "GET", path)
}

fn evades_by(routes: &[(&str, &str)], method: &str, path: &str) -> Option<bool> {
    let written = routes.iter().map(|(path, more)| {
        let action = if more.contains("respond") { "" } else { "respond = {}\n" };
        format!("[[routes]]\npath = \"{path}\"\n{action}{more}\n")
    });
    let text = format!("{SCHEME}{}", written.collect::<String>());
    let config = Config::load(&text, "test", &|_| None).expect("is valid");
    let readings = OtherReadings::new(&config)?;
    let headers = HeaderMap::new();
    let method = Method::from_bytes(method.as_bytes()).expect("is a method");
    let request = Request { host: "", path, method: &method, headers: &headers };
    let table = RouteTable::uncounted(&config.routes);
    match table.find(request) {
        Found::Route(found) => Some(readings.evade(&table, &found, request)),
        _ => Some(false),
    }
}

#[test]
fn a_spelling_of_a_guarded_path_is_seen_whatever_the_case_of_the_pattern() {
    for guarded in ["/admin/{*rest}", "/Admin/{*rest}", "/%61dmin/{*rest}"] {
        let routes = [("/{*rest}", ""), (guarded, "auth = \"a\"")];
        for path in ["/aDmin/x", "/%61dmiN/x", "//admin/x", "/ADMIN/x", "/admin;y/x", "/admin%2fx"]
        {
            assert_eq!(evades(&routes, path), Some(true), "{guarded} {path}");
        }
    }
}

#[test]
fn a_guard_in_another_case_or_with_a_slash_is_seen_from_a_plain_path_too() {
    for (guarded, path) in [("/Admin", "/admin"), ("/admin/", "/admin"), ("/admin", "/admin/")] {
        assert_eq!(evades(&[("/{*rest}", ""), (guarded, "auth = \"a\"")], path), Some(true));
    }
    let named = [("/admin/", ""), ("/admin", "auth = \"a\"")];
    assert_eq!(evades(&named, "/admin/"), Some(false));
}

#[test]
fn a_server_that_reads_less_leniently_is_thought_of_as_well() {
    let routes = [
        ("/{*rest}", ""),
        ("/admin/{*rest}", "auth = \"a\""),
        ("/admin/login", ""),
        ("/admin/open/{*rest}", ""),
    ];
    for path in [
        "/%61dmin/x/%252e%252e/login",
        "/%61dmin/x%252f..%252flogin",
        "/%61dmin/x%252f%252e%252e%252fopen/y",
        "/%61dmin//open/y",
        "/ADMIN/;/open/y",
    ] {
        assert_eq!(evades(&routes, path), Some(true), "{path}");
    }
    for path in ["/%61dmin/login", "/ADMIN/open/y", "/admin/open/x%2Fy//z", "/admin/open/%2561"] {
        assert_eq!(evades(&routes, path), Some(false), "{path}");
    }
}

/// Whether `//login`, with `guard`, is refused beside a route for all paths with `open`.
fn is_refused(open: &str, guard: &str) -> bool {
    evades(&[("/{*rest}", open), ("/login", guard)], "//login").unwrap_or(false)
}

#[test]
fn a_stricter_limit_is_not_evaded_by_a_route_without_it() {
    let of = |names: &str| format!("rate_limits = [{names}]");
    for (open, guard, expected) in [
        ("", "\"few\"", true),
        ("\"many\"", "\"few\"", true),
        ("\"few\"", "\"many\"", false),
        ("\"few\"", "\"few\"", false),
        ("\"few\"", "\"few\", \"places\"", true),
        ("\"many\", \"few\"", "\"few\"", false),
        // Each value of the field has a count of its own.
        ("\"each\"", "\"few\"", true),
        ("\"few\"", "\"each\"", true),
        // Counts all clients together.
        ("\"all\"", "\"few\"", false),
        ("\"all\"", "\"places\"", false),
        ("\"few\"", "\"all\"", true),
    ] {
        assert_eq!(is_refused(&of(open), &of(guard)), expected, "{open} beside {guard}");
    }
}

#[test]
fn a_fixed_denial_is_a_guard_and_no_other_answer_is() {
    for (status, expected) in [
        (401, true),
        (403, true),
        (404, true),
        (410, true),
        (200, false),
        (429, false),
        (503, false),
    ] {
        let answer = format!("respond = {{ status = {status} }}");
        assert_eq!(is_refused("", &answer), expected, "{status}");
        // Who is denied anyway evades nothing.
        assert!(!is_refused("respond = { status = 404 }", &answer), "{status}");
    }
    assert!(is_refused("", "respond = { status = 404 }\nauth = \"a\""));
}

#[test]
fn a_route_that_asks_for_more_is_no_way_around_one_that_asks_for_less() {
    let require = |scopes: &str| format!("auth = \"a\"\nrequire = {{ claims = {{ {scopes} }} }}");
    let (one, other) = (require("sub = [\"x\"]"), require("sub = [\"y\"]"));
    assert!(is_refused(&one, &other) && is_refused("auth = \"a\"", &one));
    assert!(!is_refused(&one, "auth = \"a\"") && !is_refused(&one, &one));
    let local = "allow_clients = [\"10.0.0.0/8\"]";
    assert!(!is_refused(&format!("auth = \"a\"\n{local}"), local));
    assert!(is_refused(local, &format!("auth = \"a\"\n{local}")));
}

#[test]
fn patterns_that_fold_to_the_same_are_all_meant() {
    for (open, guarded) in [("/Admin/{*rest}", "/admin/{*rest}"), ("/%61dmin/{x}", "/admin/{x}")] {
        let routes = [(open, ""), (guarded, "auth = \"a\""), ("/{*rest}", "")];
        for path in ["/Admin/x", "/%61dmin/x", "/ADMIN/x", "/admin;/x"] {
            assert_eq!(evades(&routes, path), Some(true), "{open} {path}");
        }
        assert_eq!(evades(&routes, "/admin/x"), Some(false));
    }
    // Of those that are written the same, one hides the other.
    let canary = [("/a/{x}", "methods = [\"GET\"]"), ("/a/{x}", "auth = \"a\"")];
    assert_eq!(evades(&canary, "/a/%78"), Some(false));
}

#[test]
fn a_method_may_be_read_in_capitals() {
    let purge = "methods = [\"FLUSH\"]\nauth = \"a\"";
    let routes = [("/{*rest}", ""), ("/cache/{*rest}", purge), ("/named", ""), ("/named", purge)];
    for (method, path, expected) in [
        ("flush", "/cache/x", true),
        ("Flush", "/cache/x", true),
        ("flush", "/Cache/x", true),
        ("flush", "/named", true),
        ("FLUSH", "/cache/x", false),
        ("flush", "/x", false),
        ("brew", "/cache/x", false),
        ("GET", "/cache/x", false),
    ] {
        assert_eq!(evades_by(&routes, method, path), Some(expected), "{method} {path}");
    }
}

#[test]
fn a_path_that_could_only_be_read_as_one_with_the_same_guard_or_none_is_left_alone() {
    let routes = [
        ("/{*rest}", ""),
        ("/admin/{*rest}", "auth = \"a\""),
        ("/admin/open/{*rest}", ""),
        ("/local/{*rest}", "allow_clients = [\"10.0.0.0/8\"]"),
    ];
    for path in ["/x", "/A%20b//c", "/admin/X%20y", "/admin/open/%41", "/admin//open/x"] {
        assert_eq!(evades(&routes, path), Some(false), "{path}");
    }
    assert_eq!(evades(&routes, "/admin/%6fpen/x"), Some(false));
    assert_eq!(evades(&routes, "/Local/x"), Some(true));
    assert_eq!(evades(&routes[..1], "//x"), None);
}

/// A server that tells them apart takes what it reads for another path than the open one.
#[test]
fn letters_and_a_slash_at_the_end_may_be_told_apart() {
    let routes =
        [("/{*rest}", ""), ("/adm/{*rest}", "auth = \"a\""), ("/adm/x", ""), ("/Low/{*rest}", "")];
    for path in ["/adm%2fx/", "/adm%2fX", "/adm%2fx", "//adm/X", "/%61dm/x/", "//Adm/x/"] {
        let is_open = path == "/adm%2fx";
        assert_eq!(evades(&routes, path), Some(!is_open), "{path}");
    }
}

/// A guard that asks for a field is for all that a server may take for that field.
#[test]
fn a_field_that_may_be_read_as_the_one_a_guard_asks_for_is_seen() {
    let text = format!(
        "{SCHEME}[[routes]]\npath = \"/flag\"\nrespond = {{}}\nheaders = {{ x-debug = \"1\" }}\nauth = \"a\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\nrespond = {{}}\n\
         [[routes]]\npath = \"/flag\"\nrespond = {{}}\n"
    );
    let config = Config::load(&text, "test", &|_| None).expect("is valid");
    let readings = OtherReadings::new(&config).expect("guards differ");
    let table = RouteTable::uncounted(&config.routes);
    let evades = |path: &str, fields: &[(&str, &str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse().expect("is a name"), value.parse().expect("is a value"));
        }
        let request = Request { host: "", path, method: &Method::GET, headers: &headers };
        match table.find(request) {
            Found::Route(found) => readings.evade(&table, &found, request),
            _ => false,
        }
    };
    for fields in [
        &[("x-debug", "1"), ("x-debug", "1")][..],
        &[("x-debug", "0"), ("x-debug", "1")],
        &[("x-debug", "1,1")],
        &[("x-debug", "\"1\"")],
        &[("x_debug", "1")],
        &[("x-debug", "2"), ("x_debug", "1, \"1\"")],
    ] {
        assert!(evades("/flag", fields), "{fields:?}");
        assert!(evades("//flag", fields), "{fields:?}");
        assert!(!evades("/other", fields), "{fields:?}");
    }
    for fields in [&[][..], &[("x-debug", "1")], &[("x-debug", "1, 2")], &[("x-other", "1")]] {
        assert!(!evades("/flag", fields), "{fields:?}");
    }
}

/// What a server does to a path before it looks for what to serve, in this order or with parameters
/// dropped first.
#[derive(Clone, Copy, Debug)]
struct Server {
    decodes: usize,
    drops_parameters_first: bool,
    drops_parameters: bool,
    takes_backslashes: bool,
    ends_at_question_mark: bool,
    merges: bool,
    resolves: bool,
    ignores_case: bool,
    ignores_slash: bool,
}

impl Server {
    /// Written apart from `request/fold.rs`, on purpose.
    fn read(self, path: &str) -> String {
        let mut path = path.to_owned();
        let bare = |path: String| -> String {
            let segments = path.split('/').map(|one| one.split(';').next().unwrap_or_default());
            segments.collect::<Vec<_>>().join("/")
        };
        if self.drops_parameters_first {
            path = bare(path);
        }
        for _ in 0..self.decodes {
            path = ["%25", "%2f", "%5c", "%3f", "%3b", "%2e", "%61"]
                .iter()
                .zip(["\u{1}", "/", "\\", "?", ";", ".", "a"])
                .fold(path, |path, (from, to)| path.replace(from, to))
                .replace('\u{1}', "%");
        }
        if self.ends_at_question_mark {
            path = path.split('?').next().unwrap_or_default().to_owned();
        }
        if self.drops_parameters {
            path = bare(path);
        }
        if self.takes_backslashes {
            path = path.replace('\\', "/");
        }
        while self.merges && path.contains("//") {
            path = path.replace("//", "/");
        }
        if self.resolves {
            let mut kept: Vec<&str> = Vec::new();
            for segment in path.split('/').skip(1) {
                match segment {
                    "." => {}
                    ".." => drop(kept.pop()),
                    name => kept.push(name),
                }
            }
            path = format!("/{}", kept.join("/"));
        }
        if self.ignores_case {
            path.make_ascii_lowercase();
        }
        if self.ignores_slash && path.len() > 1 {
            path = path.strip_suffix('/').unwrap_or(&path).to_owned();
        }
        path
    }
}

fn servers() -> impl Strategy<Value = Server> {
    let flags = any::<[bool; 8]>();
    (0_usize..3, flags).prop_map(|(decodes, flags)| Server {
        decodes,
        drops_parameters_first: flags[0],
        drops_parameters: flags[1],
        takes_backslashes: flags[2],
        ends_at_question_mark: flags[3],
        merges: flags[4],
        resolves: flags[5],
        ignores_case: flags[6],
        ignores_slash: flags[7],
    })
}

/// Paths near `/adm` and `/adm/x` in all spellings.
const PATHS: &str = "(/|%2f|%252f|\\\\|%5c|%255c|//)?(adm|x|X|Adm|%61dm|%2561dm|\\.\\.|%2e%2e|%252e%252e|\\.|;|%3b|%253bx|%3f|%253f|/|%2f|%5c){1,6}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Whatever a server takes a path for, it serves nothing that is guarded to who has not passed.
    #[test]
    fn no_server_reads_a_path_that_passed_as_a_guarded_one(rest in PATHS, server in servers()) {
        let path = format!("/{rest}");
        let routes = [
            ("/{*rest}", ""),
            ("/adm", "auth = \"a\""),
            ("/adm/{*rest}", "auth = \"a\""),
            ("/adm/x", ""),
        ];
        let read = server.read(&path);
        let is_guarded = |path: &str| path == "/adm" || (path.starts_with("/adm/") && path != "/adm/x");
        if !is_guarded(&path) && path != "/adm/x" && is_guarded(&read) {
            prop_assert_eq!(evades(&routes, &path), Some(true), "{:?} read {}", server, read);
        }
    }
}
