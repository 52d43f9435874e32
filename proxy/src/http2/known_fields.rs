//! Fields of answers as h2 takes them, kept by the line they came in: what was read and checked for
//! one answer is not again for the next, whichever connection it goes to. One for each worker. Bounds:
//! 256 lines of at most 128 bytes; a line that falls on the place of another takes it.

use std::cell::RefCell;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use xxhash_rust::xxh3::xxh3_64;

const PLACES: usize = 256;
const LONGEST: usize = 128;

type Field = (HeaderName, HeaderValue);

#[derive(Debug, Default)]
pub struct KnownFields(RefCell<Vec<Place>>);

#[derive(Debug, Default)]
struct Place {
    known: Option<(Bytes, Field)>,
    /// The hash of the last line that was looked for here and not found. Only what comes again is
    /// kept, so that lines that differ in every answer cost no copy.
    missed: u64,
}

impl KnownFields {
    /// The field of a line of `lines`, which has no line end; `None` if it is none.
    pub(super) fn read(&self, line: &[u8], lines: &Bytes) -> Option<Field> {
        if line.len() > LONGEST {
            return parse(line, lines);
        }
        let mut places = self.0.borrow_mut();
        if places.is_empty() {
            places.resize_with(PLACES, Place::default);
        }
        let hash = xxh3_64(line);
        let place = &mut places[usize::from(hash as u8)];
        if let Some((known, field)) = &place.known
            && known == line
        {
            return Some(field.clone());
        }
        if place.missed != hash {
            place.missed = hash;
            return parse(line, lines);
        }
        // A copy, so that it does not keep the whole answer.
        let line = Bytes::copy_from_slice(line);
        let field = parse(&line, &line)?;
        place.known = Some((line, field.clone()));
        Some(field)
    }
}

fn parse(line: &[u8], lines: &Bytes) -> Option<Field> {
    let colon = memchr::memchr(b':', line)?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = lines.slice_ref(line[colon + 1..].trim_ascii());
    Some((name, HeaderValue::from_maybe_shared(value).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(known: &KnownFields, line: &str) -> Option<(String, String)> {
        let lines = Bytes::copy_from_slice(line.as_bytes());
        let (name, value) = known.read(&lines, &lines)?;
        Some((name.to_string(), value.to_str().expect("is text").to_owned()))
    }

    /// More lines than there are places, again and again in one order and the other.
    #[test]
    fn a_line_is_always_read_as_itself() {
        let known = KnownFields::default();
        for round in 0..6 {
            for number in 0..1000 {
                let number = if round % 2 == 0 { number } else { 999 - number };
                // What comes twice is kept.
                for _ in 0..2 {
                    let field = read(&known, &format!("X-Number-{}: {number}", number % 7));
                    assert_eq!(
                        field,
                        Some((format!("x-number-{}", number % 7), number.to_string()))
                    );
                }
            }
        }
        let kept = known.0.borrow().iter().filter(|place| place.known.is_some()).count();
        assert!(kept > PLACES * 9 / 10, "{kept}");
    }

    #[test]
    fn long_lines_and_what_comes_once_are_not_kept_and_what_is_none_is_none() {
        let known = KnownFields::default();
        let long = format!("a: {}", "x".repeat(LONGEST));
        for line in [long.as_str(), long.as_str(), "etag: 1", "etag: 2", "b", "b", "b"] {
            let field = line.split_once(": ").map(|(name, value)| (name.into(), value.into()));
            assert_eq!(read(&known, line), field);
        }
        assert!(known.0.borrow().iter().all(|place| place.known.is_none()));
    }
}
