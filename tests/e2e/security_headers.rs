//! Fields that tell browsers to be careful: the usual ones, those that a table names, and whose word
//! counts where several speak.

use crate::support::{Answer, Origin, Proxy};

const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const OPINIONATED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-frame-options: ALLOWALL\r\n\
                           Referrer-Policy: unsafe-url\r\nContent-Security-Policy: theirs\r\n\r\nok";
const FIELDS: [&str; 8] = [
    "content-security-policy",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "permissions-policy",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
];
const USUAL: [(&str, &str); 3] = [
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "SAMEORIGIN"),
];

/// The answer to `GET /x`, whose route has these lines.
fn answer(upstream: &str, top: &str, route: &str) -> Answer {
    let origin = Origin::answering(upstream);
    let config = format!(
        "{top}\n[[routes]]\npath = \"/x\"\nservice = \"origin\"\n{route}\n{}",
        origin.config()
    );
    Proxy::start(&config).get("/x").send()
}

fn fields(answer: &Answer) -> Vec<(&'static str, &str)> {
    let values = |name: &&'static str| {
        let name = *name;
        answer.headers(name).into_iter().map(move |value| (name, value)).collect::<Vec<_>>()
    };
    FIELDS.iter().flat_map(values).collect()
}

#[test]
fn nothing_is_added_unless_it_is_asked_for() {
    assert_eq!(fields(&answer(PLAIN, "", "")), []);
    assert_eq!(fields(&answer(PLAIN, "security_headers = false", "")), []);
}

#[test]
fn the_usual_fields_are_added_for_one_route_or_for_all() {
    assert_eq!(fields(&answer(PLAIN, "", "security_headers = true")), USUAL);
    assert_eq!(fields(&answer(PLAIN, "security_headers = true", "")), USUAL);
}

#[test]
fn a_route_says_otherwise_for_itself() {
    let top = "security_headers = { frame_options = \"DENY\", permissions_policy = \"camera=()\" }";
    let by_top = answer(PLAIN, top, "");
    assert_eq!(
        fields(&by_top),
        [("permissions-policy", "camera=()"), USUAL[0], USUAL[1], ("x-frame-options", "DENY")]
    );
    assert_eq!(fields(&answer(PLAIN, top, "security_headers = false")), []);
    assert_eq!(fields(&answer(PLAIN, top, "security_headers = true")), USUAL);
}

#[test]
fn a_table_changes_the_usual_fields_and_adds_others() {
    let table = "security_headers = { content_type_options = false, frame_options = \"off\", \
                 referrer_policy = \"no-referrer\", \
                 content_security_policy = \"default-src 'self'\", \
                 cross_origin_opener_policy = \"same-origin\", \
                 cross_origin_resource_policy = \"same-site\", \
                 cross_origin_embedder_policy = \"require-corp\" }";
    assert_eq!(
        fields(&answer(PLAIN, "", table)),
        [
            ("content-security-policy", "default-src 'self'"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-site"),
            ("referrer-policy", "no-referrer"),
        ]
    );
}

#[test]
fn what_the_upstream_says_is_replaced_where_the_proxy_speaks_and_only_there() {
    assert_eq!(
        fields(&answer(OPINIONATED, "", "security_headers = true")),
        [("content-security-policy", "theirs"), USUAL[0], USUAL[1], USUAL[2]]
    );
}

#[test]
fn a_rule_of_the_route_for_the_field_comes_first() {
    let rules = "security_headers = true\nresponse_headers = { remove = [\"Referrer-Policy\"], \
                 set = { X-Frame-Options = \"DENY\" } }";
    assert_eq!(
        fields(&answer(OPINIONATED, "", rules))[1..],
        [USUAL[1], ("x-frame-options", "DENY")]
    );
}

#[test]
fn the_proxys_own_answers_have_them_too() {
    let config = "security_headers = true\n\
                  [auth_schemes.a]\ntype = \"bearer\"\ntokens = [\"secret-token\"]\n\
                  [[routes]]\nauth = \"a\"\nrespond = {}\n";
    let proxy = Proxy::start(config);
    let refused = proxy.get("/").send();
    assert_eq!((refused.status, fields(&refused)), (401, USUAL.to_vec()));
    assert_eq!(fields(&proxy.get("/").bearer("secret-token").send()), USUAL);
}
