//! What a client may send and how long it may take: the bounds and timeouts of `[server]`.

use std::time::Duration;

use super::{duration::Timeout, error::Problem, section::Section, size::ByteSize};

/// Bounds on one request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadBounds {
    /// Of the whole head, in bytes.
    pub bytes: usize,
    pub fields: usize,
    /// Of the target, in bytes.
    pub target: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// From the first byte of a head, or of the connection, to the end of the head.
    pub header: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// For each KiB of a request body.
    pub body: Duration,
    /// For each KiB of a response that the client does not take.
    pub write: Duration,
}

impl Default for HeadBounds {
    fn default() -> Self {
        Self { bytes: 32 << 10, fields: 100, target: 8 << 10 }
    }
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
        }
    }
}

const SMALLEST: u64 = 64;
/// A head is held whole while it is read.
const LARGEST_HEAD: u64 = 128 << 10;
/// What crate `http` keeps of a URI: its positions are of 16 bits.
const LONGEST_TARGET: u64 = 65_534;

/// Where windows begin, and what is enough for most ways: 40 MiB a second over 100 ms.
const HTTP2_WINDOWS: [u64; 2] = [1 << 20, 256 << 20];
pub(super) const HTTP2_WINDOW: u32 = 8 << 20;

/// `max_http2_window` in bytes.
pub(super) fn http2_window(section: &mut Section<'_>) -> u32 {
    let Some(size) = section.get::<ByteSize>("max_http2_window") else { return HTTP2_WINDOW };
    let [least, most] = HTTP2_WINDOWS;
    if !(least..=most).contains(&size.value.0) {
        let (least, most) = (ByteSize(least), ByteSize(most));
        let message = format!("max_http2_window must be {least} to {most}");
        section.report(&size.span, Problem::new(message));
    }
    u32::try_from(size.value.0).unwrap_or(HTTP2_WINDOW)
}

impl HeadBounds {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let bytes = size(section, "max_header_bytes", LARGEST_HEAD).unwrap_or(default.bytes);
        let target = size(section, "max_uri", LONGEST_TARGET).unwrap_or(default.target);
        let fields = section.get::<u64>("max_headers");
        if let Some(given) = fields.as_ref().filter(|given| !(1..=100).contains(&given.value)) {
            section.report(&given.span, Problem::new("max_headers must be 1 to 100"));
        }
        let fields = fields.and_then(|given| usize::try_from(given.value).ok());
        Self { bytes, fields: fields.unwrap_or(default.fields), target }
    }
}

/// A number of bytes up to `most`.
fn size(section: &mut Section<'_>, key: &'static str, most: u64) -> Option<usize> {
    let size = section.get::<ByteSize>(key)?;
    if !(SMALLEST..=most).contains(&size.value.0) {
        let (least, most) = (ByteSize(SMALLEST), ByteSize(most));
        let problem = Problem::new(format!("{key} must be {least} to {most}"));
        let is_too_long = size.value.0 > LONGEST_TARGET && most.0 == LONGEST_TARGET;
        let hint = "a longer target could not be read, whatever is allowed";
        section.report(&size.span, if is_too_long { problem.hint(hint) } else { problem });
    }
    usize::try_from(size.value.0).ok()
}

impl ClientTimeouts {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let mut timeout = |key, default| section.or(key, Timeout(default)).0;
        Self {
            header: timeout("header_timeout", default.header),
            idle: timeout("idle_timeout", default.idle),
            body: timeout("body_timeout", default.body),
            write: timeout("write_timeout", default.write),
        }
    }
}
