//! Methods as they are written: in capitals, those that nobody has registered too.

use actix_http::Method;

use super::{error::Problem, value::FromText};

pub(super) struct MethodName(pub(super) Method);

impl FromText for MethodName {
    const EXPECTED: &'static str = "a method such as \"GET\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let is_method = !text.is_empty()
            && text.len() <= 32
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || b"-_".contains(&byte));
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if is_method => Ok(Self(method)),
            _ => Err(Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED))
                .hint("methods are case-sensitive and written in capitals")),
        }
    }
}
