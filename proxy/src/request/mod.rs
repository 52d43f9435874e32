//! What a request must be before anything is decided about it: the form of its target, its host
//! and its path. One validator for every protocol; what it lets through, two readers
//! understand the same way.
//!
//! `http1/` has refused before: heads that are not HTTP/1, ambiguous length fields, a repeated
//! `Host`.

mod fold;
mod host;
mod method;
mod path;
pub mod target;

use actix_http::{
    Method, RequestHead, Version,
    header::{self, HeaderValue},
};

pub use self::{
    fold::{fold, is_plain, loosened, readings, without_case, without_end},
    host::{is_valid as is_host, without_port},
    method::{check as check_method, in_capitals},
};
use crate::{config::PathPolicy, error::Reason};

/// What was found out about a valid request.
#[derive(Debug, PartialEq, Eq)]
pub struct Checked {
    /// The path with its dot segments resolved; `None` if it has none.
    pub path: Option<String>,
}

/// Checks all that does not depend on the route.
///
/// # Errors
/// `bad_request`, or `method_not_allowed` for CONNECT and TRACE.
pub fn check(head: &RequestHead, policy: PathPolicy) -> Result<Checked, Reason> {
    check_method(&head.method)?;
    check_target(head)?;
    check_host(head)?;
    Ok(Checked { path: normal_path(head.uri.path(), policy)? })
}

/// The protocols that the request offers to switch to (RFC 9110 section 7.8), if a tunnel may come
/// of it; any other `Upgrade` is as good as none, for a server may ignore it. h2c may not: what is asked
/// inside it would pass every rule unseen.
pub fn upgrade(head: &RequestHead) -> Option<&HeaderValue> {
    let mut given = head.headers.get_all(header::UPGRADE).filter(|value| offers(value.as_bytes()));
    let offer = given.next()?;
    let is_only = given.next().is_none() && head.version == Version::HTTP_11;
    let connection = head.headers.get_all(header::CONNECTION);
    let mut options = connection.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let is_named = options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    let mut offers = offer.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let is_h2c = offers.any(|offer| offer.len() >= 3 && offer[..3].eq_ignore_ascii_case(b"h2c"));
    (is_only && is_named && !is_h2c).then_some(offer)
}

/// Whether the value of an `Upgrade` names any protocol: an empty list is allowed (RFC 9110 section
/// 5.6.1).
pub fn offers(upgrade: &[u8]) -> bool {
    upgrade.iter().any(|byte| !matches!(byte, b',' | b' ' | b'\t'))
}

/// The path without dot segments; `None` if it has none.
///
/// # Errors
/// `bad_request` for a path that servers read differently.
pub fn normal_path(path: &str, policy: PathPolicy) -> Result<Option<String>, Reason> {
    path::normalize(path, policy)
}

/// Whether a valid path has a byte that servers may read otherwise: a backslash, or a control character.
pub fn has_unsafe_bytes(path: &str) -> bool {
    path::has_unsafe_bytes(path.as_bytes())
}

/// RFC 9112 section 3.2: a path from "/", or a whole `http` URL; `*` for OPTIONS alone.
fn check_target(head: &RequestHead) -> Result<(), Reason> {
    let uri = &head.uri;
    let is_valid = match (uri.scheme_str(), uri.authority()) {
        (None, None) => uri.path().starts_with('/') || asks_about_server(head),
        (Some("http" | "https"), Some(authority)) => {
            host::is_valid(authority.as_str().as_bytes()) && uri.path().starts_with('/')
        }
        _ => false,
    };
    if is_valid { Ok(()) } else { Err(Reason::BadRequest) }
}

/// RFC 9110 section 9.3.7: what the server can do, whatever is asked of it.
pub fn asks_about_server(head: &RequestHead) -> bool {
    head.method == Method::OPTIONS && head.uri == "*"
}

/// RFC 9112 section 3.2: one `Host`, which HTTP/1.0 may lack.
fn check_host(head: &RequestHead) -> Result<(), Reason> {
    let mut hosts = head.headers.get_all(header::HOST);
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host::is_valid(host.as_bytes()) => Ok(()),
        (None, None) if head.version < Version::HTTP_11 || head.uri.authority().is_some() => Ok(()),
        _ => Err(Reason::BadRequest),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn checked(request: TestRequest) -> Result<Option<String>, Reason> {
        let request = request.to_request();
        check(request.head(), PathPolicy::default()).map(|checked| checked.path)
    }

    fn get(target: &str) -> TestRequest {
        TestRequest::get().uri(target).insert_header(("host", "a.test"))
    }

    #[test]
    fn a_target_is_a_path_or_a_url() {
        for target in ["/", "/a?b", "http://a.test/x", "https://a.test/x", "http://a.test?x=1"] {
            assert_eq!(checked(get(target)), Ok(None), "{target}");
        }
        for target in ["admin", "a.test:80", "*", "ftp://a.test/x", "http://u@a.test/x", "u@a.test"]
        {
            assert_eq!(checked(get(target)), Err(Reason::BadRequest), "{target}");
        }
        assert_eq!(checked(get("*").method(Method::OPTIONS)), Ok(None));
    }

    #[test]
    fn connect_and_trace_are_refused() {
        for method in [Method::CONNECT, Method::TRACE] {
            assert_eq!(checked(get("/").method(method)), Err(Reason::MethodNotAllowed));
        }
        let long = Method::from_bytes(&[b'A'; 33]).expect("is a token");
        assert_eq!(checked(get("/").method(long)), Err(Reason::BadRequest));
    }

    #[test]
    fn a_host_is_needed_once_and_well_formed() {
        assert_eq!(checked(TestRequest::get().uri("/")), Err(Reason::BadRequest));
        let old = TestRequest::get().uri("/").version(Version::HTTP_10);
        assert_eq!(checked(old), Ok(None));
        assert_eq!(checked(get("/").append_header(("host", "a.test"))), Err(Reason::BadRequest));
    }

    #[test]
    fn a_tunnel_is_offered_in_both_fields_and_never_for_h2c() {
        let offer = |connection: &'static str, upgrade: &'static str| {
            let request = get("/").insert_header(("connection", connection));
            let request = request.insert_header(("upgrade", upgrade)).to_request();
            super::upgrade(request.head()).cloned()
        };
        assert_eq!(offer("keep-alive, Upgrade", "foo/1"), Some(HeaderValue::from_static("foo/1")));
        assert_eq!(offer("keep-alive", "websocket"), None);
        assert_eq!(offer("upgrade", "H2C"), None);
        assert_eq!(offer("upgrade", "websocket, h2c"), None);
        assert_eq!(offer("upgrade", " , "), None);
    }

    #[test]
    fn an_empty_upgrade_beside_another_is_none() {
        let request = get("/").insert_header(("connection", "upgrade"));
        let request = request.append_header(("upgrade", "")).append_header(("upgrade", "tcp"));
        let request = request.to_request();
        assert_eq!(super::upgrade(request.head()), Some(&HeaderValue::from_static("tcp")));
    }
}
