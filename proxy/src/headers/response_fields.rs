//! Fields of responses: the rules of a route, and whose word counts where the proxy and the upstream
//! both have one.

use actix_http::header::{self, HeaderMap, HeaderName};
use smallvec::SmallVec;

use super::{lines::FieldLines, request_id::X_REQUEST_ID};
use crate::config::HeaderRules;

pub fn apply(rules: &HeaderRules, headers: &mut HeaderMap) {
    for name in &rules.remove {
        headers.remove(name);
    }
    for (name, value) in &rules.set {
        headers.insert(name.clone(), value.clone());
    }
    for (name, value) in &rules.add {
        headers.append(name.clone(), value.clone());
    }
}

/// Takes out of `passed`, the fields of the upstream, what the proxy has written itself: `own`, but for
/// what `rules` add beside it, and but for `Vary` and cookies, of which there can be several. `cookie`
/// is the name of the one that is the proxy's.
pub fn replace(
    passed: &mut FieldLines,
    own: &HeaderMap,
    rules: Option<&HeaderRules>,
    cookie: Option<&str>,
) {
    // The id of the request is always there, and nearly always alone.
    if own.len_keys() <= 1 && cookie.is_none() {
        return;
    }
    let replaced: SmallVec<[&HeaderName; 4]> =
        own.keys().filter(|name| is_only_ours(name, rules)).collect();
    if replaced.is_empty() && cookie.is_none() {
        return;
    }
    let is_ours = |set_cookie: &[u8]| {
        let name = set_cookie.split(|byte| b"=;".contains(byte)).next().unwrap_or_default();
        cookie.is_some_and(|ours| ours.as_bytes() == name.trim_ascii())
    };
    passed.retain(|name, value| {
        let is_named = |one: &&HeaderName| name.eq_ignore_ascii_case(one.as_str().as_bytes());
        let is_cookie = name.eq_ignore_ascii_case(b"set-cookie") && is_ours(value);
        !is_cookie && !replaced.iter().any(is_named)
    });
}

/// What is set or removed by a rule was left out when the answer was read, and so was the id.
fn is_only_ours(name: &HeaderName, rules: Option<&HeaderRules>) -> bool {
    let is_ruled =
        |rules: &HeaderRules| rules.set.iter().chain(&rules.add).any(|(one, _)| one == name);
    *name != X_REQUEST_ID
        && *name != header::VARY
        && *name != header::SET_COOKIE
        && !rules.is_some_and(is_ruled)
}

#[cfg(test)]
mod tests {
    use actix_http::header::HeaderValue;

    use super::*;

    fn left(own: &[(&'static str, &'static str)], rules: &HeaderRules) -> String {
        let mut passed = FieldLines::default();
        for (name, value) in [
            ("Strict-Transport-Security", "max-age=0"),
            ("ratelimit", "theirs"),
            ("Set-Cookie", "route=theirs; Path=/"),
            ("Set-Cookie", "routes=theirs"),
            ("STRICT-TRANSPORT-SECURITY", ""),
            ("Vary", "accept"),
            ("X-Env", "theirs"),
        ] {
            passed.push(name, value.as_bytes());
        }
        let mut headers = HeaderMap::new();
        for (name, value) in own {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        replace(&mut passed, &headers, Some(rules), Some("route"));
        String::from_utf8(passed.as_bytes().to_vec()).expect("is text")
    }

    #[test]
    fn what_the_proxy_says_replaces_what_the_upstream_has_said_and_nothing_else() {
        let rules = HeaderRules::default();
        let own = [
            ("strict-transport-security", "max-age=1"),
            ("ratelimit", "ours"),
            ("vary", "Origin"),
            ("set-cookie", "route=ours"),
            ("x-request-id", "12345678"),
        ];
        let expected = "Set-Cookie: routes=theirs\r\nVary: accept\r\nX-Env: theirs\r\n";
        assert_eq!(left(&own, &rules), expected);
    }

    #[test]
    fn what_a_rule_adds_stands_beside_what_was_there() {
        let add = (HeaderName::from_static("x-env"), HeaderValue::from_static("ours"));
        let rules = HeaderRules { add: vec![add], ..HeaderRules::default() };
        let kept = left(&[("x-env", "ours")], &rules);
        assert!(kept.contains("X-Env: theirs") && kept.contains("max-age=0"), "{kept}");
        assert!(!kept.contains("route=theirs"), "{kept}");
    }
}
