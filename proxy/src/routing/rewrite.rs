//! Templates resolved for one path pattern: names have become positions, and a placeholder that
//! the pattern does not have is gone, with the "/" before it.

use super::Values;
use crate::config::{Piece, Template};

pub(super) struct Filled {
    pieces: Vec<FilledPiece>,
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
        Self { pieces }
    }

    pub(super) fn write(&self, path: &str, values: &Values, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            let text = match piece {
                FilledPiece::Literal(text) => text.as_str(),
                FilledPiece::Value(index) => {
                    values.get(*index).map_or("", |(start, end)| &path[*start..*end])
                }
            };
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn drop_slash(pieces: &mut [FilledPiece]) {
    if let Some(FilledPiece::Literal(text)) = pieces.last_mut()
        && text.ends_with('/')
    {
        text.pop();
    }
}
