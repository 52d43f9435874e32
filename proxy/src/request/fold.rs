//! A path as the most lenient of servers may read it: escapes decoded, twice if need be, what stands
//! behind a `;` left out, slashes merged, one at the end dropped, case ignored. Two spellings of what
//! some server takes for one path fold to the same; nothing is ever forwarded folded.

/// Whether the path folds to itself; most do.
pub fn is_plain(path: &str) -> bool {
    let mut last = 0;
    for byte in path.bytes() {
        let is_odd = byte.is_ascii_uppercase() || b"%;\\".contains(&byte);
        if is_odd || (byte == b'/' && last == b'/') {
            return false;
        }
        last = byte;
    }
    last != b'/' || path.len() == 1
}

/// The path in the one form that all its spellings share.
pub fn fold(path: &str) -> String {
    resolve(&decode(&lower(path)))
}

/// What servers may read that do less than `fold`, each in lower case: escapes decoded once, and
/// segments as they come. The path that folds to an open one may be a guarded one to them.
pub fn half_folded(path: &str) -> Vec<String> {
    let once = lower(path);
    let twice = decode(&once);
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    if once == twice {
        return vec![text(&once)];
    }
    vec![text(&once), text(&twice), resolve(&once)]
}

/// Decoded once.
fn lower(path: &str) -> Vec<u8> {
    let mut decoded = decode(path.as_bytes());
    decoded.make_ascii_lowercase();
    decoded
}

/// Without parameters, dot segments and empty ones.
fn resolve(path: &[u8]) -> String {
    let path = path.to_ascii_lowercase();
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| b"/\\".contains(byte)) {
        match segment.split(|byte| *byte == b';').next().unwrap_or_default() {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            name => kept.push(name),
        }
    }
    format!("/{}", String::from_utf8_lossy(&kept.join(&b'/')))
}

/// Without escapes, but for braces: they are placeholders in a pattern.
fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        if let (b'%', [high, low, after @ ..]) = (byte, after)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
            && !b"{}".contains(&(high << 4 | low))
        {
            decoded.push(high << 4 | low);
            rest = after;
        } else {
            decoded.push(*byte);
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_spellings_of_a_path_fold_to_one() {
        for path in [
            "/admin/x",
            "//admin/x",
            "/admin//x",
            "/ADMIN/x",
            "/%61dmin/x",
            "/%2561dmin/x",
            "/admin;a=b/x",
            "/admin/x;a=b",
            "/admin%3ba/x",
            "/admin%2fx",
            "/%2Fadmin%2Fx",
            "/admin%5cx",
            "/items/%252e%252e/admin/x",
            "/;/admin/x",
            "/admin/%252e/x",
        ] {
            assert_eq!(fold(path), "/admin/x", "{path}");
            assert_eq!(is_plain(path), path == "/admin/x", "{path}");
        }
        for (path, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("/A/", "/a"),
            ("/a/%252e%252e", "/"),
            ("/%7Bp0%7D", "/%7bp0%7d"),
            ("/{p0}/{*p1}", "/{p0}/{*p1}"),
            ("/%ff", "/\u{fffd}"),
            ("/%", "/%"),
        ] {
            assert_eq!(fold(path), expected, "{path}");
        }
    }

    #[test]
    fn servers_that_do_less_read_each_step_on_the_way() {
        assert_eq!(half_folded("/a/b"), ["/a/b"]);
        assert_eq!(half_folded("/%41//b;x"), ["/a//b;x"]);
        assert_eq!(
            half_folded("/%61/x;y/%252E%252e/b"),
            ["/a/x;y/%2e%2e/b", "/a/x;y/../b", "/a/x/%2e%2e/b"]
        );
    }

    proptest! {
        #[test]
        fn a_plain_path_folds_to_itself(path in "/|(/[ab~-]{1,3}){1,5}") {
            prop_assert!(is_plain(&path));
            prop_assert_eq!(fold(&path), path);
        }
    }
}
