//! The token of a challenge: the only thing that a stranger's request or a CA may name a file by.

use std::fmt;

/// Of RFC 8555 section 8.3, with a bound: 1 to 128 of `[A-Za-z0-9_-]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a>(&'a str);

const LONGEST: usize = 128;

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let is_token = (1..=LONGEST).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        is_token.then_some(Self(text))
    }

    pub(super) fn text(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_1_to_128_characters_of_base64url() {
        let longest = "a".repeat(LONGEST);
        for text in ["a", "AZaz09_-", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA", &longest] {
            assert_eq!(Token::parse(text).map(Token::text), Some(text));
        }
    }

    #[test]
    fn nothing_else_is_a_token() {
        let too_long = "a".repeat(LONGEST + 1);
        for text in [
            "",
            ".",
            "..",
            "../account",
            "..%2faccount",
            "a/b",
            "/etc/passwd",
            "a\\b",
            "a.b",
            "a b",
            "a\0",
            "a\n",
            "ä",
            "a%00",
            "a=",
            "a+b",
            "a~",
            &too_long,
        ] {
            assert_eq!(Token::parse(text), None, "{text:?}");
        }
    }
}
