//! Writes a response head (RFC 9112 section 4) and says how the end of its body is told.

use actix_http::{
    ResponseHead, StatusCode,
    header::{self, HeaderName},
};
use actix_web::body::BodySize;
use bytes::{BufMut, BytesMut};

use crate::headers::lines::{FieldLines, put, put_titled};

/// How the client knows where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delimited {
    /// There is no body.
    Empty,
    Length(u64),
    Chunked,
    /// By the end of the connection: all that HTTP/1.0 has.
    ByClose,
}

/// What a response is written for.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) is_1_0: bool,
    pub(super) is_head: bool,
}

impl Delimited {
    pub(super) fn of(status: StatusCode, size: BodySize, asked: Asked) -> Self {
        let has_none =
            asked.is_head || status == StatusCode::NOT_MODIFIED || status.is_informational();
        match size {
            _ if has_none => Self::Empty,
            BodySize::None => Self::Empty,
            BodySize::Sized(length) => Self::Length(length),
            BodySize::Stream if asked.is_1_0 => Self::ByClose,
            BodySize::Stream => Self::Chunked,
        }
    }
}

/// Appends a whole head. `keeps` says whether another request may follow; `passed` are the fields of
/// the upstream; `date` writes the value of `Date` where the response has none.
pub(super) fn write(
    head: &ResponseHead,
    size: BodySize,
    asked: Asked,
    keeps: bool,
    passed: &FieldLines,
    date: impl FnOnce(&mut BytesMut),
    out: &mut BytesMut,
) {
    let status = head.status;
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
    write_framing(status, size, asked, passed.length_name(), out);
    // Who names protocols says that the field belongs to the connection (RFC 9110 section 7.8).
    let upgrades = status == StatusCode::UPGRADE_REQUIRED && passed.find(b"upgrade").is_some();
    write_connection(status, asked, keeps, upgrades, out);
    out.extend_from_slice(passed.as_bytes());
    let mut has_date = passed.has_date();
    for (name, value) in head.headers.iter() {
        if !is_ours(name) {
            has_date |= *name == header::DATE;
            put_titled(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    if !has_date {
        out.put_slice(b"Date: ");
        date(out);
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
}

/// To HEAD go the fields that GET would get.
fn write_framing(
    status: StatusCode,
    size: BodySize,
    asked: Asked,
    length_name: &[u8],
    out: &mut BytesMut,
) {
    match size {
        _ if status == StatusCode::NO_CONTENT || status.is_informational() => {}
        BodySize::Sized(length) => {
            put(out, length_name, itoa::Buffer::new().format(length).as_bytes());
        }
        BodySize::Stream if !asked.is_1_0 => put(out, b"Transfer-Encoding", b"chunked"),
        BodySize::Stream | BodySize::None => {}
    }
}

fn write_connection(
    status: StatusCode,
    asked: Asked,
    keeps: bool,
    upgrades: bool,
    out: &mut BytesMut,
) {
    if upgrades {
        let options: &[u8] = if keeps { b"upgrade" } else { b"upgrade, close" };
        put(out, b"Connection", options);
    } else if status == StatusCode::SWITCHING_PROTOCOLS {
        put(out, b"Connection", b"upgrade");
    } else if !keeps {
        put(out, b"Connection", b"close");
    } else if asked.is_1_0 {
        put(out, b"Connection", b"keep-alive");
    }
}

fn is_ours(name: &HeaderName) -> bool {
    matches!(*name, header::CONNECTION | header::CONTENT_LENGTH | header::TRANSFER_ENCODING)
}

#[cfg(test)]
mod tests {
    use actix_http::{Response, body::BoxBody};

    use super::*;

    const ASKED: Asked = Asked { is_1_0: false, is_head: false };

    fn written(status: u16, size: BodySize, asked: Asked, keeps: bool) -> String {
        let status = StatusCode::from_u16(status).expect("is a status");
        let mut response = Response::<BoxBody>::new(status);
        response.headers_mut().insert(header::ETAG, header::HeaderValue::from_static("e"));
        let mut out = BytesMut::new();
        let passed = FieldLines::default();
        let now = |out: &mut BytesMut| out.put_slice(b"now");
        write(response.head(), size, asked, keeps, &passed, now, &mut out);
        String::from_utf8(out.to_vec()).expect("is text")
    }

    #[test]
    fn a_head_says_how_long_the_body_is_and_whether_another_request_may_follow() {
        let old = Asked { is_1_0: true, ..ASKED };
        for (status, size, asked, keeps, expected) in [
            (200, BodySize::Sized(5), ASKED, true, "Content-Length: 5\r\n"),
            (200, BodySize::Sized(0), ASKED, true, "Content-Length: 0\r\n"),
            (200, BodySize::Stream, ASKED, true, "Transfer-Encoding: chunked\r\n"),
            (200, BodySize::Stream, old, false, "Connection: close\r\n"),
            (200, BodySize::Sized(5), old, true, "Content-Length: 5\r\nConnection: keep-alive\r\n"),
            (200, BodySize::Sized(5), ASKED, false, "Content-Length: 5\r\nConnection: close\r\n"),
            (204, BodySize::Sized(0), ASKED, true, ""),
            (304, BodySize::None, ASKED, true, ""),
            (101, BodySize::Stream, ASKED, false, "Connection: upgrade\r\n"),
        ] {
            let text = written(status, size, asked, keeps);
            let fields = text.split_once("\r\n").expect("has a status line").1;
            assert_eq!(fields, format!("{expected}Etag: e\r\nDate: now\r\n\r\n"), "{status}");
        }
    }

    #[test]
    fn what_can_have_no_body_has_none() {
        let delimited = |status, size, asked| {
            Delimited::of(StatusCode::from_u16(status).expect("is a status"), size, asked)
        };
        let head = Asked { is_head: true, ..ASKED };
        let old = Asked { is_1_0: true, ..ASKED };
        assert_eq!(delimited(200, BodySize::Sized(5), head), Delimited::Empty);
        assert_eq!(delimited(304, BodySize::Sized(5), ASKED), Delimited::Empty);
        assert_eq!(delimited(200, BodySize::Stream, ASKED), Delimited::Chunked);
        assert_eq!(delimited(200, BodySize::Stream, old), Delimited::ByClose);
        assert_eq!(delimited(200, BodySize::Sized(5), old), Delimited::Length(5));
    }
}
