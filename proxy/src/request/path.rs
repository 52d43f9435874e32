//! The path that is routed, authorised and forwarded is one and the same.
//!
//! Dot segments, plain or percent-encoded, are resolved once (RFC 3986 section 5.2.4). Everything
//! else stays as it was sent: `%2F` is data, `//` is two slashes, case of escapes is kept. What
//! climbs for some servers and not for others is refused; what only leads some of them elsewhere is for
//! `routing/readings.rs` to judge.

use crate::{
    config::{DotSegments, EncodedSlash, PathPolicy},
    error::Reason,
};

/// The path without dot segments; `None` if it had none.
///
/// # Errors
/// `bad_request` for a NUL or an end of line, a control character that is not encoded, a broken escape, a dot segment that
/// hides behind `;`, `%2F`, a backslash or a tab, and what the policy refuses.
pub(super) fn normalize(path: &str, policy: PathPolicy) -> Result<Option<String>, Reason> {
    if !path.bytes().any(|byte| NEEDS_A_LOOK[usize::from(byte)]) {
        return Ok(None);
    }
    let mut has_dots = false;
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            0..=0x20 | 0x7f => return Err(Reason::BadRequest),
            b'\\' => has_dots = true,
            b'%' => {
                let decoded = decode(after).ok_or(Reason::BadRequest)?;
                match decoded {
                    // An end to what is written in C, and a new line where a path is written decoded,
                    // whatever routes there are.
                    0 | b'\r' | b'\n' => return Err(Reason::BadRequest),
                    b'\\' | b'\t' => has_dots = true,
                    b'/' if policy.encoded_slash == EncodedSlash::Reject => {
                        return Err(Reason::BadRequest);
                    }
                    b'.' => has_dots = true,
                    b'/' if after.get(2) == Some(&b'.') => has_dots = true,
                    _ => {}
                }
                rest = &after[2..];
            }
            b'/' if after.first() == Some(&b'.') => has_dots = true,
            _ => {}
        }
    }
    if has_dots { resolve(path, policy) } else { Ok(None) }
}

/// Whether there is a backslash or a control character, encoded or not.
pub(super) fn has_unsafe_bytes(path: &[u8]) -> bool {
    let is_unsafe = |byte: u8| matches!(byte, b'\\' | 0..=0x1f | 0x7f);
    let is_encoded = |at: usize| path[at] == b'%' && decode(&path[at + 1..]).is_some_and(is_unsafe);
    (0..path.len()).any(|at| is_unsafe(path[at]) || is_encoded(at))
}

/// Bytes that may have to be refused or resolved; most paths have none.
static NEEDS_A_LOOK: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte <= 0x20 || matches!(byte, 0x2e | 0x25 | 0x5c | 0x7f);
        byte += 1;
    }
    table
};

