//! How the names of a request's fields are written to an endpoint: as the client wrote them, if it
//! spoke HTTP/1, for some servers tell `Soapaction` from `SOAPAction`; else as `headers.case` says.
//!
//! The map that the request is in has its names in lower case, but its values lie in the head as it
//! came, each behind its name: a line is copied from there as a whole.

use bytes::{BufMut, BytesMut};

use super::lines::{put, put_titled};
use crate::config::NameCase;

/// The spelling of one request.
#[derive(Clone, Copy)]
pub struct Spelling<'a> {
    /// The head as it came; empty for a client of HTTP/2.
    pub head: &'a [u8],
    pub case: NameCase,
}

impl Spelling<'_> {
    /// Writes a field of the client; `name` is in lower case.
    pub(super) fn put_passed(self, out: &mut BytesMut, name: &str, value: &[u8]) {
        if let Some(line) = self.line(name, value) {
            out.reserve(line.len() + 2);
            out.put_slice(line);
            out.put_slice(b"\r\n");
        } else {
            match self.name(name) {
                Some(spelled) => put(out, spelled, value),
                None => self.put_own(out, name.as_bytes(), value),
            }
        }
    }

    /// Writes a field that no client has spelled; `name` is in lower case.
    pub(super) fn put_own(self, out: &mut BytesMut, name: &[u8], value: &[u8]) {
        match self.case {
            NameCase::Title => put_titled(out, name, value),
            NameCase::Lower => put(out, name, value),
        }
    }

    /// One of two spellings of the same name.
    pub(super) fn pick<'n>(self, title: &'n [u8], lower: &'n [u8]) -> &'n [u8] {
        match self.case {
            NameCase::Title => title,
            NameCase::Lower => lower,
        }
    }

    /// The line of the head that `value` lies in, from name to value, if it is written as usual.
    fn line(&self, name: &str, value: &[u8]) -> Option<&[u8]> {
        let at = (value.as_ptr() as usize).wrapping_sub(self.head.as_ptr() as usize);
        let start = at.wrapping_sub(name.len() + 2);
        let line = self.head.get(start..at.wrapping_add(value.len()))?;
        let (spelled, rest) = line.split_at_checked(name.len())?;
        let is_line = rest.starts_with(b": ")
            && self.head.get(start.wrapping_sub(1)) == Some(&b'\n')
            && spelled.eq_ignore_ascii_case(name.as_bytes());
        is_line.then_some(line)
    }

    /// The name as the head has it first. An empty value, or one that is that of the request before,
    /// need not lie there.
    fn name(&self, name: &str) -> Option<&[u8]> {
        let mut rest = self.head;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (spelled, behind) = rest.split_at_checked(name.len())?;
            if behind.first() == Some(&b':') && spelled.eq_ignore_ascii_case(name.as_bytes()) {
                return Some(spelled);
            }
            rest = &rest[end + 1..];
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(spelling: Spelling<'_>, name: &str, value: &[u8]) -> String {
        let mut out = BytesMut::new();
        spelling.put_passed(&mut out, name, value);
        String::from_utf8(out.to_vec()).expect("is text")
    }

    #[test]
    fn a_name_is_written_as_the_head_has_it() {
        let head =
            b"GET / HTTP/1.1\r\nSOAPAction: a\r\nX-tight:b\r\nX-WIDE: \t c \r\neMPTY:\r\n\r\n";
        for case in [NameCase::Title, NameCase::Lower] {
            let spelling = Spelling { head, case };
            let value = |byte: u8| {
                let at = head.iter().rposition(|one| *one == byte).expect("is there");
                &head[at..=at]
            };
            for (name, value, line) in [
                ("soapaction", &head[28..29], "SOAPAction: a\r\n"),
                ("x-tight", value(b'b'), "X-tight: b\r\n"),
                ("x-wide", value(b'c'), "X-WIDE: c\r\n"),
                ("empty", b"", "eMPTY: \r\n"),
                ("soapaction", b"of another head", "SOAPAction: of another head\r\n"),
            ] {
                assert_eq!(written(spelling, name, value), line);
            }
        }
    }

    #[test]
    fn a_name_that_nobody_has_spelled_is_written_as_the_case_says() {
        let spelled = |case| written(Spelling { head: b"", case }, "x-a--b_c.d", b"v");
        assert_eq!(spelled(NameCase::Title), "X-A--B_c.d: v\r\n");
        assert_eq!(spelled(NameCase::Lower), "x-a--b_c.d: v\r\n");
    }

    /// A value that lies in the head, but is not that of its name there.
    #[test]
    fn a_line_is_taken_for_its_own_name_alone() {
        let head = b"GET / HTTP/1.1\r\nX-Other: v\r\n\r\n";
        let spelling = Spelling { head, case: NameCase::Title };
        assert_eq!(written(spelling, "x-third", &head[25..26]), "X-Third: v\r\n");
        assert_eq!(written(spelling, "x-a", &head[25..26]), "X-A: v\r\n");
    }
}
