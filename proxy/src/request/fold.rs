//! How else servers may read a path. Each step here is one that some widespread server takes before
//! it looks for what to serve; what any of them can come to, in any number and any order, is a reading.
//! Nothing is ever forwarded as it is read here.

mod steps;

use self::steps::{ALL, decode, of_pattern};

/// Readings of one path that are looked at; a path with more has been made for that.
pub const MOST_READINGS: usize = 64;

/// Whether the path is its only reading; most are.
pub fn is_plain(path: &str) -> bool {
    let mut last = 0;
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'%' | b';' | b'\\' | b'?' | b'#' | b'+' | 0..=0x20 | 0x7f.. => {
                return false;
            }
            b'/' if matches!(last, b'/' | b'.') => return false,
            b'$' | b':' if last == b':' => return false,
            _ => last = byte,
        }
    }
    path.len() == 1 || !matches!(last, b'/' | b'.')
}

/// All readings, the path itself among them, to a server that tells letters and a slash at the end
/// apart; what others take each of them for is `loosened`. `None` if there are more than
/// `MOST_READINGS`.
pub fn readings(path: &str) -> Option<Vec<String>> {
    let mut found = vec![path.as_bytes().to_vec()];
    let mut next = 0;
    while let Some(one) = found.get(next) {
        let more: Vec<Vec<u8>> = ALL.iter().filter_map(|step| step(one)).collect();
        for reading in more {
            if !found.contains(&reading) {
                found.push(reading);
            }
        }
        if found.len() > MOST_READINGS {
            return None;
        }
        next += 1;
    }
    let text = |reading: &Vec<u8>| String::from_utf8_lossy(reading).into_owned();
    Some(found.iter().map(text).collect())
}

/// A pattern in the one form that all spellings of what it matches share.
pub fn fold(pattern: &str) -> String {
    let once = decode(pattern.as_bytes()).unwrap_or_else(|| pattern.as_bytes().to_vec());
    let mut folded = decode(&once).unwrap_or(once);
    for step in of_pattern() {
        folded = step(&folded).unwrap_or(folded);
    }
    loosened(&String::from_utf8_lossy(&folded))
}

/// A reading in the form in which `fold` has patterns: without what many servers do not tell apart,
/// which is case, a slash at the end, and a plus that forms write for a space.
pub fn loosened(reading: &str) -> String {
    without_case(without_end(reading))
}

/// A reading without a slash at the end.
pub fn without_end(reading: &str) -> &str {
    if reading.len() > 1 { reading.strip_suffix('/').unwrap_or(reading) } else { reading }
}

/// A reading for servers that tell neither case nor a plus from a space, but a slash at the end.
pub fn without_case(reading: &str) -> String {
    let text = reading.replace('+', " ");
    if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        text.chars().flat_map(fold_case).collect()
    }
}

