//! Reads the fields of a header block (RFC 7541 section 6) and writes those anew that h2 cannot take: to h2, a
//! name or a value that is not valid (RFC 9113 section 8.2.1) is the end of the connection, where it is one
//! of the request, and of `:path` it drops what it takes for a fragment.
//!
//! h2 gets a harmless field in its place, of the same size and remembered or not like the first one,
//! so that its table stays in step with the client's. Behind the last field it gets what makes the request
//! malformed to h2, too, or the path as it came in a field of a name that no client may use.
//! Whatever else makes a request malformed, h2 finds by itself.

use super::{
    huffman,
    table::{Flaw, Name, Table},
};

/// The field in which a path comes that is not for h2.
pub(in super::super) const ODD_PATH: &str = "!path";

/// `:method: GET` twice, behind all fields: malformed (RFC 9113 section 8.3).
const MALFORMED: [u8; 2] = [0x82; 2];
/// Index 0, which there is not: what cannot be read ends the connection.
const UNREADABLE: u8 = 0x80;

const INDEXED: u8 = 0x80;
const REMEMBERED: u8 = 0x40;
const SIZE: u8 = 0x20;
const NEVER_REMEMBERED: u8 = 0x10;
const CODED: u8 = 0x80;

/// Whose block it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Of {
    Head,
    Trailers,
    /// Nobody wants its fields any more.
    Past,
}

/// The fields of the blocks of one connection.
#[derive(Debug, Default)]
pub(in super::super) struct FieldBlocks {
    table: Table,
}

/// A block that is written anew, as far as it was.
#[derive(Default)]
struct Anew {
    written: Vec<u8>,
    /// What of the block stands in `written`.
    copied: usize,
    is_malformed: bool,
    path: Option<Box<[u8]>>,
}

struct Reader<'a> {
    block: &'a [u8],
    at: usize,
}

#[derive(Clone, Copy)]
struct Text<'a> {
    bytes: &'a [u8],
    is_coded: bool,
}

/// What is to be done with a value.
enum Value {
    Fine,
    Wrong(usize),
    Odd(Box<[u8]>),
}

impl FieldBlocks {
    /// Reads a block; `None` if h2 may have it as it is. `is_malformed`: something else is wrong with it.
    pub(in super::super) fn read(
        &mut self,
        block: &[u8],
        of: Of,
        is_malformed: bool,
    ) -> Option<Vec<u8>> {
        let mut reader = Reader { block, at: 0 };
        let mut anew = Anew { is_malformed, ..Anew::default() };
        while reader.at < block.len() {
            let from = reader.at;
            if self.read_field(&mut reader, &mut anew).is_none() {
                anew.written.extend_from_slice(&block[anew.copied..from]);
                anew.written.push(UNREADABLE);
                return Some(anew.written);
            }
        }
        anew.finish(block, of)
    }

    /// `None` if it cannot be read.
    fn read_field(&mut self, reader: &mut Reader<'_>, anew: &mut Anew) -> Option<()> {
        let from = reader.at;
        let first = reader.block[from];
        if first & INDEXED != 0 {
            let index = reader.integer(7)?;
            match self.table.flaw(index) {
                Flaw::None => {}
                Flaw::Malformed => anew.is_malformed = true,
                Flaw::Odd(path) => anew.keep(path.clone()),
            }
            return Some(());
        }
        let is_remembered = first & REMEMBERED != 0;
        if !is_remembered && first & SIZE != 0 {
            return reader.integer(5).map(drop);
        }
        let index = reader.integer(if is_remembered { 6 } else { 4 })?;
        let name = if index == 0 { reader.text()?.name()? } else { self.table.name(index) };
        let value_at = reader.at;
        let value = reader.text()?;
        let flaw = match (name, value.judge(name)?) {
            (Name::Wrong(length), Value::Fine) => {
                anew.replace_all(reader, from, is_remembered, length + value.length()?)?
            }
            (_, Value::Fine) => Flaw::None,
            // No method is empty.
            (Name::Method, Value::Wrong(0)) => {
                anew.replace_all(reader, from, is_remembered, ":method".len())?
            }
            (Name::Wrong(name), Value::Wrong(value)) => {
                anew.replace_all(reader, from, is_remembered, name + value)?
            }
            (_, Value::Wrong(length)) => {
                anew.replace_value(reader, value_at, length);
                anew.is_malformed = true;
                Flaw::Malformed
            }
            (_, Value::Odd(path)) => {
                anew.replace_value(reader, value_at, path.len());
                let start = anew.written.len() - path.len();
                anew.written[start] = b'/';
                anew.keep(path.clone());
                Flaw::Odd(path)
            }
        };
        if is_remembered {
            self.table.remember(name, flaw);
        }
        Some(())
    }
}

impl Anew {
    fn keep(&mut self, path: Box<[u8]>) {
        self.is_malformed |= self.path.is_some();
        self.path = Some(path);
    }

    /// Writes another value where the last one begins.
    fn replace_value(&mut self, reader: &Reader<'_>, at: usize, length: usize) {
        self.written.extend_from_slice(&reader.block[self.copied..at]);
        self.write_text(length);
        self.copied = reader.at;
    }

