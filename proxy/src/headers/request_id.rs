//! `X-Request-ID`: the client's own if it is a sensible one, else a random UUID.

use actix_http::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id that the client sent once, if it is 8 to 128 of `[A-Za-z0-9._-]`; else a UUIDv4.
pub fn choose(headers: &HeaderMap) -> HeaderValue {
    let mut given = headers.get_all(X_REQUEST_ID);
    match (given.next(), given.next()) {
        (Some(id), None) if is_valid(id.as_bytes()) => id.clone(),
        _ => generate(),
    }
}

fn is_valid(id: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (8..=128).contains(&id.len()) && id.iter().all(allowed)
}

fn generate() -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let text = Uuid::new_v4().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).expect("a UUID is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(ids: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for id in ids {
            headers.append(X_REQUEST_ID, HeaderValue::from_str(id).expect("is a value"));
        }
        choose(&headers).to_str().expect("is text").to_owned()
    }

    #[test]
    fn a_sensible_id_is_kept_and_anything_else_replaced() {
        let longest = "a".repeat(128);
        for id in ["abcDEF.1", "0_-.0_-.", &longest] {
            assert_eq!(chosen(&[id]), id);
        }
        let too_long = "a".repeat(129);
        for ids in [
            &[][..],
            &["short"],
            &[&too_long],
            &["has space"],
            &["a/b/c/d/e"],
            &["12345678", "87654321"],
        ] {
            let id = chosen(ids);
            assert_eq!(Uuid::parse_str(&id).map(|id| id.get_version_num()), Ok(4), "{id}");
        }
    }
}
