//! One question to an endpoint over a connection of its own, and the beginning of its answer. It
//! takes the way that requests take, so an answer says that requests would get there.

use std::{future::poll_fn, io, task::ready, time::Duration};

use actix_http::{
    Method, StatusCode,
    header::{HeaderName, HeaderValue, USER_AGENT},
};
use bytes::{BufMut, Bytes, BytesMut};

use super::{
    body::CHUNK_BOUNDS,
    connection::Connection,
    dial::Dialer,
    response_framing::Framing,
    response_head::{Asked, HeadBounds, Parsed, ResponseHead, parse},
};
use crate::{
    config::HeaderRules,
    error::{ProxyError, Reason},
    framing::{Rest, Taken},
    headers::lines::{put, put_titled},
};

/// Of the head, and of the part of the body that is read, in bytes.
const MOST: usize = 64 << 10;
const MOST_HEAD: HeadBounds = HeadBounds { bytes: MOST, fields: 1000 };
const ROOM: usize = 4 << 10;

/// What came back.
pub struct Answered {
    pub status: StatusCode,
    /// Up to 64 KiB of it, if it was asked for.
    pub body: BytesMut,
}

/// What is asked.
pub struct Question<'a> {
    pub target: &'a str,
    pub host: &'a HeaderValue,
    /// Beside `Host`, and instead of what is sent by default.
    pub fields: &'a [(HeaderName, HeaderValue)],
}

/// Sends `GET target`. The time is the caller's to bound; that of connecting is `connect`.
///
/// # Errors
/// Why there is no whole answer.
pub async fn ask(
    dialer: &Dialer,
    question: &Question<'_>,
    connect: Duration,
    wants_body: bool,
) -> Result<Answered, ProxyError> {
    let mut connection = dialer.connect(connect).await?;
    let mut request = question.written();
    let sent = poll_fn(|cx| {
        ready!(connection.poll_write(&mut request, cx))?;
        connection.poll_flush(cx)
    });
    sent.await.map_err(ProxyError::upstream_io)?;
    let head = head(&mut connection).await?;
    let body =
        if wants_body { body(&mut connection, head.framing).await? } else { BytesMut::new() };
    connection.close();
    Ok(Answered { status: head.status, body })
}

impl Question<'_> {
    fn written(&self) -> Bytes {
        let mut request = BytesMut::with_capacity(256);
        request.put_slice(b"GET ");
        request.put_slice(self.target.as_bytes());
        request.put_slice(b" HTTP/1.1\r\n");
        put(&mut request, b"Host", self.host.as_bytes());
        if self.fields.iter().all(|(name, _)| *name != USER_AGENT) {
            put(&mut request, b"User-Agent", b"proxy-health-check");
        }
        for (name, value) in self.fields {
            put_titled(&mut request, name.as_str().as_bytes(), value.as_bytes());
        }
        request.put_slice(b"Connection: close\r\n\r\n");
        request.freeze()
    }
}

async fn head(connection: &mut Connection) -> Result<ResponseHead, ProxyError> {
    let rules = HeaderRules::default();
    let asked = Asked { method: &Method::GET, upgrade: None, signs_in: false, rules: &rules };
    loop {
        fill(connection).await?;
        while !connection.unread.is_empty() {
            let parsed = parse(&mut connection.unread, asked, MOST_HEAD);
            match parsed.map_err(|error| ProxyError::new(Reason::UpstreamProtocol, error))? {
                Parsed::Final(head) => return Ok(head),
                Parsed::Interim => {}
                Parsed::Partial => break,
            }
        }
    }
}

async fn body(connection: &mut Connection, framing: Framing) -> Result<BytesMut, ProxyError> {
    let mut rest = match framing {
        Framing::Empty(_) | Framing::Tunnel => return Ok(BytesMut::new()),
        Framing::Length(length) => Rest::Length(length),
        Framing::Chunked => Rest::chunked(CHUNK_BOUNDS),
        Framing::UntilClose => Rest::UntilClose,
    };
    let mut body = BytesMut::new();
    while body.len() < MOST {
        match rest.take(&mut connection.unread) {
            Ok(Taken::Data(bytes)) => body.put_slice(&bytes[..bytes.len().min(MOST - body.len())]),
            Ok(Taken::End) => break,
            Ok(Taken::NeedsMore) => match fill(connection).await {
                Err(_) if matches!(rest, Rest::UntilClose) => break,
                filled => filled?,
            },
            Err(error) => return Err(ProxyError::new(Reason::UpstreamProtocol, error)),
        }
    }
    Ok(body)
}

async fn fill(connection: &mut Connection) -> Result<(), ProxyError> {
    let filled = poll_fn(|cx| connection.poll_fill(ROOM, cx)).await;
    match filled.map_err(ProxyError::upstream_io)? {
        0 => Err(ProxyError::upstream_io(io::ErrorKind::UnexpectedEof.into())),
        _ => Ok(()),
    }
}
