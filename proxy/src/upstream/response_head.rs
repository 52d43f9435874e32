//! Reads a response head (RFC 9112 sections 4 to 6): the status, the end-to-end fields and how
//! the body is framed. Framing is decided by the request method, the status and the length
//! fields alone; anything that two readers could understand differently is refused.

use std::mem::MaybeUninit;

use actix_http::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use bytes::{Bytes, BytesMut};

use crate::headers::hop_by_hop;

/// More fields than this in one head are refused.
const MOST_FIELDS: usize = 128;

#[derive(Debug)]
pub struct ResponseHead {
    pub status: StatusCode,
    /// End-to-end fields; `Content-Length` only where there is no body to give it.
    pub fields: HeaderMap,
    pub framing: Framing,
    /// Whether the endpoint will take another request on this connection.
    pub(super) keeps_alive: bool,
}

/// What an answer is expected to.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub method: &'a Method,
    /// The protocols that may be switched to.
    pub upgrade: Option<&'a HeaderValue>,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body. The length is that of the body a GET would have got.
    Empty(Option<u64>),
    Length(u64),
    Chunked,
    UntilClose,
    /// The connection has switched protocols.
    Tunnel,
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
    #[error("the response has a field that is not HTTP")]
    Field,
    #[error("the response head is larger than max_response_header_bytes")]
    TooLarge,
}

/// The fields that decide framing and reuse, gathered in one pass.
#[derive(Default)]
struct Control {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    upgrades: bool,
}

/// Takes a head from the front of `buffer` if a whole one is there.
pub(super) fn parse(
    buffer: &mut BytesMut,
    asked: Asked<'_>,
    most_bytes: usize,
) -> Result<Parsed, HeadError> {
    let mut storage = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let parsed = config.parse_response_with_uninit_headers(&mut response, buffer, &mut storage);
    let (length, is_whole) = match parsed? {
        httparse::Status::Complete(length) => (length, true),
        httparse::Status::Partial => (buffer.len(), false),
    };
    if length > most_bytes {
        return Err(HeadError::TooLarge);
    }
    if !is_whole {
        return Ok(Parsed::Partial);
    }
    let status = response.code.filter(|code| *code >= 100).ok_or(HeadError::Status)?;
    let status = StatusCode::from_u16(status).map_err(|_| HeadError::Status)?;
    let is_1_0 = response.version == Some(0);
    let spans: Spans = response.headers.iter().map(|field| Span::of(buffer, field)).collect();
    let head = buffer.split_to(length).freeze();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let switched = read_fields(&head, &spans, status, is_1_0, asked.method)?;
        return switched.check_switch(asked).map(Parsed::Final);
    }
    if status.is_informational() {
        return Ok(Parsed::Interim);
    }
    read_fields(&head, &spans, status, is_1_0, asked.method).map(Parsed::Final)
}

impl ResponseHead {
    /// RFC 9110 section 7.8: to one protocol, and one that was offered.
    fn check_switch(self, asked: Asked<'_>) -> Result<Self, HeadError> {
        let mut given = self.fields.get_all(header::UPGRADE);
        let (protocol, other) = (given.next(), given.next());
        let offered = asked.upgrade.map_or(&b""[..], HeaderValue::as_bytes);
        let mut offers = offered.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let is_offered = protocol.is_some_and(|protocol| {
            offers.any(|offer| offer.eq_ignore_ascii_case(protocol.as_bytes()))
        });
        if is_offered && other.is_none() { Ok(self) } else { Err(HeadError::Unasked101) }
    }
}

/// Where a field stands in the head: values are shared slices of it, not copies.
struct Span {
    name: (usize, usize),
    value: (usize, usize),
}

type Spans = smallvec::SmallVec<[Span; 32]>;

impl Span {
    fn of(buffer: &[u8], field: &httparse::Header<'_>) -> Self {
        let base = buffer.as_ptr().addr();
        let offsets = |part: &[u8]| {
            let start = part.as_ptr().addr() - base;
            (start, start + part.len())
        };
        Self { name: offsets(field.name.as_bytes()), value: offsets(field.value) }
    }
}

