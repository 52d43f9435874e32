//! Field lines as they go on the wire, for one direction.

use std::{io::Write, net::IpAddr};

use bytes::{BufMut, Bytes, BytesMut};

use super::hop_by_hop::is;

/// Room for the fields of a usual answer, in bytes.
const USUAL: usize = 512;

/// Fields of an upstream's answer, each as `name: value` and CRLF.
#[derive(Debug, Default)]
pub struct FieldLines {
    lines: BytesMut,
    has_date: bool,
    /// `Content-Length` as the upstream spells it.
    length_name: Option<[u8; 14]>,
}

impl FieldLines {
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) {
        if self.lines.is_empty() {
            self.lines.reserve(USUAL);
        }
        self.has_date |= name.len() == 4 && is(name, "Date");
        put(&mut self.lines, name.as_bytes(), value);
    }

    /// A field as it stands in `head`, from its name to its value: one copy, where `push` makes two.
    pub(crate) fn push_from(&mut self, head: &[u8], name: &str, value: &[u8]) {
        let start = (name.as_ptr() as usize).wrapping_sub(head.as_ptr() as usize);
        let end = (value.as_ptr() as usize).wrapping_sub(head.as_ptr() as usize);
        let end = end.wrapping_add(value.len());
        match head.get(start..end) {
            Some(line) if !value.is_empty() => {
                if self.lines.is_empty() {
                    self.lines.reserve(USUAL);
                }
                self.has_date |= name.len() == 4 && is(name, "Date");
                self.lines.reserve(line.len() + 2);
                self.lines.put_slice(line);
                self.lines.put_slice(b"\r\n");
            }
            // An empty value need not lie there.
            _ => self.push(name, value),
        }
    }

    /// The upstream has spelled `Content-Length` like this.
    pub(crate) fn spell_length(&mut self, name: &str) {
        self.length_name = name.as_bytes().try_into().ok();
    }

    /// A length that is the upstream's to tell.
    pub(crate) fn push_length(&mut self, length: u64) {
        let name = self.length_name.unwrap_or(*b"Content-Length");
        put(&mut self.lines, &name, itoa::Buffer::new().format(length).as_bytes());
    }

    /// How a length is told.
    pub fn length_name(&self) -> &[u8] {
        self.length_name.as_ref().map_or(b"Content-Length", |name| name)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.lines
    }

    pub fn into_bytes(self) -> Bytes {
        self.lines.freeze()
    }

    /// The value of the first field of that name.
    pub fn find(&self, name: &[u8]) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// The values of all fields of that name, in order.
    pub fn values<'a>(&'a self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        self.as_bytes().split(|byte| *byte == b'\n').filter_map(move |line| {
            let (given, rest) = line.split_at_checked(name.len())?;
            let value = rest.strip_prefix(b":").filter(|_| given.eq_ignore_ascii_case(name))?;
            Some(value.trim_ascii())
        })
    }

    /// Keeps only those fields of which `keeps` says so, by name and value.
    pub fn retain(&mut self, keeps: impl Fn(&[u8], &[u8]) -> bool) {
        let parts = |line: &'_ [u8]| {
            let colon = memchr::memchr(b':', line).unwrap_or(line.len());
            (colon, (colon + 1).min(line.len()))
        };
        let is_kept = |line: &[u8]| {
            let (colon, value) = parts(line);
            keeps(&line[..colon], line[value..].trim_ascii())
        };
        if self.lines.split_inclusive(|byte| *byte == b'\n').all(is_kept) {
            return;
        }
        let mut kept = BytesMut::with_capacity(self.lines.len());
        let mut has_date = false;
        for line in self.lines.split_inclusive(|byte| *byte == b'\n').filter(|line| is_kept(line)) {
            has_date |= line[..parts(line).0].eq_ignore_ascii_case(b"date");
            kept.put_slice(line);
        }
        (self.lines, self.has_date) = (kept, has_date);
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

/// The same for a name in lower case, in Title-Case.
pub fn put_titled(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    let start = out.len();
    put(out, name, value);
    let mut begins_word = true;
    for byte in &mut out[start..start + name.len()] {
        if begins_word {
            byte.make_ascii_uppercase();
        }
        begins_word = *byte == b'-';
    }
}

/// An address as text; an IPv4 one without the formatter, as it is written for every request.
pub fn put_address(out: &mut impl BufMut, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let mut digits = itoa::Buffer::new();
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.put_u8(b'.');
                }
                out.put_slice(digits.format(octet).as_bytes());
            }
        }
        IpAddr::V6(address) => write!(out.writer(), "{address}").expect("a buffer grows"),
    }
}
