//! `[auth_schemes.…]`: the ways a client can prove who it is.

use super::{
    error::{Located, Problem},
    section::Section,
    services::check_name,
    value::unknown_word,
};

/// Shortest token that is accepted in a configuration, in bytes.
const SHORTEST_TOKEN: usize = 8;

#[derive(Clone, Debug)]
pub enum AuthScheme {
    Bearer(BearerConfig),
}

#[derive(Clone)]
pub struct BearerConfig {
    /// Never empty.
    pub tokens: Vec<String>,
}

/// Secrets stay out of every log and message.
impl std::fmt::Debug for BearerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BearerConfig({} tokens)", self.tokens.len())
    }
}

impl AuthScheme {
    pub(super) fn read_all(
        sections: Vec<(Located<String>, Section<'_>)>,
    ) -> Vec<(String, Option<Self>)> {
        let read = sections.into_iter().map(|(name, section)| {
            check_scheme_name(&name, &section);
            (name.value, Self::read(section))
        });
        read.collect()
    }

    /// `None` if the scheme is wrong and reported; its name still counts as known.
    fn read(mut section: Section<'_>) -> Option<Self> {
        let kind = section.require::<String>("type")?;
        let scheme = match kind.value.as_str() {
            "bearer" => BearerConfig::read(&mut section).map(Self::Bearer),
            other => {
                section.report(&kind.span, unknown_word(other, &["bearer"]));
                return None;
            }
        };
        section.finish();
        scheme
    }
}

impl BearerConfig {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let tokens = section.require::<Vec<Located<String>>>("tokens")?;
        if section.is_empty_array("tokens") {
            section.report(&tokens.span, Problem::new("\"tokens\" names no token"));
        }
        for token in &tokens.value {
            if let Err(problem) = check_token(&token.value) {
                section.report(&token.span, problem);
            }
        }
        Some(Self { tokens: tokens.value.into_iter().map(|token| token.value).collect() })
    }
}

/// "none" lets everybody in: a scheme of that name would look like a guard and be none.
fn check_scheme_name(name: &Located<String>, section: &Section<'_>) {
    if name.value == "none" {
        section.report(&name.span, Problem::new("\"none\" stands for no authentication"));
    } else if let Err(problem) = check_name(&name.value) {
        section.report(&name.span, problem);
    }
}

/// A token is long enough not to be guessed by hand, and of the characters of RFC 6750 section
/// 2.1 (`b64token`). The token itself never stands in the message.
pub(super) fn check_token(token: &str) -> Result<(), Problem> {
    if token.len() < SHORTEST_TOKEN {
        let message = format!("a token needs {SHORTEST_TOKEN} characters or more");
        return Err(Problem::new(message).hint("for example from: openssl rand -base64 32"));
    }
    let body = token.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if !body.is_empty() && body.bytes().all(allowed) {
        return Ok(());
    }
    Err(Problem::new("a token is made of letters, digits and -._~+/, with = only at its end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_follow_rfc_6750_and_never_appear_in_messages() {
        assert!(check_token("secret-token").is_ok());
        assert!(check_token("YWJjZGVmZw==").is_ok());
        for wrong in ["short", "has a space in it", "quo\"ted-token", "a=b-middle-equals"] {
            let problem = check_token(wrong).expect_err(wrong);
            assert!(!problem.message.contains(wrong), "{}", problem.message);
        }
    }
}
