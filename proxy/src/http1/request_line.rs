//! Request lines that the parser of heads does not take and HTTP allows: a later minor version (RFC 9110
//! section 2.5), and a target with bytes beyond ASCII. The parser gets a head of the same length in which
//! these are written otherwise; the target is then read from the head that came.

use bytes::{Bytes, BytesMut};

/// What the parser takes in place of `head`; `None` if that is no matter of the request line.
pub(super) fn mended(head: &[u8]) -> Option<Bytes> {
    let end = memchr::memchr(b'\r', head)?;
    let line = &head[..end];
    let version = minor_version(line);
    if line.is_ascii() && version.is_none() {
        return None;
    }
    let target = target(line)?;
    let mut mended = BytesMut::from(head);
    for byte in &mut mended[target.0..target.1] {
        if !byte.is_ascii() {
            *byte = b'x';
        }
    }
    if let Some(at) = version {
        mended[at] = b'1';
    }
    Some(mended.freeze())
}

/// Where the digit of a minor version beyond 1 stands.
fn minor_version(line: &[u8]) -> Option<usize> {
    let at = line.len().checked_sub(1)?;
    let is_later = line[..at].ends_with(b" HTTP/1.") && matches!(line[at], b'2'..=b'9');
    is_later.then_some(at)
}

/// Where the target begins and ends.
fn target(line: &[u8]) -> Option<(usize, usize)> {
    let start = memchr::memchr(b' ', line)? + 1;
    let end = memchr::memrchr(b' ', line)?;
    (start < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(given: &[u8]) -> Option<String> {
        let head = [given, b"\r\nx: \xff\r\n\r\n"].concat();
        let mended = mended(&head)?;
        assert_eq!(mended.len(), head.len());
        assert!(mended.ends_with(b"\r\nx: \xff\r\n\r\n"));
        Some(String::from_utf8_lossy(&mended[..given.len()]).into_owned())
    }

    #[test]
    fn only_the_target_and_a_later_minor_version_are_written_otherwise() {
        for (given, expected) in [
            (&b"GET / HTTP/1.1"[..], None),
            (b"GET / HTTP/1.2", Some("GET / HTTP/1.1")),
            (b"GET /\xc3\xa9 HTTP/1.9", Some("GET /xx HTTP/1.1")),
            (b"GET /\xe9 HTTP/1.0", Some("GET /x HTTP/1.0")),
            (b"G\xc9T /\xe9 HTTP/1.1", Some("G\u{fffd}T /x HTTP/1.1")),
            (b"GET / HTTP/1.12", None),
            (b"GET / HTTP/2.2", None),
            (b"GET / http/1.2", None),
            (b"\xe9", None),
        ] {
            assert_eq!(line(given).as_deref(), expected, "{}", given.escape_ascii());
        }
    }
}
