//! Path patterns and templates: text with `{name}` and `{*rest}` in it.
//!
//! Patterns are in matchit's language, and `routing/tree.rs` finds them. Two that differ only in the
//! names of their placeholders match the same paths, so a pattern also has a key in which placeholders
//! are numbered: routes with the same key share one place of the tree.

use super::{error::Problem, value::FromText};

/// Matches the path of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// As written.
    pub source: String,
    /// With numbered placeholders.
    pub key: String,
    /// The names of the placeholders in order.
    pub names: Vec<String>,
}

/// A text to be filled from the placeholders of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Literal(String),
    Placeholder(String),
}

enum Token<'a> {
    Literal(&'a str),
    /// `{name}` or, with the flag, `{*name}`.
    Placeholder(&'a str, bool),
}

impl FromText for PathPattern {
    const EXPECTED: &'static str = "a path such as \"/items/{service}\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        if !text.starts_with('/') {
            return Err(Problem::new(format!("the path \"{text}\" must start with \"/\"")));
        }
        let mut key = String::with_capacity(text.len());
        let mut names: Vec<String> = Vec::new();
        for token in tokens(text)? {
            match token {
                Token::Literal(literal) => {
                    check_literal(text, literal)?;
                    key.push_str(literal);
                }
                Token::Placeholder(name, _) if names.iter().any(|known| known == name) => {
                    return Err(Problem::new(format!("\"{text}\" has {{{name}}} twice")));
                }
                Token::Placeholder(name, takes_all) => {
                    let star = if takes_all { "*" } else { "" };
                    key.push_str(&format!("{{{star}p{}}}", names.len()));
                    names.push(name.to_owned());
                }
            }
        }
        matchit::Router::new()
            .insert(key.as_str(), ())
            .map_err(|cause| Problem::new(format!("the path \"{text}\" cannot match: {cause}")))?;
        Ok(Self { source: text.to_owned(), key, names })
    }
}

/// Literals are compared with the bytes of a request target, so they are written the same way.
fn check_literal(pattern: &str, literal: &str) -> Result<(), Problem> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"?#\\\"<>^`|".contains(&byte);
    if literal.bytes().all(allowed) {
        return Ok(());
    }
    Err(Problem::new(format!("\"{pattern}\" has characters that no path can have"))
        .hint("write them percent-encoded, as they stand in a request"))
}

impl FromText for Template {
    const EXPECTED: &'static str = "a text such as \"/{service}/{*rest}\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let allowed = |byte: u8| byte.is_ascii_graphic();
        if text.is_empty() || !text.bytes().all(allowed) {
            return Err(Problem::new(format!("\"{text}\" has characters that no URL can have")));
        }
        let pieces = tokens(text)?.into_iter().map(|token| match token {
            Token::Literal(literal) => Piece::Literal(literal.to_owned()),
            Token::Placeholder(name, _) => Piece::Placeholder(name.to_owned()),
        });
        Ok(Self { pieces: pieces.collect() })
    }
}

impl Template {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Placeholder(name) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }

    /// The one placeholder that is the whole text.
    pub(super) fn only_placeholder(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Placeholder(name)] => Some(name),
            _ => None,
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, Problem> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        if rest[open..].starts_with('}') {
            return Err(Problem::new(format!("\"{text}\" has \"}}\" without \"{{\"")));
        }
        if open > 0 {
            tokens.push(Token::Literal(&rest[..open]));
        }
        let inside = &rest[open + 1..];
        let close = inside
            .find('}')
            .ok_or_else(|| Problem::new(format!("\"{text}\" has \"{{\" without \"}}\"")))?;
        tokens.push(placeholder(text, &inside[..close])?);
        rest = &inside[close + 1..];
    }
    if !rest.is_empty() {
        tokens.push(Token::Literal(rest));
    }
    Ok(tokens)
}

fn placeholder<'a>(text: &str, inside: &'a str) -> Result<Token<'a>, Problem> {
    let name = inside.strip_prefix('*').unwrap_or(inside);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return Err(Problem::new(format!("\"{text}\" has a bad placeholder {{{inside}}}"))
            .hint("a placeholder is {name}, or {*name} for all that follows"));
    }
    Ok(Token::Placeholder(name, inside.len() > name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_in_the_key() {
        let pattern = PathPattern::from_text("/items/{service}/{*rest}").expect("is a pattern");
        assert_eq!(pattern.key, "/items/{p0}/{*p1}");
        assert_eq!(pattern.names, ["service", "rest"]);
    }

    #[test]
    fn bad_patterns_are_refused() {
        for wrong in [
            "items",
            "",
            "/{",
            "/}",
            "/{}",
            "/{a b}",
            "/{a}/{a}",
            "/{*rest}/more",
            "/a b",
            "/a?b",
            "/a#b",
            "/{1a}",
            "/ü",
        ] {
            assert!(PathPattern::from_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_template_is_pieces() {
        let template = Template::from_text("/v1/{service}").expect("is a template");
        let expected = [Piece::Literal("/v1/".into()), Piece::Placeholder("service".into())];
        assert_eq!(template.pieces, expected);
        assert_eq!(Template::from_text("{a}").expect("is one").only_placeholder(), Some("a"));
        assert_eq!(template.only_placeholder(), None);
    }
}