fn read_fields(
    head: &Bytes,
    spans: &[Span],
    status: StatusCode,
    is_1_0: bool,
    method: &Method,
) -> Result<ResponseHead, HeadError> {
    let mut fields = HeaderMap::with_capacity(spans.len());
    let mut control = Control::default();
    let mut nominated: Option<Bytes> = None;
    for span in spans {
        let name = HeaderName::from_bytes(&head[span.name.0..span.name.1])
            .map_err(|_| HeadError::Field)?;
        let value = head.slice(span.value.0..span.value.1);
        match name {
            header::CONTENT_LENGTH => control.add_length(&value)?,
            header::TRANSFER_ENCODING => control.add_coding(&value, is_1_0)?,
            header::CONNECTION => {
                control.add_options(&value);
                nominated = Some(join(nominated, value));
            }
            name if hop_by_hop::is_response_field(&name)
                && (name != header::UPGRADE || status != StatusCode::SWITCHING_PROTOCOLS) => {}
            name => {
                let value = HeaderValue::from_maybe_shared(value).map_err(|_| HeadError::Field)?;
                fields.append(name, value);
            }
        }
    }
    if let Some(nominated) = nominated {
        hop_by_hop::for_each_nominated(&nominated, |name| drop(fields.remove(name)));
    }
    let framing = control.framing(status, method)?;
    if let Framing::Empty(Some(length)) = framing
        && *method != Method::HEAD
    {
        fields.insert(header::CONTENT_LENGTH, length.into());
    }
    // An origin that sends a body to HEAD all the same, and late, would answer the next request
    // with it: the connection is not worth that.
    let may_send_more = *method == Method::HEAD && framing != Framing::Empty(Some(0));
    let keeps_alive = framing != Framing::UntilClose
        && !may_send_more
        && !control.close
        && (!is_1_0 || control.keep_alive);
    Ok(ResponseHead { status, fields, framing, keeps_alive })
}

/// Two `Connection` fields mean their list joined.
fn join(known: Option<Bytes>, value: Bytes) -> Bytes {
    match known {
        None => value,
        Some(known) => [&known[..], b",", &value[..]].concat().into(),
    }
}

impl Control {
    /// RFC 9112 section 6.3 item 5: equal repeats are one length, others an error.
    fn add_length(&mut self, value: &[u8]) -> Result<(), HeadError> {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(value).ok().filter(|_| digits);
        let length = length.and_then(|text| text.parse().ok()).ok_or(HeadError::ContentLength)?;
        match self.length.replace(length) {
            Some(known) if known != length => Err(HeadError::ContentLength),
            _ => Ok(()),
        }
    }

