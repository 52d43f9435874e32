//! How the body of a response is framed, and whether its connection can take another request (RFC
//! 9112 sections 6 and 9.3): decided by the request method, the status and the length fields alone.

use std::time::Duration;

use actix_http::{Method, StatusCode};

use super::response_head::HeadError;
use crate::headers::{connection_auth, hop_by_hop::is};

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

/// The fields that decide framing and reuse, gathered in one pass.
#[derive(Default)]
pub(super) struct Control {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    upgrades: bool,
    signs_in: bool,
    kept_for: Option<u32>,
}

impl Control {
    pub(super) fn take(
        &mut self,
        field: &httparse::Header<'_>,
        is_1_0: bool,
    ) -> Result<(), HeadError> {
        let name = field.name;
        match name.len() {
            10 if is(name, "Connection") => self.add_options(field.value),
            10 if is(name, "Keep-Alive") => self.kept_for = timeout(field.value).or(self.kept_for),
            14 if is(name, "Content-Length") => self.add_length(field.value)?,
            15 if is(name, "Persistent-Auth") => self.signs_in = true,
            16 if is(name, "WWW-Authenticate") => {
                self.signs_in |= connection_auth::is_asked_for(field.value);
            }
            17 if is(name, "Transfer-Encoding") => self.add_coding(field.value, is_1_0)?,
            _ => {}
        }
        Ok(())
    }

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
    pub(super) fn framing(
        &self,
        status: StatusCode,
        method: &Method,
    ) -> Result<Framing, HeadError> {
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
    /// Whether the endpoint knows the connection as its client's, or is about to.
    pub(super) fn signs_in(&self) -> bool {
        self.signs_in
    }

    /// How long the endpoint waits for the next request, less a second: what is sent at the end of that
    /// time would meet the end of the connection.
    pub(super) fn kept_for(&self) -> Option<Duration> {
        self.kept_for.map(|seconds| Duration::from_secs(seconds.saturating_sub(1).into()))
    }

    /// Whether the endpoint may send a body all the same, and late, that nobody reads.
    pub(super) fn may_send_more(framing: Framing, method: &Method) -> bool {
        *method == Method::HEAD && framing != Framing::Empty(Some(0))
    }

    /// Whether the endpoint will take another request. An origin that sends a body where there is
    /// none, and late, would answer that with it: the connection is not worth it.
    pub(super) fn keeps_alive(
        &self,
        framing: Framing,
        status: StatusCode,
        method: &Method,
        is_1_0: bool,
    ) -> bool {
        let may_send_more = match status {
            _ if *method == Method::HEAD => false,
            StatusCode::NO_CONTENT => self.chunked || self.length.is_some_and(|length| length > 0),
            StatusCode::NOT_MODIFIED => self.chunked,
            _ => false,
        };
        framing != Framing::UntilClose
            && !may_send_more
            && !self.close
            && (!is_1_0 || self.keep_alive)
    }
}

/// The seconds of `timeout=N` in a `Keep-Alive` field (RFC 2068 section 19.7.1.1).
fn timeout(value: &[u8]) -> Option<u32> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).find_map(|parameter| {
        let (name, seconds) = parameter.split_at_checked("timeout=".len())?;
        let is_timeout = name.eq_ignore_ascii_case(b"timeout=");
        let seconds = std::str::from_utf8(seconds).ok().filter(|_| is_timeout)?;
        seconds.trim_matches('"').parse().ok()
    })
}
