//! The trace id of `traceparent` (W3C Trace Context), for the log. The field itself passes.

use actix_http::header::HeaderMap;

/// The 32 hexadecimal digits, if the field is there once and well-formed.
pub fn trace_id(headers: &HeaderMap) -> Option<[u8; 32]> {
    let mut given = headers.get_all("traceparent");
    let value = given.next()?.as_bytes();
    if given.next().is_some() || value.len() < 55 || [value[2], value[35]] != *b"--" {
        return None;
    }
    let digits =
        |part: &[u8]| part.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
    let id: [u8; 32] = value[3..35].try_into().ok()?;
    let is_valid = digits(&value[..2]) && &value[..2] != b"ff" && digits(&id) && id != [b'0'; 32];
    is_valid.then_some(id)
}

#[cfg(test)]
mod tests {
    use actix_http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn only_a_well_formed_field_has_an_id() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(text).expect("is a value");
            headers.append(HeaderName::from_static("traceparent"), value);
            trace_id(&headers).map(|id| String::from_utf8(id.to_vec()).expect("is ASCII"))
        };
        assert_eq!(read(&format!("00-{id}-b7ad6b7169203331-01")).as_deref(), Some(id));
        for wrong in [
            format!("ff-{id}-b7ad6b7169203331-01"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{}-b7ad6b7169203331-01", id.to_uppercase()),
            id.to_owned(),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }
}
