//! Finds the end of a request head in bytes as they come, and what follows it.
//!
//! It reads no more than it must: line ends, the length of the target, the number of fields, and
//! the fields that decide what comes next. Everything else is left to the parser behind it, which
//! sees the same bytes.

use crate::{config::HeadBounds, error::Reason};

/// What a request line can have beside its target, in bytes.
const REST_OF_LINE: usize = 64;

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// The next head.
    Nothing,
    Length(u64),
    Chunks,
    /// Bytes that only the parser understands: it refuses this head, or changes the protocol.
    Anything,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    Partial,
    Whole {
        /// Of the head, in bytes.
        length: usize,
        follows: Follows,
        /// Whether the client says that no other head will come.
        is_last: bool,
    },
}

/// A scan of one head. A head that comes in pieces is looked at once.
#[derive(Debug, Default)]
pub(super) struct HeadScanner {
    /// Start of the line that is being read.
    line: usize,
    /// How far it was looked at.
    seen: usize,
    lines: usize,
    length: Option<u64>,
    is_chunked: bool,
    is_odd: bool,
    is_last: bool,
}

impl HeadScanner {
    /// Looks at all bytes since the start of the head.
    pub(super) fn scan(&mut self, bytes: &[u8], bounds: HeadBounds) -> Result<Scanned, Reason> {
        while let Some(newline) = memchr::memchr(b'\n', &bytes[self.seen..]) {
            let end = self.seen + newline;
            self.seen = end + 1;
            // RFC 9112 section 2.2 allows a bare LF, and smuggling lives on who takes it for one.
            let line = bytes[self.line..end].strip_suffix(b"\r").ok_or(Reason::BadRequest)?;
            self.line = end + 1;
            if self.line > bounds.bytes {
                return Err(Reason::HeadersTooLarge);
            }
            if line.is_empty() && self.lines > 0 {
                let (follows, is_last) = (self.follows(), self.is_last);
                return Ok(Scanned::Whole { length: self.line, follows, is_last });
            }
            self.take_line(line, bounds)?;
        }
        self.seen = bytes.len();
        if self.lines == 0 && bytes.len() > bounds.target + REST_OF_LINE {
            return Err(Reason::UriTooLong);
        }
        if bytes.len() > bounds.bytes {
            return Err(Reason::HeadersTooLarge);
        }
        Ok(Scanned::Partial)
    }

    fn take_line(&mut self, line: &[u8], bounds: HeadBounds) -> Result<(), Reason> {
        self.lines += 1;
        if self.lines == 1 {
            return self.take_request_line(line, bounds);
        }
        if self.lines - 1 > bounds.fields {
            return Err(Reason::HeadersTooLarge);
        }
        match line.first() {
            Some(b'c' | b'C') => self.take_c(line),
            Some(b't' | b'T') => {
                if let Some(value) = value_of(line, b"transfer-encoding") {
                    self.is_odd |= self.is_chunked || !value.eq_ignore_ascii_case(b"chunked");
                    self.is_chunked = true;
                }
            }
            Some(b'u' | b'U') => self.is_odd |= value_of(line, b"upgrade").is_some(),
            _ => {}
        }
        Ok(())
    }

    fn take_request_line(&mut self, line: &[u8], bounds: HeadBounds) -> Result<(), Reason> {
        let mut words = line.split(|byte| *byte == b' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if method.is_empty() {
            return Err(Reason::BadRequest);
        }
        self.is_odd |= method == b"CONNECT";
        if target.len() > bounds.target { Err(Reason::UriTooLong) } else { Ok(()) }
    }

    fn take_c(&mut self, line: &[u8]) {
        if let Some(value) = value_of(line, b"content-length") {
            let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(value).ok().filter(|_| is_number);
            match text.and_then(|text| text.parse().ok()) {
                Some(length) if self.length.is_none() => self.length = Some(length),
                _ => self.is_odd = true,
            }
        } else if let Some(value) = value_of(line, b"connection") {
            let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            self.is_last |= options.any(|option| option.eq_ignore_ascii_case(b"close"));
        }
    }

