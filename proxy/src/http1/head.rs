//! Finds the end of a request head in bytes as they come, and holds it to its bounds before
//! anything is parsed: line ends, the length of the target, the number of fields.

use crate::{config::HeadBounds, error::Reason};

/// What a request line can have beside its target, in bytes.
const REST_OF_LINE: usize = 64;

/// A scan of one head. A head that comes in pieces is looked at once.
#[derive(Debug, Default)]
pub(super) struct HeadScanner {
    /// Start of the line that is being read.
    line: usize,
    /// How far it was looked at.
    seen: usize,
    lines: usize,
}

impl HeadScanner {
    /// Looks at all bytes since the start of the head; its length once it is whole.
    ///
    /// # Errors
    /// `bad_request` for a line that does not end in CRLF or a method without end, or the bound that is
    /// broken.
    pub(super) fn scan(
        &mut self,
        bytes: &[u8],
        bounds: HeadBounds,
    ) -> Result<Option<usize>, Reason> {
        while let Some(newline) = memchr::memchr(b'\n', &bytes[self.seen..]) {
            let end = self.seen + newline;
            self.seen = end + 1;
            self.check_length(self.seen, bytes, bounds)?;
            // RFC 9112 section 2.2 allows a bare LF, and smuggling lives on who takes it for one.
            let line = bytes[self.line..end].strip_suffix(b"\r").ok_or(Reason::BadRequest)?;
            self.line = self.seen;
            if line.is_empty() && self.lines > 0 {
                return Ok(Some(self.line));
            }
            self.take_line(line, bounds)?;
        }
        self.seen = bytes.len();
        self.check_length(self.seen, bytes, bounds)?;
        Ok(None)
    }

    /// Before a line is looked at, so that it makes no difference how much of it comes at once.
    fn check_length(&self, length: usize, bytes: &[u8], bounds: HeadBounds) -> Result<(), Reason> {
        if self.lines == 0 && length > bounds.target + REST_OF_LINE {
            // Without a target yet, it is the method that has no end.
            let is_target = memchr::memchr(b' ', &bytes[..REST_OF_LINE]).is_some();
            return Err(if is_target { Reason::UriTooLong } else { Reason::BadRequest });
        }
        if length > bounds.bytes { Err(Reason::HeadersTooLarge) } else { Ok(()) }
    }

    fn take_line(&mut self, line: &[u8], bounds: HeadBounds) -> Result<(), Reason> {
        self.lines += 1;
        if self.lines > 1 {
            let is_too_many = self.lines - 1 > bounds.fields;
            return if is_too_many { Err(Reason::HeadersTooLarge) } else { Ok(()) };
        }
        let mut words = line.split(|byte| *byte == b' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if method.is_empty() {
            return Err(Reason::BadRequest);
        }
        if target.len() > bounds.target { Err(Reason::UriTooLong) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: HeadBounds = HeadBounds { bytes: 300, fields: 4, target: 20 };

    fn scan(head: &str) -> Result<Option<usize>, Reason> {
        HeadScanner::default().scan(head.as_bytes(), BOUNDS)
    }

    #[test]
    fn a_head_in_pieces_is_found_at_any_cut() {
        let head = b"GET / HTTP/1.1\r\nContent-Length: 12\r\n\r\n";
        for cut in 0..head.len() {
            let mut scanner = HeadScanner::default();
            assert_eq!(scanner.scan(&head[..cut], BOUNDS), Ok(None), "{cut}");
            let longer = [&head[..], b"more"].concat();
            assert_eq!(scanner.scan(&longer, BOUNDS), Ok(Some(head.len())), "{cut}");
        }
    }

    #[test]
    fn bounds_hold_for_whole_and_partial_heads() {
        let target = "x".repeat(21);
        assert_eq!(scan(&format!("GET {target} HTTP/1.1\r\n\r\n")), Err(Reason::UriTooLong));
        assert_eq!(scan(&format!("GET {}", "x".repeat(90))), Err(Reason::UriTooLong));
        assert_eq!(scan(&"x".repeat(90)), Err(Reason::BadRequest));
        let fields = "a: b\r\n".repeat(5);
        let many = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        assert_eq!(scan(&many), Err(Reason::HeadersTooLarge));
        let long = format!("GET / HTTP/1.1\r\na: {}", "x".repeat(300));
        assert_eq!(scan(&long), Err(Reason::HeadersTooLarge));
        assert_eq!(scan(&format!("{long}\r\n\r\n")), Err(Reason::HeadersTooLarge));
    }

    #[test]
    fn a_bound_holds_wherever_the_head_is_cut() {
        let method = "X".repeat(80);
        let long = "x".repeat(300);
        for (head, reason) in [
            (format!("{method} / HTTP/1.1\r\n\r\n"), Reason::BadRequest),
            (format!("{method} / HTTP/1.1\n\n"), Reason::BadRequest),
            (format!("GET /{method} HTTP/1.1\r\n\r\n"), Reason::UriTooLong),
            (format!(" {method} / HTTP/1.1\r\n\r\n"), Reason::UriTooLong),
            (format!("GET / HTTP/1.1\r\na: {long}\n\r\n"), Reason::HeadersTooLarge),
        ] {
            let head = head.as_bytes();
            for cut in 0..head.len() {
                let mut scanner = HeadScanner::default();
                let first = scanner.scan(&head[..cut], BOUNDS);
                let found = first.and_then(|_| scanner.scan(head, BOUNDS));
                assert_eq!(found, Err(reason), "{cut} {}", head.escape_ascii());
            }
        }
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