    /// RFC 9112 section 6.1: HTTP/1.0 has no transfer codings, and only `chunked` can be passed on.
    fn add_coding(&mut self, value: &[u8], is_1_0: bool) -> Result<(), HeadError> {
        if is_1_0 || self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(HeadError::TransferEncoding);
        }
        self.chunked = true;
        Ok(())
    }

    fn add_options(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrades |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// RFC 9112 section 6.3.
    fn framing(&self, status: StatusCode, method: &Method) -> Result<Framing, HeadError> {
        if self.chunked && self.length.is_some() {
            return Err(HeadError::TwoLengths);
        }
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return if self.upgrades { Ok(Framing::Tunnel) } else { Err(HeadError::Unasked101) };
        }
        if status == StatusCode::NO_CONTENT {
            return Ok(Framing::Empty(None));
        }
        if *method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
            return Ok(Framing::Empty(self.length));
        }
        Ok(match self.length {
            Some(length) => Framing::Length(length),
            None if self.chunked => Framing::Chunked,
            None => Framing::UntilClose,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method) -> Asked<'_> {
        Asked { method, upgrade: None }
    }

    fn read(wire: &str, method: &Method) -> Result<ResponseHead, HeadError> {
        match parse(&mut BytesMut::from(wire), asked(method), 1024)? {
            Parsed::Final(head) => Ok(head),
            other => panic!("expected a final head, found {other:?}"),
        }
    }

    fn framing(wire: &str, method: &Method) -> Result<Framing, HeadError> {
        read(wire, method).map(|head| head.framing)
    }

    #[test]
    fn framing_follows_method_status_and_length_fields() {
        for (wire, method, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::GET, Framing::Length(5)),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                Method::GET,
                Framing::Length(5),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::HEAD, Framing::Empty(Some(5))),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
                Method::GET,
                Framing::Chunked,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                Method::HEAD,
                Framing::Empty(None),
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", Method::GET, Framing::UntilClose),
            ("HTTP/1.0 200 OK\r\n\r\n", Method::GET, Framing::UntilClose),
            (
                "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
                Method::GET,
                Framing::Empty(None),
            ),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
                Method::GET,
                Framing::Empty(Some(5)),
            ),
        ] {
            assert_eq!(framing(wire, &method), Ok(expected), "{wire:?}");
        }
    }

    #[test]
    fn ambiguous_heads_are_refused() {
        for (wire, expected) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                HeadError::ContentLength,
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", HeadError::ContentLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", HeadError::ContentLength),
            ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", HeadError::ContentLength),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                HeadError::TwoLengths,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                HeadError::TransferEncoding,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                HeadError::TransferEncoding,
            ),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HeadError::TransferEncoding),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", HeadError::Unasked101),
            ("HTTP/1.1 099 No\r\n\r\n", HeadError::Status),
        ] {
            assert_eq!(framing(wire, &Method::GET), Err(expected), "{wire:?}");
        }
        assert!(matches!(
            framing("HTTQ/1.1 200 OK\r\n\r\n", &Method::GET),
            Err(HeadError::Syntax(_))
        ));
    }

    #[test]
    fn an_interim_head_is_skipped_and_the_rest_kept() {
        let mut buffer = BytesMut::from("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200");
        assert!(matches!(parse(&mut buffer, asked(&Method::GET), 1024), Ok(Parsed::Interim)));
        assert_eq!(&buffer[..], b"HTTP/1.1 200");
        assert!(matches!(parse(&mut buffer, asked(&Method::GET), 1024), Ok(Parsed::Partial)));
    }

    #[test]
    fn a_head_is_bounded_whole_or_not() {
        let wire = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(1000));
        for cut in [wire.len(), wire.len() - 1] {
            let mut buffer = BytesMut::from(&wire[..cut]);
            let parsed = parse(&mut buffer, asked(&Method::GET), 1000);
            assert!(matches!(parsed, Err(HeadError::TooLarge)), "{parsed:?}");
        }
    }

    #[test]
    fn hop_by_hop_fields_go_and_repeats_stay() {
        let head = read(
            "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
             Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
            &Method::GET,
        )
        .expect("is a head");
        let cookies: Vec<_> = head.fields.get_all("set-cookie").collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        assert_eq!(head.fields.len(), 2);
    }

    #[test]
    fn reuse_needs_a_length_and_no_close() {
        for (wire, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\n\r\n", false),
        ] {
            assert_eq!(
                read(wire, &Method::GET).map(|head| head.keeps_alive),
                Ok(expected),
                "{wire:?}"
            );
        }
    }

    #[test]
    fn only_an_offered_protocol_is_switched_to() {
        let offer = HeaderValue::from_static("foo/1, WebSocket");
        let switch = |fields: &str, upgrade| {
            let wire = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nearly");
            let asked = Asked { method: &Method::GET, upgrade };
            match parse(&mut BytesMut::from(wire.as_str()), asked, 1024)? {
                Parsed::Final(head) => Ok(head.framing),
                other => panic!("expected a final head, found {other:?}"),
            }
        };
        let good = "Connection: upgrade\r\nUpgrade: websocket\r\n";
        assert_eq!(switch(good, Some(&offer)), Ok(Framing::Tunnel));
        assert_eq!(switch(good, None), Err(HeadError::Unasked101));
        for fields in [
            "Upgrade: websocket\r\n",
            "Connection: upgrade\r\n",
            "Connection: upgrade\r\nUpgrade: h2c\r\n",
            "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: foo/1\r\n",
        ] {
            assert_eq!(switch(fields, Some(&offer)), Err(HeadError::Unasked101), "{fields:?}");
        }
    }
}
