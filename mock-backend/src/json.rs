//! Prints a JSON object as the Python original would: `json.dumps(json.loads(body))`.
//!
//! One pass from bytes to text, without a tree between. A tree of serde_json could not hold
//! what Python holds: integers of any size, NaN and infinities, lone surrogates. Text comes out
//! with ", " and ": ", non-ASCII as `\uXXXX`, keys in the order they came, and of a repeated
//! key the last value at the place of the first, like a Python dict.
//!
//! Bounds: [`DEPTH_LIMIT`] levels (Python stops near 1,000, where its stack happens to end) and
//! 4,300 digits for an integer (Python's own limit). Where Python takes more than UTF-8, this
//! does not: UTF-16, UTF-32 and surrogates as raw bytes are refused; a UTF-8 BOM is skipped.

mod number;
mod string;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

/// Deepest nesting of arrays and objects, the outermost object included.
pub const DEPTH_LIMIT: usize = 256;

const WORDS: [&str; 6] = ["true", "false", "null", "NaN", "Infinity", "-Infinity"];

/// Not a JSON object, or beyond the bounds. The client learns no more than that.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused;

/// An object as Python prints it.
#[derive(Debug)]
pub struct Object {
    text: String,
    members: Vec<Member>,
}

impl Object {
    /// Whether the object itself (no object inside it) has the key, given as it is printed.
    pub fn has_key(&self, printed: &str) -> bool {
        let Self { text, members } = self;
        members.iter().any(|member| &text[member.key.start + 1..member.key.end - 1] == printed)
    }

    pub fn into_text(self) -> String {
        self.text
    }
}

/// Reads a JSON object and prints it.
///
/// # Errors
/// [`Refused`] if `json.loads` would fail, if the value is no object, or beyond the bounds
/// of this module.
pub fn print_object(json: &[u8]) -> Result<Object, Refused> {
    let json = str::from_utf8(json).map_err(|_| Refused)?;
    let mut printer = Printer {
        rest: json.strip_prefix('\u{feff}').unwrap_or(json),
        text: String::with_capacity(json.len()),
        depth: 0,
    };
    printer.skip_blanks();
    let members = printer.object()?;
    printer.skip_blanks();
    match printer.rest {
        "" => Ok(Object { text: printer.text, members }),
        _ => Err(Refused),
    }
}

/// Where a member's key (quotes included) and value stand in the printed text.
#[derive(Debug, Clone)]
struct Member {
    key: Range<usize>,
    value: Range<usize>,
}

struct Printer<'a> {
    /// What is not read yet.
    rest: &'a str,
    /// What is printed so far.
    text: String,
    depth: usize,
}

impl Printer<'_> {
    fn value(&mut self) -> Result<(), Refused> {
        match self.rest.as_bytes() {
            [b'{', ..] => self.object().map(drop),
            [b'[', ..] => self.sequence('[', ']', Self::value),
            [b'"', ..] => self.string(),
            [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..] => self.number(),
            _ => self.word(),
        }
    }

    fn object(&mut self) -> Result<Vec<Member>, Refused> {
        let start = self.text.len();
        let mut members = Vec::new();
        self.sequence('{', '}', |printer| {
            members.push(printer.member()?);
            Ok(())
        })?;
        Ok(merge_repeated(&mut self.text, start, members))
    }

    fn sequence(
        &mut self,
        open: char,
        close: char,
        mut element: impl FnMut(&mut Self) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        self.expect(open)?;
        self.descend()?;
        self.text.push(open);
        self.skip_blanks();
        let mut at_end = self.skip(close);
        while !at_end {
            element(self)?;
            self.skip_blanks();
            at_end = self.skip(close);
            if !at_end {
                self.expect(',')?;
                self.text.push_str(", ");
                self.skip_blanks();
            }
        }
        self.text.push(close);
        self.depth -= 1;
        Ok(())
    }

    fn member(&mut self) -> Result<Member, Refused> {
        let key = self.text.len();
        self.string()?;
        let key = key..self.text.len();
        self.skip_blanks();
        self.expect(':')?;
        self.text.push_str(": ");
        self.skip_blanks();
        let value = self.text.len();
        self.value()?;
        let value = value..self.text.len();
        Ok(Member { key, value })
    }

    fn string(&mut self) -> Result<(), Refused> {
        self.expect('"')?;
        self.rest = string::print(self.rest, &mut self.text)?;
        Ok(())
    }

    fn number(&mut self) -> Result<(), Refused> {
        self.rest = number::print(self.rest, &mut self.text)?;
        Ok(())
    }

    fn word(&mut self) -> Result<(), Refused> {
        let starts = |word: &&&str| self.rest.starts_with(**word);
        let word = WORDS.iter().find(starts).ok_or(Refused)?;
        self.rest = &self.rest[word.len()..];
        self.text.push_str(word);
        Ok(())
    }

    fn descend(&mut self) -> Result<(), Refused> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(Refused);
        }
        Ok(())
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn skip(&mut self, character: char) -> bool {
        let rest = self.rest.strip_prefix(character);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, character: char) -> Result<(), Refused> {
        self.skip(character).then_some(()).ok_or(Refused)
    }
}

/// Rewrites the object that starts at `start` if it has a key twice, and returns the members
/// it then has.
fn merge_repeated(text: &mut String, start: usize, members: Vec<Member>) -> Vec<Member> {
    let mut kept = last_of_each_key(text, &members);
    if kept.len() == members.len() {
        return members;
    }
    let repeated = text.split_off(start);
    let from = |range: &Range<usize>| &repeated[range.start - start..range.end - start];
    for (index, member) in kept.iter_mut().enumerate() {
        text.push_str(if index == 0 { "{" } else { ", " });
        let (key, value) = (from(&member.key), from(&member.value));
        member.key = append(text, key);
        text.push_str(": ");
        member.value = append(text, value);
    }
    text.push('}');
    kept
}

/// Each key at its first place, with its last value. Keys are compared as printed, which is
/// the same as comparing the keys: a character is always printed the same way.
fn last_of_each_key(text: &str, members: &[Member]) -> Vec<Member> {
    let mut kept: Vec<Member> = Vec::with_capacity(members.len());
    let mut places = HashMap::with_capacity(members.len());
    for member in members {
        match places.entry(&text[member.key.clone()]) {
            Entry::Occupied(place) => {
                let first: &mut Member = &mut kept[*place.get()];
                first.value = member.value.clone();
            }
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(member.clone());
            }
        }
    }
    kept
}

fn append(text: &mut String, part: &str) -> Range<usize> {
    let start = text.len();
    text.push_str(part);
    start..text.len()
}

#[cfg(test)]
mod tests;
