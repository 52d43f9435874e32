//! Where requests have their credentials. What stands there twice is no credential: two readers
//! could each take another one.

use actix_http::header::{self, HeaderMap, HeaderName};

/// The token of the only `Authorization: Bearer` (RFC 6750 section 2.1); not empty.
pub fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    of_scheme(headers, b"bearer ")
}

/// The base64 of the only `Authorization: Basic` (RFC 7617); not empty.
pub fn basic(headers: &HeaderMap) -> Option<&[u8]> {
    of_scheme(headers, b"basic ")
}

/// The value of the only field of this name; not empty.
pub fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut given = headers.get_all(name);
    let value = given.next()?.as_bytes().trim_ascii();
    (given.next().is_none() && !value.is_empty()).then_some(value)
}

/// The value of the only parameter of this name, which is returned as it was sent; not empty. One whose
/// name is written otherwise, and read as the same by who decodes it, stands there too, and is none.
pub fn only_parameter<'a>(query: &'a str, name: &str) -> Option<&'a [u8]> {
    let mut values = query.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_plain = key == name;
        (is_plain || decodes_to(key, name)).then_some((is_plain, value))
    });
    let (is_plain, value) = values.next()?;
    let is_only = is_plain && values.next().is_none();
    (is_only && !value.is_empty()).then_some(value.as_bytes())
}

fn decodes_to(key: &str, name: &str) -> bool {
    key.contains(['%', '+'])
        && form_urlencoded::parse(key.as_bytes()).next().is_some_and(|(key, _)| key == name)
}

/// What follows the scheme, whose name is case-insensitive; `scheme` is in lower case and ends in
/// a space.
fn of_scheme<'a>(headers: &'a HeaderMap, scheme: &[u8]) -> Option<&'a [u8]> {
    let value = only(headers, &header::AUTHORIZATION)?;
    let (given, token) = value.split_at_checked(scheme.len())?;
    let token = token.trim_ascii();
    (given.eq_ignore_ascii_case(scheme) && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use actix_http::header::HeaderValue;

    use super::*;

    fn headers(fields: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            let value = HeaderValue::from_str(field).expect("is a value");
            headers.append(header::AUTHORIZATION, value);
        }
        headers
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        for field in ["Bearer secret-token", "bearer secret-token", "BEARER  secret-token "] {
            assert_eq!(bearer(&headers(&[field])), Some(&b"secret-token"[..]), "{field}");
        }
        assert_eq!(basic(&headers(&["bAsic YTpi"])), Some(&b"YTpi"[..]));
    }

    #[test]
    fn what_is_missing_or_stands_twice_is_no_credential() {
        for fields in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["Basic secret-token"],
            &["secret-token"],
            &["Bearersecret-token"],
            &["Bearer secret-token", "Bearer secret-token"],
        ] {
            assert_eq!(bearer(&headers(fields)), None, "{fields:?}");
        }
    }

    #[test]
    fn a_parameter_stands_in_the_query_once() {
        assert_eq!(only_parameter("a=1&key=abc&b", "key"), Some(&b"abc"[..]));
        assert_eq!(only_parameter("key=a=b", "key"), Some(&b"a=b"[..]));
        for query in [
            "",
            "key",
            "key=",
            "xkey=abc",
            "key=a&key=a",
            "KEY=abc",
            "k%65y=abc",
            "key=a&k%65y=b",
            "k%65y=b&key=a",
        ] {
            assert_eq!(only_parameter(query, "key"), None, "{query}");
        }
    }
}
