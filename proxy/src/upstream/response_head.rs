//! Reads a response head (RFC 9112 sections 4 to 6): the status, the end-to-end fields and how
//! the body is framed. Framing is decided by the request method, the status and the length
//! fields alone; anything that two readers could understand differently is refused.
//!
//! Fields that pass are never made a map of: they are written down as the lines that the client
//! gets, in their order and spelling.

use std::{
    mem::MaybeUninit,
    time::{Duration, SystemTime},
};

use actix_http::{Method, StatusCode, header::HeaderValue};
use bytes::{Buf, BytesMut};

use super::response_framing::{Control, Framing};
use crate::{
    config::HeaderRules,
    headers::{hop_by_hop, lines::FieldLines},
};

/// Usual heads have no more fields, and what is read of them lies on the stack.
const USUAL_FIELDS: usize = 128;
const CONTENT_LENGTH: &str = "Content-Length";

/// Bounds on a response head.
#[derive(Clone, Copy)]
pub struct HeadBounds {
    pub bytes: usize,
    pub fields: usize,
}

#[derive(Debug)]
pub struct ResponseHead {
    pub status: StatusCode,
    /// The end-to-end fields.
    pub fields: FieldLines,
    pub framing: Framing,
    /// Whether the endpoint will take another request on this connection.
    pub(super) keeps_alive: bool,
    /// Whether the endpoint may send a body all the same.
    pub(super) may_send_more: bool,
    /// Whether the endpoint knows the connection as one client's from now on.
    pub(super) signs_in: bool,
    /// How long the endpoint keeps the connection for another request, if it says so.
    pub(super) kept_for: Option<Duration>,
    /// What `Retry-After` says (RFC 9110 section 10.2.3); read of answers that another try may better.
    pub retry_after: Option<Duration>,
}

/// What an answer is expected to.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub method: &'a Method,
    /// The protocols that may be switched to.
    pub upgrade: Option<&'a HeaderValue>,
    /// Whether its credentials are for the connection, and not for the request alone.
    pub signs_in: bool,
    /// Fields that the route removes or sets do not pass.
    pub rules: &'a HeaderRules,
}

/// What one look at the buffer found.
#[derive(Debug)]
pub(super) enum Parsed {
    Partial,
    /// An interim response (RFC 9110 section 15.2), skipped.
    Interim,
    Final(ResponseHead),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("the response head is not HTTP/1: {0}")]
    Syntax(#[from] httparse::Error),
    #[error("the response has a bad status")]
    Status,
    #[error("the response switches protocols without being asked")]
    Unasked101,
    #[error("the response has a bad Content-Length")]
    ContentLength,
    #[error("the response has a Transfer-Encoding other than chunked")]
    TransferEncoding,
    #[error("the response has both Content-Length and Transfer-Encoding")]
    TwoLengths,
    #[error("the response head is larger than max_response_header_bytes")]
    TooLarge,
    #[error("the response has more fields than max_response_headers")]
    TooMany,
}

/// Takes a head from the front of `buffer` if a whole one is there.
pub(super) fn parse(
    buffer: &mut BytesMut,
    asked: Asked<'_>,
    most: HeadBounds,
) -> Result<Parsed, HeadError> {
    let mut storage = [const { MaybeUninit::uninit() }; USUAL_FIELDS];
    let (parsed, length) = match parse_within(&mut storage, buffer, asked, most) {
        Err(HeadError::Syntax(httparse::Error::TooManyHeaders)) => parse_long(buffer, asked, most)?,
        parsed => parsed?,
    };
    buffer.advance(length);
    Ok(parsed)
}

/// With as many fields as there may be, or as there are lines if that is less.
fn parse_long(
    buffer: &[u8],
    asked: Asked<'_>,
    most: HeadBounds,
) -> Result<(Parsed, usize), HeadError> {
    let lines = memchr::memchr_iter(b'\n', &buffer[..buffer.len().min(most.bytes)]).count();
    let room = most.fields.min(lines + 1);
    let mut storage: Vec<_> = (0..room).map(|_| MaybeUninit::uninit()).collect();
    match parse_within(&mut storage, buffer, asked, most) {
        Err(HeadError::Syntax(httparse::Error::TooManyHeaders)) if buffer.len() > most.bytes => {
            Err(HeadError::TooLarge)
        }
        Err(HeadError::Syntax(httparse::Error::TooManyHeaders)) => Err(HeadError::TooMany),
        parsed => parsed,
    }
}

