//! Turns a whole request head into the request that the App gets, and finds out what follows it
//! (RFC 9112 sections 3, 5 and 6). Anything that two readers could understand differently is
//! refused; whether the request makes sense is for `request/` to say.

use std::{mem::MaybeUninit, net::SocketAddr};

use actix_http::{
    Method, Request, Version,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use bytes::Bytes;

use super::{credentials::Credentials, request_line};
use crate::{
    error::Reason,
    framing::{ChunkBounds, Rest},
    request::{
        offers,
        target::{self, Raw, Target},
    },
};

/// The largest value of `max_headers`.
pub const MOST_FIELDS: usize = 100;
pub(super) const CHUNK_BOUNDS: ChunkBounds = ChunkBounds { line: 1024, trailers: 8 << 10 };

/// A request without its body.
pub(super) struct Head {
    pub(super) request: Request,
    /// Path and query as they came, if the request has them otherwise.
    pub(super) raw: Option<Raw>,
    /// The head that the values of the fields lie in.
    pub(super) came: Bytes,
    pub(super) body: Rest,
    /// Whether another request may follow.
    pub(super) keeps_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    /// Whether it offers to speak another protocol from here on.
    pub(super) offers_upgrade: bool,
}

/// What the fields say about the connection and the body.
#[derive(Default)]
struct Control {
    length: Option<u64>,
    is_chunked: bool,
    /// Whether there is a transfer coding below `chunked`.
    is_coded: bool,
    closes: bool,
    keeps: bool,
    expects_continue: bool,
    has_host: bool,
    names_upgrade: bool,
    has_upgrade: bool,
}

/// Parses a head that the scanner has found whole.
///
/// # Errors
/// `bad_request`, or `not_implemented` for a transfer coding.
pub(super) fn parse(
    head: Bytes,
    peer: Option<SocketAddr>,
    credentials: &mut Credentials,
) -> Result<Head, Reason> {
    let mut parsed = read(&head, None, peer, credentials)?;
    if parsed.came.is_empty() {
        parsed.came = head;
    }
    Ok(parsed)
}

/// `came` is the head as it came, if `head` is one in which its request line was mended.
fn read(
    head: &Bytes,
    came: Option<&Bytes>,
    peer: Option<SocketAddr>,
    credentials: &mut Credentials,
) -> Result<Head, Reason> {
    let mut storage = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut storage) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::Version | httparse::Error::Token) if came.is_none() => {
            let mended = request_line::mended(head).ok_or(Reason::BadRequest)?;
            let mut parsed = read(&mended, Some(head), peer, credentials)?;
            parsed.came = mended;
            return Ok(parsed);
        }
        _ => return Err(Reason::BadRequest),
    }
    let is_1_0 = parsed.version == Some(0);
    let name = parsed.method.unwrap_or_default();
    let method = Method::from_bytes(name.as_bytes());
    let target = name.len() + 1..name.len() + 1 + parsed.path.unwrap_or_default().len();
    let came = came.unwrap_or(head);
    let Target { uri, raw } = target::parse(came, &came[target])?;
    let mut request = Request::new();
    let into = request.head_mut();
    into.method = method.map_err(|_| Reason::BadRequest)?;
    into.uri = uri;
    into.version = if is_1_0 { Version::HTTP_10 } else { Version::HTTP_11 };
    into.peer_addr = peer;
    let control = read_fields(head, parsed.headers, is_1_0, credentials, &mut into.headers)?;
    if !control.has_host && !is_1_0 {
        return Err(Reason::BadRequest);
    }
    let body = control.body(&into.method, is_1_0)?;
    // What a client sends behind CONNECT before it is answered is meant for the tunnel (RFC 9110
    // section 9.3.6), and may be a third party's bytes.
    let may_follow = !control.closes && into.method != Method::CONNECT;
    let keeps_alive = may_follow && (!is_1_0 || control.keeps);
    let expects_continue = control.expects_continue && !is_1_0 && !body.is_over();
    let offers_upgrade = control.has_upgrade && control.names_upgrade;
    let came = Bytes::new();
    Ok(Head { request, raw, came, body, keeps_alive, expects_continue, offers_upgrade })
}

/// A request that stands for one whose head is refused.
pub(super) fn stand_in(peer: Option<SocketAddr>) -> Request {
    let mut request = Request::new();
    let head = request.head_mut();
    head.method = Method::from_bytes(b"REFUSED").expect("is a token");
    head.peer_addr = peer;
    request
}

fn read_fields(
    head: &Bytes,
    given: &[httparse::Header<'_>],
    is_1_0: bool,
    credentials: &mut Credentials,
    fields: &mut HeaderMap,
) -> Result<Control, Reason> {
    let mut control = Control::default();
    for field in given {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Reason::BadRequest)?;
        match name {
            header::CONTENT_LENGTH => control.take_length(field.value)?,
            header::TRANSFER_ENCODING => control.take_coding(field.value, is_1_0)?,
            header::CONNECTION => control.take_options(field.value),
            header::UPGRADE => control.has_upgrade |= offers(field.value),
            header::EXPECT => control.take_expectation(field.value),
            header::HOST if std::mem::replace(&mut control.has_host, true) => {
                return Err(Reason::BadRequest);
            }
            _ => {}
        }
        let is_credentials = name == header::AUTHORIZATION;
        let known = if is_credentials { credentials.known(field.value) } else { None };
        let value = match known {
            Some(value) => value,
            None => {
                let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value));
                let value = value.map_err(|_| Reason::BadRequest)?;
                if is_credentials {
                    credentials.keep(&value);
                }
                value
            }
        };
        fields.append(name, value);
    }
    Ok(control)
}

