//! The host of a request, as routes compare it.

use std::borrow::Cow;

/// Without port and final dot, in lower case.
pub fn host_without_port(host: &str) -> Cow<'_, str> {
    let name = match host.strip_prefix('[') {
        Some(rest) => &host[..rest.find(']').map_or(host.len(), |end| end + 2)],
        None => host.split(':').next().unwrap_or(host),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    Cow::Borrowed(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_final_dot_and_case_do_not_matter() {
        for (host, expected) in [
            ("a.test", "a.test"),
            ("A.Test:8080", "a.test"),
            ("a.test.", "a.test"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("[::1", "[::1"),
            ("", ""),
        ] {
            assert_eq!(host_without_port(host), expected, "{host}");
        }
    }
}
