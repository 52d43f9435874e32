//! CORS (Fetch standard, section 3.3): the answer to a preflight, and the fields by which a browser
//! lets a page of another origin read an answer. That of itself keeps nobody out: whoever is no
//! browser does not ask.

use actix_http::{
    Method, RequestHead,
    header::{self, HeaderMap, HeaderValue},
};

use crate::config::{CorsConfig, OriginPattern, Origins};

const ORIGIN: HeaderValue = HeaderValue::from_static("Origin");
const ANY: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// The method that a preflight asks about; `None` for all other requests.
pub fn requested(head: &RequestHead) -> Option<Method> {
    if head.method != Method::OPTIONS || !head.headers.contains_key(header::ORIGIN) {
        return None;
    }
    let mut methods = head.headers.get_all(header::ACCESS_CONTROL_REQUEST_METHOD);
    let method = Method::from_bytes(methods.next()?.as_bytes()).ok()?;
    methods.next().is_none().then_some(method)
}

/// The origin that the request comes from, as it is to be allowed; `None` if it is not. Where all
/// are, a request that names none is answered alike: without `Vary`, a cache gives that answer to
/// pages too (Fetch standard, "CORS protocol and HTTP caches").
pub fn allowed(cors: &CorsConfig, headers: &HeaderMap) -> Option<HeaderValue> {
    let Origins::Listed(patterns) = &cors.origins else { return Some(ANY) };
    let mut given = headers.get_all(header::ORIGIN);
    let origin = given.next()?;
    if given.next().is_some() {
        return None;
    }
    let is_it = |pattern: &OriginPattern| matches(pattern, origin.as_bytes());
    patterns.iter().any(is_it).then(|| origin.clone())
}

fn matches(pattern: &OriginPattern, origin: &[u8]) -> bool {
    match pattern {
        OriginPattern::Exact(text) => text.as_bytes() == origin,
        OriginPattern::Below { start, end } => {
            let labels = origin
                .strip_prefix(start.as_bytes())
                .and_then(|rest| rest.strip_suffix(end.as_bytes()));
            labels.is_some_and(are_labels)
        }
    }
}

/// Nothing that could end the host before the end of the pattern.
fn are_labels(text: &[u8]) -> bool {
    let allowed =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(byte);
    text.split(|byte| *byte == b'.').all(|label| !label.is_empty() && label.iter().all(allowed))
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// That a request may be sent. Whether its method and fields may be is for the browser to see:
    /// it says so to who wrote the page.
    Preflight,
    Other,
}

/// Puts the fields on any answer of the route, its failures too: a page may know the status.
/// `origin` is the one that is allowed.
pub fn finish(
    cors: &CorsConfig,
    origin: Option<HeaderValue>,
    answer: Answer,
    headers: &mut HeaderMap,
) {
    // What is not the same for all must not be kept for all (RFC 9110 section 12.5.5).
    if cors.origins != Origins::Any {
        headers.append(header::VARY, ORIGIN);
    }
    let Some(origin) = origin else { return };
    let mut put = |name, value: &HeaderValue| drop(headers.insert(name, value.clone()));
    put(header::ACCESS_CONTROL_ALLOW_ORIGIN, &origin);
    if cors.credentials {
        put(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, &TRUE);
    }
    match answer {
        Answer::Preflight => {
            put(header::ACCESS_CONTROL_ALLOW_METHODS, &cors.methods);
            if let Some(names) = &cors.headers {
                put(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
            }
            put(header::ACCESS_CONTROL_MAX_AGE, &cors.max_age);
        }
        Answer::Other => {
            if let Some(names) = &cors.expose {
                put(header::ACCESS_CONTROL_EXPOSE_HEADERS, names);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_a_host_are_whole_labels_and_nothing_else() {
        let pattern =
            OriginPattern::Below { start: "https://".to_owned(), end: ".a.test:81".to_owned() };
        for (origin, expected) in [
            ("https://x.a.test:81", true),
            ("https://x.y-z.a.test:81", true),
            ("https://a.test:81", false),
            ("https://.a.test:81", false),
            ("https://x..a.test:81", false),
            ("https://x.a.test", false),
            ("https://x.a.test:811", false),
            ("http://x.a.test:81", false),
            ("https://xa.test:81", false),
            ("https://evil.test/.a.test:81", false),
            ("https://evil.test:1.a.test:81", false),
            ("https://evil.test?.a.test:81", false),
            ("https://u@x.a.test:81", false),
            ("https://X.a.test:81", false),
        ] {
            assert_eq!(matches(&pattern, origin.as_bytes()), expected, "{origin}");
        }
        let exact = OriginPattern::Exact("https://a.test".to_owned());
        assert!(matches(&exact, b"https://a.test"));
        assert!(!matches(&exact, b"https://a.test.evil.test") && !matches(&exact, b"null"));
    }
}
