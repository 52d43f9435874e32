//! Fields that belong to one connection (RFC 9110 section 7.6.1) and must not be forwarded.

/// Fields that `Connection` may not take away: a client could otherwise strip what the upstream
/// relies on (CVE-2022-31813, CVE-2024-45410).
const PROTECTED: [&str; 13] = [
    "authorization",
    "cdn-loop",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "set-cookie",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// Whether a response field of this name, in any case, stays behind: those of the connection and of
/// framing, and the id of the request, which is ours.
pub fn is_response_field(name: &str) -> bool {
    match name.len() {
        2 => is(name, "TE"),
        7 => is(name, "Trailer") || is(name, "Upgrade"),
        10 => is(name, "Connection") || is(name, "Keep-Alive"),
        12 => is(name, "X-Request-ID"),
        14 => is(name, "Content-Length"),
        16 => is(name, "Proxy-Connection"),
        17 => is(name, "Transfer-Encoding"),
        18 => is(name, "Proxy-Authenticate"),
        19 => is(name, "Proxy-Authorization"),
        _ => false,
    }
}

/// Whether `name` is that of the field usually written `usual`, in any case. Most origins write it
/// so, and to see that takes a tenth of what a comparison without case does.
#[inline]
pub fn is(name: &str, usual: &str) -> bool {
    name == usual || name.eq_ignore_ascii_case(usual)
}

/// Whether a request field of this name stays behind.
pub fn is_request_field(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Calls `remove` with every field that a `Connection` value names and may take away.
pub fn for_each_nominated(connection: &[u8], mut remove: impl FnMut(&str)) {
    for option in connection.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        let is_option = [&b"close"[..], b"keep-alive", b"upgrade", b""]
            .iter()
            .any(|known| option == *known || option.eq_ignore_ascii_case(known));
        if is_option {
            continue;
        }
        let Ok(name) = std::str::from_utf8(option).map(str::to_ascii_lowercase) else {
            continue;
        };
        if !PROTECTED.contains(&name.as_str()) {
            remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nominated(connection: &str) -> Vec<String> {
        let mut names = Vec::new();
        for_each_nominated(connection.as_bytes(), |name| names.push(name.to_owned()));
        names
    }

    #[test]
    fn a_connection_field_names_fields_but_not_protected_ones() {
        assert_eq!(nominated("close, X-Hop,, te"), ["x-hop", "te"]);
        assert_eq!(nominated("Authorization, x-forwarded-for, Cookie"), Vec::<String>::new());
    }
}
