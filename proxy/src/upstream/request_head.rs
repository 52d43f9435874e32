//! Writes a request head in one go into one buffer.

use std::time::Duration;

use actix_http::{Method, header::HeaderValue};
use bytes::{BufMut, BytesMut};

use super::{request_body::RequestFraming, upload::COPIED};
use crate::{config::NameCase, headers::lines::put};

/// What stands before the fields; the path is from "/", the query without "?".
pub struct RequestLine<'a> {
    pub method: &'a Method,
    pub base: &'a str,
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
    pub host: &'a [u8],
    /// Of the names that stand here.
    pub case: NameCase,
}

impl RequestLine<'_> {
    fn name(&self, title: &'static [u8], lower: &'static [u8]) -> &'static [u8] {
        match self.case {
            NameCase::Title => title,
            NameCase::Lower => lower,
        }
    }
}

/// A whole head, with room for a small body behind it; `fields` are the lines of all fields but `Host`, the length fields
/// and `Upgrade`; `left` is told as `X-Request-Timeout-Ms`.
pub fn write(
    line: &RequestLine<'_>,
    framing: RequestFraming,
    upgrade: Option<&HeaderValue>,
    left: Option<Duration>,
    fields: &[u8],
) -> BytesMut {
    let body = match framing {
        RequestFraming::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        RequestFraming::None | RequestFraming::Chunked => 0,
    };
    let room = if body <= COPIED { body } else { 0 };
    let mut out = BytesMut::with_capacity(
        line.base.len()
            + line.path.len()
            + line.query.map_or(0, <[u8]>::len)
            + line.host.len()
            + fields.len()
            + room
            + 128,
    );
    out.put_slice(line.method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(line.base.as_bytes());
    out.put_slice(line.path);
    if let Some(query) = line.query {
        out.put_u8(b'?');
        out.put_slice(query);
    }
    out.put_slice(b" HTTP/1.1\r\n");
    put(&mut out, line.name(b"Host", b"host"), line.host);
    match framing {
        RequestFraming::None => {}
        RequestFraming::Length(length) => {
            put(
                &mut out,
                line.name(b"Content-Length", b"content-length"),
                itoa::Buffer::new().format(length).as_bytes(),
            );
        }
        RequestFraming::Chunked => {
            put(&mut out, line.name(b"Transfer-Encoding", b"transfer-encoding"), b"chunked");
        }
    }
    if let Some(protocols) = upgrade {
        put(&mut out, line.name(b"Connection", b"connection"), b"upgrade");
        put(&mut out, line.name(b"Upgrade", b"upgrade"), protocols.as_bytes());
    }
    if let Some(left) = left {
        let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        put(
            &mut out,
            line.name(b"X-Request-Timeout-Ms", b"x-request-timeout-ms"),
            itoa::Buffer::new().format(millis).as_bytes(),
        );
    }
    out.put_slice(fields);
    out.put_slice(b"\r\n");
    out
}
