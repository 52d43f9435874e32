//! Field lines as they go on the wire, for one direction.

use bytes::{BufMut, BytesMut};

/// Room for the fields of a usual answer, in bytes.
const USUAL: usize = 512;

/// Fields of an upstream's answer, each as `name: value` and CRLF.
#[derive(Debug, Default)]
pub struct FieldLines {
    lines: BytesMut,
    has_date: bool,
}

impl FieldLines {
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) {
        if self.lines.is_empty() {
            self.lines.reserve(USUAL);
        }
        self.has_date |= name.len() == 4 && name.eq_ignore_ascii_case("date");
        put(&mut self.lines, name.as_bytes(), value);
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.lines
    }

    pub fn has_date(&self) -> bool {
        self.has_date
    }
}

/// Appends one line.
pub fn put(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}
