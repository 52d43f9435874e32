//! The one form of a field that requests are counted by: what an upstream may read as the same thing is
//! the same thing here, or each spelling would have a count of its own.
//!
//! What can be read in more than one way has no form: a field that stands there twice, credentials with
//! something behind them. All such requests of a limit share one count.

use actix_http::header::{self, HeaderMap, HeaderName};
use smallvec::SmallVec;

use crate::request::without_port;

/// One value in its form; credentials and hosts are nearly always short.
pub(super) type Form = SmallVec<[u8; 128]>;

/// What a request has of one field.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Normal {
    Missing,
    One(Form),
    Ambiguous,
}

pub(super) fn form(headers: &HeaderMap, name: &HeaderName) -> Normal {
    let mut given = headers.get_all(name);
    let (first, second) = (given.next(), given.next());
    match (first, second) {
        (None, _) => Normal::Missing,
        (Some(value), None) => one(name, value.as_bytes().trim_ascii()),
        (Some(_), Some(_)) => Normal::Ambiguous,
    }
}

fn one(name: &HeaderName, value: &[u8]) -> Normal {
    let form = if *name == header::AUTHORIZATION || *name == header::PROXY_AUTHORIZATION {
        credentials(value)
    } else if *name == header::HOST {
        Some(host(value))
    } else {
        Some(Form::from_slice(value))
    };
    form.map_or(Normal::Ambiguous, Normal::One)
}

/// RFC 9110 section 11.4: the scheme in any case, spaces, and what it needs.
fn credentials(value: &[u8]) -> Option<Form> {
    let Some(end) = value.iter().position(u8::is_ascii_whitespace) else {
        return Some(Form::from_slice(value));
    };
    let (scheme, rest) = value.split_at(end);
    let mut form: Form = scheme.iter().map(u8::to_ascii_lowercase).collect();
    let rest = rest.trim_ascii();
    form.push(b' ');
    match &form[..] {
        b"basic " => form.extend(decoded(rest)?),
        b"bearer " => form.extend_from_slice(token(rest)?),
        _ => {
            for word in rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
                form.extend_from_slice(word);
                form.push(b' ');
            }
        }
    }
    Some(form)
}

/// A token and nothing behind it, which some readers would not look at.
fn token(value: &[u8]) -> Option<&[u8]> {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b';' | b'"');
    (!value.iter().any(ends)).then_some(value)
}

/// Base64 (RFC 4648 section 4) with its padding or without, whatever is in its last bits. `None` if
/// something else stands in it: some readers leave that out.
fn decoded(value: &[u8]) -> Option<Form> {
    let length = value.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let (mut form, mut bits, mut count) = (Form::new(), 0_u32, 0);
    for byte in &value[..length] {
        bits = (bits << 6 | u32::from(six_bits(*byte)?)) & 0xfff;
        count += 6;
        if count >= 8 {
            count -= 8;
            form.extend(u8::try_from((bits >> count) & 0xff));
        }
    }
    Some(form)
}

fn six_bits(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// As requests are routed: in lower case, without port and final dot.
fn host(value: &[u8]) -> Form {
    let name = str::from_utf8(value).map_or(value, |host| without_port(host).as_bytes());
    let name = name.strip_suffix(b".").unwrap_or(name);
    name.iter().map(u8::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use actix_http::header::HeaderValue;
    use base64::{Engine, prelude::BASE64_STANDARD};
    use proptest::prelude::*;

    use super::*;

    fn of(name: &HeaderName, values: &[&str]) -> Normal {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_str(value).expect("is a value");
            headers.append(name.clone(), value);
        }
        form(&headers, name)
    }

    #[test]
    fn every_spelling_of_the_same_credentials_is_the_same() {
        for (first, others) in [
            ("Bearer T", &["bearer T", "BEARER   T ", "Bearer\tT"][..]),
            (
                "Basic YTpiYw==",
                &["basic YTpiYw", "BASIC  YTpiYx==", "Basic YTpiYw=", "Basic YTpiYw=="],
            ),
            ("Digest a=1, b=2", &["DIGEST  a=1,  b=2 "]),
        ] {
            for other in others {
                let name = header::AUTHORIZATION;
                assert_eq!(of(&name, &[first]), of(&name, &[other]), "{other}");
            }
        }
        assert_eq!(of(&header::HOST, &["a.test"]), of(&header::HOST, &["A.Test.:8080"]));
    }

    #[test]
    fn different_credentials_are_different() {
        let all = ["Bearer T", "Bearer t", "T", "t", "Basic YTpiYw==", "Basic YTpiZA==", "Token T"];
        for (index, one) in all.iter().enumerate() {
            for other in &all[index + 1..] {
                let name = header::AUTHORIZATION;
                assert_ne!(of(&name, &[one]), of(&name, &[other]), "{one} {other}");
            }
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_shares_one_count() {
        let own = HeaderName::from_static("x-key");
        for (name, values) in [
            (header::AUTHORIZATION, &["Bearer T more"][..]),
            (header::AUTHORIZATION, &["Bearer T, Bearer U"]),
            (header::AUTHORIZATION, &["Basic YTp*iYw=="]),
            (header::AUTHORIZATION, &["Basic YTpi-Yw=="]),
            (header::AUTHORIZATION, &["Bearer T", "Bearer T"]),
            (own, &["a", "b"]),
        ] {
            assert_eq!(of(&name, values), Normal::Ambiguous, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn base64_is_what_it_stands_for(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let encoded = BASE64_STANDARD.encode(&bytes);
            prop_assert_eq!(decoded(encoded.as_bytes()).map(|form| form.to_vec()), Some(bytes));
        }
    }
}
