//! Templates resolved for one path pattern: names have become positions, and a placeholder that
//! the pattern does not have is gone, with the "/" before it. Path, query and fragment are told apart
//! once (RFC 3986 section 3), so that what joins a query never ends up behind another one or in a
//! fragment.

use super::Values;
use crate::config::{Piece, Template};

pub(super) struct Filled {
    path: Vec<FilledPiece>,
    query: Option<Vec<FilledPiece>>,
    fragment: Option<Vec<FilledPiece>>,
}

/// A template filled for one request, without the `?` and `#` between its parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    pub path: Vec<u8>,
    pub query: Option<Vec<u8>>,
    pub fragment: Option<Vec<u8>>,
}

enum FilledPiece {
    Literal(String),
    Value(usize),
}

impl Filled {
    pub(super) fn new(template: &Template, names: &[String]) -> Self {
        let mut pieces: Vec<FilledPiece> = Vec::new();
        for piece in &template.pieces {
            match piece {
                Piece::Literal(text) => pieces.push(FilledPiece::Literal(text.clone())),
                Piece::Placeholder(name) => match names.iter().position(|known| known == name) {
                    Some(index) => pieces.push(FilledPiece::Value(index)),
                    None => drop_slash(&mut pieces),
                },
            }
        }
        // A "?" behind "#" is part of the fragment.
        let fragment = split_off(&mut pieces, '#');
        let query = split_off(&mut pieces, '?');
        Self { path: pieces, query, fragment }
    }

    pub(super) fn fill(&self, path: &str, values: &Values) -> Target {
        let fill = |pieces: &[FilledPiece], write: fn(&str, &mut Vec<u8>)| {
            let mut out = Vec::new();
            for piece in pieces {
                match piece {
                    FilledPiece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                    FilledPiece::Value(index) => {
                        if let Some(span) = values.get(*index) {
                            write(span.of(path), &mut out);
                        }
                    }
                }
            }
            out
        };
        Target {
            path: fill(&self.path, write_as_is),
            query: self.query.as_deref().map(|pieces| fill(pieces, write_into_query)),
            fragment: self.fragment.as_deref().map(|pieces| fill(pieces, write_as_is)),
        }
    }
}

/// The query of a template and that of the request as one, the template's first: most servers take
/// the first of two parameters of a name.
pub fn joined(own: Option<Vec<u8>>, given: Option<&[u8]>) -> Option<Vec<u8>> {
    let Some(mut own) = own else { return given.map(<[u8]>::to_vec) };
    let given = given.unwrap_or_default();
    if !own.is_empty() && !given.is_empty() {
        own.push(b'&');
    }
    own.extend_from_slice(given);
    Some(own)
}

fn write_as_is(value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(value.as_bytes());
}

/// What is data in a path and means something in a query is percent-encoded: no part of a path can
/// become a parameter of its own, and a plus stays one.
fn write_into_query(value: &str, out: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'&' => out.extend_from_slice(b"%26"),
            b'+' => out.extend_from_slice(b"%2B"),
            b';' => out.extend_from_slice(b"%3B"),
            b'=' => out.extend_from_slice(b"%3D"),
            _ => out.push(byte),
        }
    }
}

/// Takes away all from the first `mark` on, and gives what is behind it.
fn split_off(pieces: &mut Vec<FilledPiece>, mark: char) -> Option<Vec<FilledPiece>> {
    let found = pieces.iter().enumerate().find_map(|(index, piece)| match piece {
        FilledPiece::Literal(text) => text.find(mark).map(|at| (index, at)),
        FilledPiece::Value(_) => None,
    });
    let (index, at) = found?;
    let mut behind = pieces.split_off(index + 1);
    if let Some(FilledPiece::Literal(text)) = pieces.last_mut() {
        let rest = text.split_off(at);
        behind.insert(0, FilledPiece::Literal(rest[mark.len_utf8()..].to_owned()));
    }
    Some(behind)
}

fn drop_slash(pieces: &mut [FilledPiece]) {
    if let Some(FilledPiece::Literal(text)) = pieces.last_mut()
        && text.ends_with('/')
    {
        text.pop();
    }
}
