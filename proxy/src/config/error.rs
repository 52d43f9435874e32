//! What is wrong with a configuration, and where: every mistake of a file at once.
//!
//! Offsets become `file:line:column` here and nowhere else.

use std::{fmt, ops::Range};

/// One mistake, or what is none and still worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where in the file, as `line:column`, both from 1.
    pub position: Position,
    /// What is wrong, in lower case and without a full stop.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

/// A place in the file; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// All mistakes of one file in the order of the file; never empty.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors {
    file: String,
    first: ConfigError,
    rest: Vec<ConfigError>,
}

impl ConfigErrors {
    /// `None` if there is no mistake.
    pub(super) fn new(file: &str, mut errors: Vec<ConfigError>) -> Option<Self> {
        errors.sort_by_key(|error| error.position);
        let mut errors = errors.into_iter();
        let first = errors.next()?;
        Some(Self { file: file.to_owned(), first, rest: errors.collect() })
    }

    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:{}: {error}", self.file, error.position)?;
        }
        Ok(())
    }
}

/// The text of a file, read once for turning any offset into its position: neither a line nor the
/// file is counted again for each.
pub(super) struct Source<'a> {
    text: &'a str,
    /// Where each line begins, in bytes; never empty.
    lines: Vec<usize>,
    /// Characters before each `STRIDE` bytes, and at the end.
    characters: Vec<usize>,
}

/// Most bytes that are looked at for a position, twice.
const STRIDE: usize = 256;

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let newlines = memchr::memchr_iter(b'\n', text.as_bytes());
        let mut before = 0;
        let characters = text.as_bytes().chunks(STRIDE).map(|chunk| {
            before += characters_in(chunk);
            before
        });
        Self {
            text,
            lines: [0].into_iter().chain(newlines.map(|newline| newline + 1)).collect(),
            characters: [0].into_iter().chain(characters).collect(),
        }
    }

    pub(super) fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[line - 1];
        Position {
            line,
            column: self.characters_before(offset) - self.characters_before(start) + 1,
        }
    }

    /// How many characters stand before `offset`, the start of one.
    fn characters_before(&self, offset: usize) -> usize {
        let counted = self.characters[offset / STRIDE];
        counted + characters_in(&self.text.as_bytes()[offset - offset % STRIDE..offset])
    }
}

/// Bytes that begin a character.
fn characters_in(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// A value that cannot be used, before it has a place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// "did you mean" for `given`, if one of `known` is near enough to be a typing mistake.
pub(super) fn did_you_mean<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let bound = (given.chars().count() / 3).min(3);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, name)| format!("did you mean \"{name}\"?"))
}

/// A value and the bytes of the file it came from.
#[derive(Clone, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<T> Located<T> {
    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: f(self.value), span: self.span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let source = Source::new("a = 1\nä = 2\n");
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(8), Position { line: 2, column: 2 });
        assert_eq!(source.position(13), Position { line: 3, column: 1 });
    }

    #[test]
    fn a_position_is_that_of_counting_from_the_start() {
        let lines = ["a = 1", "", "# äöü€𝄞", &"ä".repeat(STRIDE), &"x".repeat(3 * STRIDE), "€"];
        for text in
            [lines.join("\n"), lines.join("\r\n"), lines.concat(), String::new(), "\n".into()]
        {
            let source = Source::new(&text);
            for offset in 0..text.len() + 2 {
                let before = &text[..text.floor_char_boundary(offset)];
                let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
                let expected = Position { line: before.matches('\n').count() + 1, column };
                assert_eq!(source.position(offset), expected, "{offset} of {text:?}");
            }
        }
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let known = ["workers", "drain_timeout"];
        assert_eq!(did_you_mean("worker", known).as_deref(), Some("did you mean \"workers\"?"));
        assert_eq!(did_you_mean("zebra", known), None);
    }
}