/// By way of capitals: some letters beyond ASCII have one of ASCII, such as U+017F, a long s.
fn fold_case(letter: char) -> impl Iterator<Item = char> {
    letter.to_uppercase().flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether some server may read `path` as `other`.
    fn reads(path: &str, other: &str) -> bool {
        readings(path).expect("are few").iter().any(|reading| loosened(reading) == other)
    }

    #[test]
    fn every_spelling_of_a_path_has_it_among_its_readings() {
        for path in [
            "/admin/x",
            "/admin/x/",
            "//admin/x",
            "/admin//x",
            "/ADMIN/x",
            "/%61dmin/x",
            "/%2561dmin/x",
            "/%25%36%31dmin/x",
            "/%25u0061dmin/x",
            "/admin;a=b/x",
            "/admin/x;a=b",
            "/admin/x;/y/z",
            "/admin%3ba/x",
            "/admin%2fx",
            "/%2Fadmin%2Fx",
            "/admin%5cx",
            "/items/%252e%252e/admin/x",
            "/a%255cb/%252e%252e/admin/x",
            "/;/admin/x",
            "/admin/%252e/x",
            "/admin/x%3F",
            "/admin/x%3Fy/z",
            "/admin/x%23y",
            "/admin/x%00.png",
            "/admin/x%253Fy",
            "/admin./x",
            "/admin/x.",
            "/admin/x%20",
            "/admin/x...%20.",
            "/admin%20/x",
            "/ad%0amin/x",
            "/admin::$data/x",
            "/admin:$i30:$index_allocation/x",
            "//any.test/admin/x",
            "/%2fany.test/admin/x",
            "/%5cany.test%5cadmin/x",
            "///any/admin/x",
            "/%EF%BD%81dmin/x",
            "/%ef%bc%8fadmin%ef%bc%8fx",
            "/%c0%afadmin/x",
            "/y/%c0%ae%c0%ae/admin/x",
            "/%E0%80%AFadmin/x",
            "/%F0%80%80%AFadmin/x",
            "/%f8%80%80%81%a1dmin/x",
            "/%fc%80%80%80%80%afadmin/x",
            "/adm%C4%B1n/x",
            "/y;z%2fadmin/../admin/x",
        ] {
            assert!(reads(path, "/admin/x"), "{path}: {:?}", readings(path));
            assert_eq!(is_plain(path), path == "/admin/x", "{path}");
        }
        assert!(reads("/a+b", "/a b") && reads("/a%2Bb", "/a b"));
        assert!(reads("/%C5%BFecret", "/secret") && reads("/lin%E2%84%AA", "/link"));
    }

    #[test]
    fn a_pattern_folds_to_what_its_spellings_are_read_as() {
        for (pattern, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("/A/", "/a"),
            ("/%61dmin", "/admin"),
            ("/a/%252e%252e", "/"),
            ("/a%2Fb;v=1/c.", "/a/b/c"),
            ("/%7Bp0%7D", "/%7bp0%7d"),
            ("/{p0}/{*p1}", "/{p0}/{*p1}"),
            ("/caf%C3%89", "/caf\u{e9}"),
            ("/%ff", "/\u{fffd}"),
            ("/%", "/%"),
            // A placeholder may stand for what is cut off.
            ("/a%3Fb", "/a?b"),
        ] {
            assert_eq!(fold(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn servers_that_do_less_read_each_step_on_the_way() {
        assert_eq!(readings("/a/b").as_deref(), Some(&["/a/b".to_owned()][..]));
        for reading in ["/%61//b", "/a//b", "/a/b", "/a//b;x"] {
            assert!(reads("/%61//b;x", reading), "{reading}");
        }
        for reading in ["/a/x/%2e%2e/b", "/a/x/../b", "/a/b", "/a/x"] {
            assert!(reads("/a/x;y/%252E%252e/b", reading), "{reading}");
        }
        assert!(!reads("/a/x;y/b", "/x/b"));
    }

    #[test]
    fn a_path_that_was_made_to_have_many_readings_has_too_many() {
        let deep = format!("/%{}61", "25".repeat(100));
        assert_eq!(readings(&deep), None);
        assert_eq!(readings(&"/%2561%3F;/..%2f\\.".repeat(400)), None);
        // What people put into paths has a few.
        let url = "/fetch/https%3A%2F%2Fa.test%2Fx%20y%3Fq%3D1%26r%3Da%252Fb%3Bc%23d";
        assert!(readings(url).is_some());
    }

    proptest! {
        #[test]
        fn a_plain_path_is_its_only_reading(path in "/|(/[ab~:.$-]{0,3}[ab]){1,5}") {
            prop_assume!(is_plain(&path));
            prop_assert_eq!(&fold(&path), &path);
            prop_assert_eq!(readings(&path), Some(vec![path]));
        }

        #[test]
        fn what_is_not_plain_is_seen(path in "/([a.:$;+A/]|%61|%2f){0,4}") {
            let only = readings(&path);
            prop_assert!(!is_plain(&path) || only == Some(vec![path]));
        }
    }
}
