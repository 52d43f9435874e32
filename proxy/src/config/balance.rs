//! `balance` of a service: how an endpoint is chosen, as a word, or as a table where that needs a
//! setting.

use actix_http::header::HeaderName;
use toml::{Spanned, de::DeValue};

use super::{
    cookie::CookieAttributes,
    error::{Problem, did_you_mean},
    expand::expand_secret,
    header_rules::FieldName,
    section::{Reader, Section, ValueOrTable},
    value::{FromText, Value, unknown_word},
};

/// Shortest secret that is accepted, in bytes.
const SHORTEST_SECRET: usize = 16;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    #[default]
    Random,
    RoundRobin,
    LeastRequests,
    P2cEwma,
    Hash(HashKey),
    Sticky(StickyCookie),
}

/// What requests must have in common to go to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    ClientIp,
    Header(HeaderName),
    /// The name of a cookie, a token.
    Cookie(String),
}

/// A cookie that brings a client back to its endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct StickyCookie {
    /// A token.
    pub name: String,
    /// Signs the value; 16 bytes or more.
    pub secret: String,
    pub attributes: CookieAttributes,
}

/// Secrets stay out of every log and message.
impl std::fmt::Debug for StickyCookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StickyCookie({})", self.name)
    }
}

impl Balance {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let read = match section.value_or_table("balance") {
            Some(ValueOrTable::Value(word)) => Some(word.value),
            Some(ValueOrTable::Table(table)) => Self::read_table(table),
            None => None,
        };
        read.unwrap_or_default()
    }

    /// `None` if it is wrong and reported.
    fn read_table(mut section: Section<'_>) -> Option<Self> {
        let balance = match (section.has("hash"), section.has("sticky")) {
            (true, false) => section.get("hash").map(|key| Self::Hash(key.value)),
            (false, true) => StickyCookie::read(&mut section).map(Self::Sticky),
            (has_both, _) => {
                section.know(&["hash", "sticky", "secret"]);
                section.know(&CookieAttributes::KEYS);
                let message = if has_both {
                    format!("{} can have only one of \"hash\", \"sticky\"", section.title())
                } else {
                    format!("{} needs \"hash\" or \"sticky\"", section.title())
                };
                section.report(&section.span, Problem::new(message));
                None
            }
        };
        section.finish();
        balance
    }
}

impl StickyCookie {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let name = section.require::<CookieName>("sticky");
        let secret = section.require::<Secret>("secret");
        let attributes = CookieAttributes::read(section);
        Some(Self { name: name?.value.0, secret: secret?.value.0, attributes })
    }
}

impl FromText for Balance {
    const EXPECTED: &'static str = "a word such as \"round_robin\", or { hash = \"client_ip\" }";

    fn from_text(text: &str) -> Result<Self, Problem> {
        Ok(match text {
            "random" => Self::Random,
            "round_robin" => Self::RoundRobin,
            "least_requests" => Self::LeastRequests,
            "p2c_ewma" => Self::P2cEwma,
            "hash" => return Err(needs_table(text, "{ hash = \"client_ip\" }")),
            "sticky" => return Err(needs_table(text, "{ sticky = \"…\", secret = \"…\" }")),
            other => {
                let known = ["random", "round_robin", "least_requests", "p2c_ewma"];
                return Err(unknown_word(other, &known));
            }
        })
    }
}

fn needs_table(word: &str, table: &str) -> Problem {
    Problem::new(format!("\"{word}\" needs a setting")).hint(format!("write {table}"))
}

impl FromText for HashKey {
    const EXPECTED: &'static str = "\"client_ip\", \"header:x-user\" or \"cookie:sid\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text.split_once(':') {
            None if text == "client_ip" => Ok(Self::ClientIp),
            Some(("header", name)) => FieldName::from_text(name).map(|name| Self::Header(name.0)),
            Some(("cookie", name)) => CookieName::from_text(name).map(|name| Self::Cookie(name.0)),
            other => {
                let word = other.map_or(text, |(word, _)| word);
                let mut problem =
                    Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED));
                problem.hint = did_you_mean(word, ["client_ip", "header", "cookie"]);
                Err(problem)
            }
        }
    }
}

/// A token (RFC 6265 section 4.1.1).
struct CookieName(String);

impl FromText for CookieName {
    const EXPECTED: &'static str = "the name of a cookie such as \"sid\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !text.is_empty() && text.bytes().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)))
    }
}

/// A string that never stands in a message, whatever is wrong with it.
struct Secret(String);

impl Value for Secret {
    const IS_SECRET: bool = true;

    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        let DeValue::String(text) = value.get_ref() else {
            return Err(Problem::new("a secret must be a string"));
        };
        let secret = expand_secret(text, reader.variables)?;
        if secret.len() < SHORTEST_SECRET {
            let message = format!("a secret needs {SHORTEST_SECRET} bytes or more");
            return Err(Problem::new(message).hint("for example from: openssl rand -base64 32"));
        }
        Ok(Self(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_out_of_debug() {
        let cookie = StickyCookie {
            name: "sid".into(),
            secret: "0123456789abcdef".into(),
            attributes: CookieAttributes::default(),
        };
        assert_eq!(format!("{:?}", Balance::Sticky(cookie)), "Sticky(StickyCookie(sid))");
    }

    #[test]
    fn a_cookie_name_is_a_token() {
        for name in ["sid", "__Host-a", "a.b~c", "1"] {
            assert_eq!(
                HashKey::from_text(&format!("cookie:{name}")),
                Ok(HashKey::Cookie(name.into()))
            );
        }
        for wrong in ["", "a b", "a=b", "a;b", "a,b", "\"a\"", "a[b", "ä", "a\u{7f}"] {
            assert!(CookieName::from_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_header_is_kept_in_lower_case() {
        let key = HashKey::from_text("header:X-User");
        assert_eq!(key, Ok(HashKey::Header(HeaderName::from_static("x-user"))));
    }
}