impl Control {
    /// One `Content-Length` of digits alone: a list, a sign or a repeat is how requests are
    /// smuggled.
    fn take_length(&mut self, value: &[u8]) -> Result<(), Reason> {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(value).ok().filter(|_| is_number);
        let length = text.and_then(|text| text.parse().ok()).ok_or(Reason::BadRequest)?;
        if self.length.replace(length).is_some() { Err(Reason::BadRequest) } else { Ok(()) }
    }

    /// RFC 9112 section 6.1: `chunked` once and last, and HTTP/1.0 has no transfer codings.
    fn take_coding(&mut self, value: &[u8], is_1_0: bool) -> Result<(), Reason> {
        if is_1_0 {
            return Err(Reason::BadRequest);
        }
        for coding in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if self.is_chunked || coding.is_empty() || !coding.iter().all(is_token) {
                return Err(Reason::BadRequest);
            }
            self.is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.is_coded |= !self.is_chunked;
        }
        Ok(())
    }

    fn take_options(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.closes |= option.eq_ignore_ascii_case(b"close");
            self.keeps |= option.eq_ignore_ascii_case(b"keep-alive");
            self.names_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    fn take_expectation(&mut self, value: &[u8]) {
        let mut expectations = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        self.expects_continue |= expectations.any(|one| one.eq_ignore_ascii_case(b"100-continue"));
    }

    /// RFC 9112 section 6.3. An HTTP/1.0 POST without length cannot be told from one that was cut
    /// (RFC 1945 section 8.3).
    fn body(&self, method: &Method, is_1_0: bool) -> Result<Rest, Reason> {
        match (self.length, self.is_chunked) {
            (Some(_), true) => Err(Reason::BadRequest),
            // RFC 9112 section 6.3: without `chunked` at the end, nobody knows where it ends.
            (_, false) if self.is_coded => Err(Reason::BadRequest),
            (None, true) if self.is_coded => Err(Reason::NotImplemented),
            (None, false) if is_1_0 && *method == Method::POST => Err(Reason::BadRequest),
            (length, false) => Ok(Rest::Length(length.unwrap_or(0))),
            (None, true) => Ok(Rest::chunked(CHUNK_BOUNDS)),
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &str) -> Result<Head, Reason> {
        parse(Bytes::copy_from_slice(wire.as_bytes()), None, &mut Credentials::default())
    }

    fn post(fields: &str) -> Result<Head, Reason> {
        read(&format!("POST /x HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"))
    }

    #[test]
    fn the_length_fields_say_what_follows() {
        let length = |fields: &str| match post(fields).map(|head| head.body) {
            Ok(Rest::Length(length)) => Some(length),
            _ => None,
        };
        assert_eq!(length(""), Some(0));
        assert_eq!(length("content-length: 5\r\n"), Some(5));
        assert_eq!(length("CONTENT-LENGTH:0\r\n"), Some(0));
        let chunked = post("Transfer-Encoding: Chunked\r\n").map(|head| head.body);
        assert!(matches!(chunked, Ok(Rest::Chunked(_))));
    }

    #[test]
    fn lengths_that_can_be_read_in_two_ways_are_refused() {
        for fields in [
            "content-length: 5\r\ncontent-length: 5\r\n",
            "content-length: +5\r\n",
            "content-length: \r\n",
            "content-length: 5, 5\r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip\r\n",
            "transfer-encoding: identity\r\n",
            "transfer-encoding: \"chunked\"\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "host: b.test\r\n",
            "x: a\r\n folded\r\n",
            "x : a\r\n",
            ": a\r\n",
            "x: a\0\r\n",
        ] {
            assert!(post(fields).is_err(), "{fields:?}");
        }
        for wire in [
            "POST / HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET /\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
        ] {
            assert!(read(wire).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn a_connection_is_kept_as_version_and_options_say() {
        for (wire, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
            ("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", false),
        ] {
            assert_eq!(read(wire).map(|head| head.keeps_alive), Ok(expected), "{wire:?}");
        }
    }

    #[test]
    fn only_a_body_is_worth_a_100_continue() {
        let expects = |fields: &str| post(fields).map(|head| head.expects_continue);
        assert_eq!(expects("expect: 100-continue\r\ncontent-length: 5\r\n"), Ok(true));
        assert_eq!(expects("expect: x, 100-Continue\r\ntransfer-encoding: chunked\r\n"), Ok(true));
        assert_eq!(expects("expect: 100-continue\r\n"), Ok(false));
        assert_eq!(expects("content-length: 5\r\n"), Ok(false));
    }
}