/// The byte that two hexadecimal digits stand for.
fn decode(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match digits {
        [high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

fn resolve(path: &str, policy: PathPolicy) -> Result<Option<String>, Reason> {
    let mut kept: Vec<&str> = Vec::new();
    let mut is_changed = false;
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        match dots(segment) {
            Dots::None => kept.push(segment),
            Dots::Hidden => return Err(Reason::BadRequest),
            Dots::One | Dots::Two if policy.dot_segments == DotSegments::Reject => {
                return Err(Reason::BadRequest);
            }
            dots => {
                is_changed = true;
                if dots == Dots::Two {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
        }
    }
    Ok(is_changed.then(|| format!("/{}", kept.join("/"))))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dots {
    None,
    One,
    Two,
    /// Dots between encoded slashes, backslashes, before `;` or with a tab between them: a server
    /// that decodes first, strips parameters, or reads URLs as browsers do would climb.
    Hidden,
}

fn dots(segment: &str) -> Dots {
    match only_dots(segment) {
        Some(1) => Dots::One,
        Some(2) => Dots::Two,
        _ if hides_dots(segment) => Dots::Hidden,
        _ => Dots::None,
    }
}

/// How many dots `part` is made of, if there is nothing else in it.
fn only_dots(part: &str) -> Option<usize> {
    let mut rest = part;
    let mut count = 0;
    loop {
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
        } else if rest.get(..3).is_some_and(|escape| escape.eq_ignore_ascii_case("%2e")) {
            rest = &rest[3..];
        } else {
            return rest.is_empty().then_some(count);
        }
        count += 1;
    }
}

fn hides_dots(segment: &str) -> bool {
    let decoded = segment.to_ascii_lowercase().replace("%2f", "/").replace("%3b", ";");
    let decoded = decoded.replace("%5c", "\\").replace("%09", "");
    decoded.split(['/', '\\']).any(|part| {
        let bare = part.split(';').next().unwrap_or_default();
        matches!(only_dots(bare), Some(1 | 2))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(path: &str) -> Result<String, Reason> {
        let normal = normalize(path, PathPolicy::default())?;
        Ok(normal.unwrap_or_else(|| path.to_owned()))
    }

    #[test]
    fn dot_segments_are_resolved_and_all_else_is_kept() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b/", "/a//b/"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/../../x", "/x"),
            ("/..", "/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a/%2e/b", "/a/b"),
            ("/a/...", "/a/..."),
            ("/a/.b/..c", "/a/.b/..c"),
            ("/a%2Fb%2f", "/a%2Fb%2f"),
            ("/a%2F.b/..c%2f/../d", "/a%2F.b/d"),
            ("/%41%zz".trim_end_matches("%zz"), "/%41"),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/a\\b", "/a\\b"),
            ("/a%5cb/../c%5C.d", "/c%5C.d"),
            ("/a%09b%7f%01", "/a%09b%7f%01"),
            ("*", "*"),
        ] {
            assert_eq!(normal(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn what_servers_disagree_about_is_refused() {
        for path in [
            "/a\\..\\b",
            "/a\\..",
            "/..\\b",
            "/a/..%5cb",
            "/a%5C..%5cb",
            "/a\\%2e%2e/b",
            "/a%5c.%2e;x/b",
            "/a\\.",
            "/a/.%09./b",
            "/a/..%09/b",
            "/a%0d%0a",
            "/a%5c%09../b",
            "/a%00",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a/..;/b",
            "/a/..;x/b",
            "/a/..%2fb",
            "/a/%2e%2e%2Fb",
            "/a/.;/b",
            "/a/..%3bx/b",
            "/a%2f../b",
            "/a%2F..%2fb",
            "/a%2f%2e%2e",
            "/a%2f.;x/b",
        ] {
            assert_eq!(normal(path), Err(Reason::BadRequest), "{path}");
        }
    }

    #[test]
    fn a_policy_can_be_stricter() {
        let slash = PathPolicy { encoded_slash: EncodedSlash::Reject, ..PathPolicy::default() };
        assert_eq!(normalize("/a%2fb", slash), Err(Reason::BadRequest));
        let dots = PathPolicy { dot_segments: DotSegments::Reject, ..PathPolicy::default() };
        assert_eq!(normalize("/a/../b", dots), Err(Reason::BadRequest));
        assert_eq!(normalize("/a/b.c", dots), Ok(None));
    }

    proptest! {
        #[test]
        fn a_normal_path_stays_as_it_is_and_never_climbs(path in "(/([ab.]|%2e|%2f|;|%41|\\\\|%5c|%09){0,4}){0,6}") {
            let path = format!("/{}", path.trim_start_matches('/'));
            if let Ok(once) = normal(&path) {
                prop_assert!(once.starts_with('/'));
                prop_assert_eq!(normal(&once), Ok(once.clone()));
                let climbs = once.split('/').any(|segment| matches!(dots(segment), Dots::One | Dots::Two));
                prop_assert!(!climbs, "{}", once);
                let read = once.replace("%09", "").replace("%2f", "/").replace("%5c", "\\");
                let climbs = read.split(['/', '\\']).any(|part| only_dots(part) == Some(2));
                prop_assert!(!climbs, "{}", once);
            }
        }
    }
}