    fn follows(&self) -> Follows {
        match (self.length, self.is_chunked) {
            _ if self.is_odd => Follows::Anything,
            (Some(_), true) => Follows::Anything,
            (None, true) => Follows::Chunks,
            (Some(0) | None, false) => Follows::Nothing,
            (Some(length), false) => Follows::Length(length),
        }
    }
}

/// The value of a field line, if it has this name.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (given, rest) = line.split_at_checked(name.len())?;
    let value = if given.eq_ignore_ascii_case(name) { rest.strip_prefix(b":") } else { None };
    value.map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: HeadBounds = HeadBounds { bytes: 300, fields: 4, target: 20 };

    fn scan(head: &str) -> Result<Scanned, Reason> {
        HeadScanner::default().scan(head.as_bytes(), BOUNDS)
    }

    fn whole(fields: &str) -> (Follows, bool) {
        match scan(&format!("POST /x HTTP/1.1\r\n{fields}\r\nrest")) {
            Ok(Scanned::Whole { follows, is_last, .. }) => (follows, is_last),
            other => panic!("expected a whole head, found {other:?}"),
        }
    }

    #[test]
    fn a_head_in_pieces_is_found_at_any_cut() {
        let head = b"GET / HTTP/1.1\r\nContent-Length: 12\r\n\r\n";
        let found =
            Scanned::Whole { length: head.len(), follows: Follows::Length(12), is_last: false };
        for cut in 0..head.len() {
            let mut scanner = HeadScanner::default();
            assert_eq!(scanner.scan(&head[..cut], BOUNDS), Ok(Scanned::Partial), "{cut}");
            let longer = [&head[..], b"more"].concat();
            assert_eq!(scanner.scan(&longer, BOUNDS).as_ref(), Ok(&found), "{cut}");
        }
    }

    #[test]
    fn the_length_fields_say_what_follows() {
        assert_eq!(whole("content-length: 5\r\n"), (Follows::Length(5), false));
        assert_eq!(whole("CONTENT-LENGTH:0\r\n"), (Follows::Nothing, false));
        assert_eq!(whole("Transfer-Encoding: chunked\r\n"), (Follows::Chunks, false));
        assert_eq!(whole("Connection: x, Close\r\n"), (Follows::Nothing, true));
        for odd in [
            "content-length: 5\r\ncontent-length: 5\r\n",
            "content-length: +5\r\n",
            "content-length: \r\n",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "upgrade: websocket\r\n",
        ] {
            assert_eq!(whole(odd).0, Follows::Anything, "{odd:?}");
        }
    }

    #[test]
    fn bounds_hold_for_whole_and_partial_heads() {
        let target = "x".repeat(21);
        assert_eq!(scan(&format!("GET {target} HTTP/1.1\r\n\r\n")), Err(Reason::UriTooLong));
        assert_eq!(scan(&format!("GET {}", "x".repeat(90))), Err(Reason::UriTooLong));
        let fields = "a: b\r\n".repeat(5);
        let many = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        assert_eq!(scan(&many), Err(Reason::HeadersTooLarge));
        let long = format!("GET / HTTP/1.1\r\na: {}", "x".repeat(300));
        assert_eq!(scan(&long), Err(Reason::HeadersTooLarge));
        assert_eq!(scan(&format!("{long}\r\n\r\n")), Err(Reason::HeadersTooLarge));
    }

    #[test]
    fn a_line_ends_in_crlf_only_and_none_is_skipped() {
        let bare = "GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n";
        for head in ["GET / HTTP/1.1\n", bare, "\r\nGET / HTTP/1.1\r\n\r\n", " GET / HTTP/1.1\r\n"]
        {
            assert_eq!(scan(head), Err(Reason::BadRequest), "{head:?}");
        }
    }
}