    /// Writes another field, whose name and value have so many bytes together.
    fn replace_all(
        &mut self,
        reader: &Reader<'_>,
        from: usize,
        is_remembered: bool,
        length: usize,
    ) -> Option<Flaw> {
        // There is no field as small as one without a name and a value.
        if length == 0 && is_remembered {
            return None;
        }
        self.written.extend_from_slice(&reader.block[self.copied..from]);
        self.written.push(if is_remembered { REMEMBERED } else { NEVER_REMEMBERED });
        self.write_text(1);
        self.write_text(length.saturating_sub(1));
        self.copied = reader.at;
        self.is_malformed = true;
        Some(Flaw::Malformed)
    }

    /// A text that is valid as a name, a value, a method and a path.
    fn write_text(&mut self, length: usize) {
        self.write_length(length);
        self.written.resize(self.written.len() + length, b'x');
    }

    /// RFC 7541 section 5.1, with a prefix of 7 bits.
    fn write_length(&mut self, mut length: usize) {
        if let Some(short) = u8::try_from(length).ok().filter(|short| *short < 0x7f) {
            return self.written.push(short);
        }
        self.written.push(0x7f);
        length -= 0x7f;
        while length >= 0x80 {
            self.written.push(length.to_le_bytes()[0] | 0x80);
            length >>= 7;
        }
        self.written.push(length.to_le_bytes()[0]);
    }

    fn finish(mut self, block: &[u8], of: Of) -> Option<Vec<u8>> {
        // h2 drops a path among trailers.
        let path = self.path.take().filter(|_| of == Of::Head);
        if self.copied == 0 && !self.is_malformed && path.is_none() {
            return None;
        }
        self.written.extend_from_slice(&block[self.copied..]);
        if of == Of::Past {
            return Some(self.written);
        }
        if self.is_malformed {
            self.written.extend_from_slice(&MALFORMED);
        } else if let Some(path) = path {
            self.written.push(NEVER_REMEMBERED);
            self.write_length(ODD_PATH.len());
            self.written.extend_from_slice(ODD_PATH.as_bytes());
            self.write_length(path.len());
            self.written.extend_from_slice(&path);
        }
        Some(self.written)
    }
}

impl<'a> Reader<'a> {
    /// RFC 7541 section 5.1, in as many bytes as h2 takes.
    fn integer(&mut self, prefix: u32) -> Option<usize> {
        let most = (1_usize << prefix) - 1;
        let mut value = usize::from(self.next()?) & most;
        if value < most {
            return Some(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.next()?;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.block.get(self.at)?;
        self.at += 1;
        Some(*byte)
    }

    fn text(&mut self) -> Option<Text<'a>> {
        let is_coded = self.block.get(self.at)? & CODED != 0;
        let length = self.integer(7)?;
        let bytes = self.block.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(Text { bytes, is_coded })
    }
}

impl Text<'_> {
    fn look<T>(self, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        if self.is_coded {
            huffman::decode(self.bytes).map(|bytes| look(&bytes))
        } else {
            Some(look(self.bytes))
        }
    }

    fn length(self) -> Option<usize> {
        self.look(<[u8]>::len)
    }

    fn name(self) -> Option<Name> {
        self.look(|name| match name {
            b":authority" => Name::Authority,
            b":method" => Name::Method,
            b":path" => Name::Path,
            b":scheme" => Name::Scheme,
            _ if is_name(name) => Name::Field,
            _ => Name::Wrong(name.len()),
        })
    }

    /// What is to be done with a value of a field of this name.
    fn judge(self, name: Name) -> Option<Value> {
        let is_plain = match name {
            Name::Path if self.is_coded => !huffman::has_ones::<7>(self.bytes),
            // Spaces and capitals are common.
            Name::Method => false,
            _ if self.is_coded => !huffman::has_ones::<10>(self.bytes),
            _ => false,
        };
        if is_plain {
            return Some(Value::Fine);
        }
        self.look(|value| {
            let is_fine = match name {
                Name::Method => !value.is_empty() && value.iter().all(|byte| is_token(*byte)),
                Name::Authority | Name::Scheme => str::from_utf8(value).is_ok(),
                Name::Path => value.iter().all(|byte| IN_PATHS[usize::from(*byte)]),
                Name::Field | Name::Wrong(_) => is_value(value),
            };
            match name {
                _ if is_fine => Value::Fine,
                Name::Path if is_value(value) => Value::Odd(value.into()),
                _ => Value::Wrong(value.len()),
            }
        })
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// As long as names may be, lower case, and not the one that is ours.
fn is_name(name: &[u8]) -> bool {
    let is_fine = |byte: &u8| is_token(*byte) && !byte.is_ascii_uppercase();
    (1..1 << 15).contains(&name.len()) && name.iter().all(is_fine) && name != ODD_PATH.as_bytes()
}

fn is_value(value: &[u8]) -> bool {
    value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
}

/// Bytes that all parsers of targets take as they are.
static IN_PATHS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        let is_odd = matches!(
            byte,
            b'"' | b'#' | b'<' | b'>' | b'[' | b'\\' | b']' | b'^' | b'`' | b'{'..=b'}'
        );
        table[byte as usize] = !is_odd;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests;
