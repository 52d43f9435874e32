//! Which methods are taken. They are case-sensitive (RFC 9110 section 9.1), and yet some servers read
//! `post` as `POST`: who guards the one must not be evaded by the other.

use actix_http::Method;

use crate::error::Reason;

/// Longest method name, in bytes.
const LONGEST: usize = 32;

/// The IANA registry of methods, but for those that http has constants for, and what caches, UPnP
/// and their servers know beside it.
const REGISTERED: [&str; 38] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "M-SEARCH",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "NOTIFY",
    "ORDERPATCH",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
    "BAN",
];

/// # Errors
/// `method_not_allowed` for CONNECT and TRACE: a tunnel to anywhere and an echo of credentials are no
/// business of a reverse proxy (RFC 9110 sections 9.3.6 and 9.3.8). `bad_request` for one that is too
/// long, or a known one in other letters.
pub fn check(method: &Method) -> Result<(), Reason> {
    if is_usual(method) {
        return Ok(());
    }
    let is_known = |method: &Method| {
        let is_other = [Method::CONNECT, Method::TRACE].contains(method);
        is_usual(method) || is_other || REGISTERED.contains(&method.as_str())
    };
    match *method {
        Method::CONNECT | Method::TRACE => Err(Reason::MethodNotAllowed),
        _ if method.as_str().len() > LONGEST => Err(Reason::BadRequest),
        _ if in_capitals(method).is_some_and(|method| is_known(&method)) => Err(Reason::BadRequest),
        _ => Ok(()),
    }
}

/// The method in capitals; `None` if it is.
pub fn in_capitals(method: &Method) -> Option<Method> {
    let is_capital = |byte: u8| !byte.is_ascii_lowercase();
    if is_usual(method) || method.as_str().bytes().all(is_capital) {
        return None;
    }
    Method::from_bytes(method.as_str().to_ascii_uppercase().as_bytes()).ok()
}

fn is_usual(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE
            | Method::OPTIONS
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &str) -> Result<(), Reason> {
        check(&Method::from_bytes(method.as_bytes()).expect("is a token"))
    }

    #[test]
    fn a_known_method_in_other_letters_is_none() {
        for known in ["GET", "POST", "OPTIONS", "PROPFIND", "M-SEARCH", "QUERY"] {
            assert_eq!(checked(known), Ok(()), "{known}");
            let (lower, mixed) = (known.to_lowercase(), format!("{}g", &known[..known.len() - 1]));
            assert_eq!(checked(&lower), Err(Reason::BadRequest), "{lower}");
            assert_eq!(checked(&mixed), Ok(()), "{mixed}");
        }
        for wrong in ["Get", "pOST", "connect", "Trace", "patcH", "version-Control"] {
            assert_eq!(checked(wrong), Err(Reason::BadRequest), "{wrong}");
        }
        for other in ["BREW", "brew", "GETS", "gett"] {
            assert_eq!(checked(other), Ok(()), "{other}");
        }
    }

    #[test]
    fn connect_and_trace_are_refused_and_what_is_too_long() {
        assert_eq!(checked("CONNECT"), Err(Reason::MethodNotAllowed));
        assert_eq!(checked("TRACE"), Err(Reason::MethodNotAllowed));
        assert_eq!(checked(&"A".repeat(LONGEST)), Ok(()));
        assert_eq!(checked(&"A".repeat(LONGEST + 1)), Err(Reason::BadRequest));
    }
}
