//! The target of a request as all rules see it, and as it came where the two differ.
//!
//! Clients send bytes that RFC 3986 has no place for: `"` and `<` in a query, letters beyond ASCII. One
//! rule holds for path and query: every byte but white space, control characters and `#` is taken.
//! What the type of targets cannot hold is percent-encoded there, which to RFC 3986 section 2 is the same
//! data, so routes, guards and logs have one spelling of it; and the endpoint gets it as it came.

use actix_http::Uri;
use bytes::{BufMut, Bytes, BytesMut};

use crate::error::Reason;

/// A valid target.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    pub uri: Uri,
    /// Path and query as they came, if `uri` has them otherwise.
    pub raw: Option<Raw>,
}

/// A path and a query that are no valid URI. Nothing in them ends a line or a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    pub path: Bytes,
    /// Without the `?`.
    pub query: Option<Bytes>,
}

/// The largest target that `Uri` takes, in bytes.
const LONGEST: usize = u16::MAX as usize - 1;

/// Reads a target that is a part of `shared`.
///
/// # Errors
/// `bad_request`, or `uri_too_long` where encoding makes it so.
pub fn parse(shared: &Bytes, target: &[u8]) -> Result<Target, Reason> {
    // RFC 9112 section 3.2 has no fragment, and the parser of targets would cut it off silently.
    if target.contains(&b'#') {
        return Err(Reason::BadRequest);
    }
    let given = shared.slice_ref(target);
    match Uri::from_maybe_shared(given) {
        Ok(uri) => Ok(Target { uri, raw: None }),
        Err(_) => encode(shared, target),
    }
}

fn encode(shared: &Bytes, target: &[u8]) -> Result<Target, Reason> {
    if !target.iter().any(|byte| is_odd(*byte)) {
        return Err(Reason::BadRequest);
    }
    let mut encoded = BytesMut::with_capacity(target.len() + 64);
    for byte in target {
        if is_odd(*byte) {
            let digit = |four: u8| b"0123456789ABCDEF"[usize::from(four)];
            encoded.put_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        } else {
            encoded.put_u8(*byte);
        }
    }
    if encoded.len() > LONGEST {
        return Err(Reason::UriTooLong);
    }
    let uri = Uri::from_maybe_shared(encoded.freeze()).map_err(|_| Reason::BadRequest)?;
    let raw = shared.slice_ref(&target[start(target)..]);
    let question = raw.iter().position(|byte| *byte == b'?');
    let (path, query) = match question {
        Some(at) => (raw.slice(..at), Some(raw.slice(at + 1..))),
        None => (raw, None),
    };
    Ok(Target { uri, raw: Some(Raw { path, query }) })
}

/// Where path and query begin, behind the authority of a whole URL.
fn start(target: &[u8]) -> usize {
    if target.first() == Some(&b'/') {
        return 0;
    }
    let authority = target.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
    let end = target[authority..].iter().position(|byte| matches!(byte, b'/' | b'?'));
    end.map_or(target.len(), |end| authority + end)
}

/// What some part of a `Uri` cannot hold. Control characters are never data.
fn is_odd(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`' | 0x80..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(target: &[u8]) -> Result<Target, Reason> {
        let shared = Bytes::copy_from_slice(target);
        parse(&shared, &shared)
    }

    #[test]
    fn what_a_uri_cannot_hold_is_encoded_for_the_rules_and_kept_for_the_endpoint() {
        let raw = |path: &'static [u8], query: Option<&'static [u8]>| {
            Some(Raw { path: path.into(), query: query.map(Bytes::from) })
        };
        for (target, uri, kept) in [
            (&b"/a?b={c}|d"[..], "/a?b={c}|d", None),
            (b"/a\\b^c\"", "/a\\b^c\"", None),
            (b"/a?q=\"x\"<y>", "/a?q=%22x%22%3Cy%3E", raw(b"/a", Some(b"q=\"x\"<y>"))),
            (b"/a<b>`\"", "/a%3Cb%3E%60%22", raw(b"/a<b>`\"", None)),
            (b"/caf\xc3\xa9?q=\xe9", "/caf%C3%A9?q=%E9", raw(b"/caf\xc3\xa9", Some(b"q=\xe9"))),
            (b"http://a.test/<?>?", "http://a.test/%3C?%3E?", raw(b"/<", Some(b">?"))),
            (b"http://a.test?<", "http://a.test/?%3C", raw(b"", Some(b"<"))),
        ] {
            let found = parsed(target).expect("is valid");
            assert_eq!((found.uri.to_string().as_str(), found.raw), (uri, kept));
        }
    }

    #[test]
    fn what_ends_a_word_or_a_line_is_never_part_of_a_target() {
        for target in
            [&b"/a b"[..], b"/a\x7f", b"/a\"\x01", b"/a\r\n", b"/a#\"", b"/a?\"#b", b"\"", b""]
        {
            assert!(parsed(target).is_err(), "{}", target.escape_ascii());
        }
        let long = [b"/", &b"\"<"[..].repeat(20_000)[..]].concat();
        assert_eq!(parsed(&long), Err(Reason::UriTooLong));
    }

    proptest! {
        #[test]
        fn the_target_that_rules_see_decodes_to_what_came(rest in proptest::collection::vec(any::<u8>(), 0..20)) {
            let target = [b"/", &rest[..]].concat();
            if let Ok(Target { uri, raw: Some(raw) }) = parsed(&target) {
                let came = [&raw.path[..], raw.query.as_deref().map_or(&b""[..], |_| b"?"),
                            raw.query.as_deref().unwrap_or_default()].concat();
                prop_assert_eq!(&came, &target);
                prop_assert!(!came.iter().any(|byte| *byte <= b' ' || *byte == 0x7f));
                prop_assert_eq!(uri.query().is_some(), raw.query.is_some());
                let odd = |bytes: &[u8]| bytes.iter().filter(|byte| is_odd(**byte)).count();
                prop_assert_eq!(uri.path().len(), raw.path.len() + 2 * odd(&raw.path));
            }
        }
    }
}