fn parse_within<'b>(
    storage: &mut [MaybeUninit<httparse::Header<'b>>],
    buffer: &'b [u8],
    asked: Asked<'_>,
    most: HeadBounds,
) -> Result<(Parsed, usize), HeadError> {
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let parsed = config.parse_response_with_uninit_headers(&mut response, buffer, storage);
    let (length, is_whole) = match parsed? {
        httparse::Status::Complete(length) => (length, true),
        httparse::Status::Partial => (buffer.len(), false),
    };
    if length > most.bytes {
        return Err(HeadError::TooLarge);
    }
    if !is_whole {
        return Ok((Parsed::Partial, 0));
    }
    if response.headers.len() > most.fields {
        return Err(HeadError::TooMany);
    }
    let status = response.code.filter(|code| *code >= 100).ok_or(HeadError::Status)?;
    let status = StatusCode::from_u16(status).map_err(|_| HeadError::Status)?;
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    let parsed = if status.is_informational() && !switches {
        Parsed::Interim
    } else {
        let is_1_0 = response.version == Some(0);
        Parsed::Final(read_fields(buffer, response.headers, status, is_1_0, asked)?)
    };
    Ok((parsed, length))
}

fn read_fields(
    head: &[u8],
    given: &[httparse::Header<'_>],
    status: StatusCode,
    is_1_0: bool,
    asked: Asked<'_>,
) -> Result<ResponseHead, HeadError> {
    let mut control = Control::default();
    for field in given {
        control.take(field, is_1_0)?;
    }
    let nominated = nominated(given);
    let mut fields = FieldLines::default();
    for field in given {
        let name = field.name;
        let is_nominated = || nominated.iter().any(|one| name.eq_ignore_ascii_case(one));
        if !hop_by_hop::is_response_field(name) && !is_ruled(name, asked.rules) && !is_nominated() {
            fields.push_from(head, name, field.value);
        } else if name.len() == CONTENT_LENGTH.len() && hop_by_hop::is(name, CONTENT_LENGTH) {
            fields.spell_length(name);
        }
    }
    let framing = control.framing(status, asked.method)?;
    match framing {
        Framing::Tunnel => fields.push("Upgrade", switched_to(given, asked)?),
        // RFC 9110 section 15.5.22: it says to what.
        _ if status == StatusCode::UPGRADE_REQUIRED => {
            for protocols in named(given, "Upgrade") {
                fields.push("Upgrade", protocols);
            }
        }
        Framing::Empty(Some(length)) if *asked.method != Method::HEAD => {
            fields.push_length(length);
        }
        _ => {}
    }
    let keeps_alive = control.keeps_alive(framing, status, asked.method, is_1_0);
    let retry_after = if is_trouble(status) { retry_after(given) } else { None };
    Ok(ResponseHead {
        status,
        fields,
        framing,
        keeps_alive,
        may_send_more: Control::may_send_more(framing, asked.method),
        signs_in: control.signs_in(),
        kept_for: control.kept_for(),
        retry_after,
    })
}

impl ResponseHead {
    /// WHATWG HTML section 9.2: events for as long as both sides like.
    pub(super) fn is_event_stream(&self) -> bool {
        let content_type = self.fields.find(b"content-type").unwrap_or_default();
        let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
        media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    }
}

/// Statuses behind which another try may help.
fn is_trouble(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// Seconds, or a date.
fn retry_after(given: &[httparse::Header<'_>]) -> Option<Duration> {
    let value = std::str::from_utf8(named(given, "Retry-After").next()?).ok()?.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

fn named<'a>(given: &'a [httparse::Header<'_>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named = move |field: &&httparse::Header<'_>| {
        field.name.len() == name.len() && hop_by_hop::is(field.name, name)
    };
    given.iter().filter(named).map(|field| field.value)
}

/// Fields that `Connection` takes away; nearly always none, and then nothing is allocated.
fn nominated(given: &[httparse::Header<'_>]) -> Vec<String> {
    let mut names = Vec::new();
    for value in named(given, "Connection") {
        hop_by_hop::for_each_nominated(value, |name| names.push(name.to_owned()));
    }
    names
}

fn is_ruled(name: &str, rules: &HeaderRules) -> bool {
    rules.remove.iter().any(|one| name.eq_ignore_ascii_case(one.as_str()))
        || rules.set.iter().any(|(one, _)| name.eq_ignore_ascii_case(one.as_str()))
}

/// RFC 9110 section 7.8: to one protocol, and one that was offered.
fn switched_to<'a>(
    given: &'a [httparse::Header<'_>],
    asked: Asked<'_>,
) -> Result<&'a [u8], HeadError> {
    let mut protocols = named(given, "Upgrade");
    let (Some(protocol), None) = (protocols.next(), protocols.next()) else {
        return Err(HeadError::Unasked101);
    };
    let offered = asked.upgrade.map_or(&b""[..], HeaderValue::as_bytes);
    let mut offers = offered.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let is_offered = offers.any(|offer| offer.eq_ignore_ascii_case(protocol));
    if is_offered { Ok(protocol) } else { Err(HeadError::Unasked101) }
}

#[cfg(test)]
mod tests;
