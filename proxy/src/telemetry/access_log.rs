//! One JSON object per request on stdout, at its end.
//!
//! A line is written by hand into a buffer of the worker. Buffers go to one writer thread
//! (`log_writer.rs`) when they are full or 50 ms old. Bounds: 32 KiB a buffer, 64 buffers on the
//! way; if stdout does not take them, lines are dropped and counted, and requests go on.

use std::{
    cell::{Cell, RefCell},
    io::Write,
    rc::Rc,
    time::{Duration, SystemTime},
};

use super::{
    log_writer::{Batch, LogSender},
    timestamp::{Clock, digits},
};
use crate::{
    headers::lines::put_address,
    record::{RequestRecord, Try, TryOutcome},
    service::Service,
};

const BUFFER: usize = 32 << 10;
const FLUSH_AFTER: Duration = Duration::from_millis(50);

/// A key with all that stands around it, so that it is written at once.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// The log of one worker.
pub struct AccessLog {
    sender: LogSender,
    buffer: RefCell<Vec<u8>>,
    lines: Cell<u64>,
    clock: RefCell<Clock>,
    flush_is_due: Cell<bool>,
}

impl AccessLog {
    pub fn new(sender: LogSender) -> Rc<Self> {
        Rc::new(Self {
            sender,
            buffer: RefCell::new(Vec::with_capacity(BUFFER)),
            lines: Cell::new(0),
            clock: RefCell::default(),
            flush_is_due: Cell::new(false),
        })
    }

    /// Appends the line of a request that has ended.
    pub fn write(self: &Rc<Self>, record: &RequestRecord, duration: Duration) {
        let mut buffer = self.buffer.borrow_mut();
        let mut line = Line::begin(&mut buffer);
        line.raw(key!("ts"), |out| {
            out.push(b'"');
            self.clock.borrow_mut().write(SystemTime::now(), out);
            out.push(b'"');
        });
        write_fields(&mut line, record, duration);
        line.end();
        let is_full = buffer.len() >= BUFFER;
        drop(buffer);
        self.lines.set(self.lines.get() + 1);
        if is_full {
            self.flush();
        } else if !self.flush_is_due.replace(true) {
            let log = Rc::clone(self);
            actix_rt::spawn(async move {
                actix_rt::time::sleep(FLUSH_AFTER).await;
                log.flush_is_due.set(false);
                log.flush();
            });
        }
    }

    /// Hands over what is buffered.
    pub fn flush(&self) {
        let lines = self.lines.replace(0);
        if lines == 0 {
            return;
        }
        let full = self.buffer.replace(Vec::with_capacity(BUFFER));
        self.sender.send(Batch { lines: full, count: lines });
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

fn write_fields(line: &mut Line<'_>, record: &RequestRecord, duration: Duration) {
    line.text(key!("request_id"), record.request_id.as_bytes());
    line.optional(key!("trace_id"), record.trace_id.as_ref().map(|id| &id[..]));
    line.raw(key!("client_ip"), |out| match record.client.get() {
        Some(client) => {
            out.push(b'"');
            put_address(out, client);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    });
    line.text(key!("method"), record.method.as_str().as_bytes());
    let logged = record.logged.as_ref();
    let host = logged.and_then(|logged| logged.host.as_ref());
    line.optional(key!("host"), host.map(|host| host.as_bytes()));
    let target = logged.and_then(|logged| logged.target.as_ref());
    line.text(key!("path"), target.map_or(&b""[..], |target| target.path().as_bytes()));
    line.number(key!("status"), u64::from(record.final_status().as_u16()));
    line.number(key!("bytes_in"), record.bytes_in.get());
    line.number(key!("bytes_out"), record.bytes_out.get());
    line.milliseconds(key!("duration_ms"), duration);
    let route = record.matched().map(|route| route.config.name.as_bytes());
    line.optional(key!("route"), route);
    let service = record.service();
    line.optional(key!("service"), service.map(|service| service.name.as_bytes()));
    let endpoint = service.zip(record.endpoint.get());
    let url = endpoint.map(|(service, place)| service.endpoint(place).url.as_bytes());
    line.optional(key!("endpoint"), url);
    line.number(key!("attempts"), u64::from(record.attempts.get()));
    let tries = record.tries.borrow();
    if let Some(service) = service.filter(|_| tries.len() > 1) {
        line.raw(key!("tries"), |out| write_tries(out, &tries, service));
    }
    line.optional(key!("reason"), record.reason.get().map(|reason| reason.word().as_bytes()));
    let user_agent = logged.and_then(|logged| logged.user_agent.as_ref());
    line.optional(key!("user_agent"), user_agent.map(|agent| agent.as_bytes()));
    let tls = record.from.arrival().tls.as_ref();
    line.optional(key!("tls"), tls.map(|tls| tls.version.as_bytes()));
    let known = record.identity.get().and_then(|identity| identity.subject.as_deref());
    let subject = known.or_else(|| tls?.client.as_ref()?.shown());
    line.optional(key!("subject"), subject.map(|subject| subject.as_bytes()));
}

fn write_tries(out: &mut Vec<u8>, tries: &[Try], service: &Service) {
    out.push(b'[');
    for (index, one) in tries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let mut line = Line::begin(out);
        line.text(key!("endpoint"), service.endpoint(one.endpoint).url.as_bytes());
        match one.outcome {
            TryOutcome::Status(status) => line.number(key!("status"), u64::from(status.as_u16())),
            TryOutcome::Failed(reason) => line.text(key!("reason"), reason.word().as_bytes()),
        }
        line.milliseconds(key!("started_ms"), one.started);
        line.milliseconds(key!("duration_ms"), one.took);
        line.out.push(b'}');
    }
    out.push(b']');
}

/// A JSON object in one line.
struct Line<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Line<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_first: true }
    }

    fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    fn raw(&mut self, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
        let comma = usize::from(std::mem::take(&mut self.is_first));
        self.out.extend_from_slice(&key.as_bytes()[comma..]);
        value(self.out);
    }

    fn number(&mut self, key: &str, value: u64) {
        self.raw(key, |out| {
            out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        });
    }

    fn milliseconds(&mut self, key: &str, duration: Duration) {
        self.raw(key, |out| {
            let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
            out.extend_from_slice(itoa::Buffer::new().format(us / 1000).as_bytes());
            let [a, b, c] = digits(us % 1000);
            out.extend_from_slice(&[b'.', a, b, c]);
        });
    }

    fn text(&mut self, key: &str, value: &[u8]) {
        self.raw(key, |out| {
            out.push(b'"');
            escape(value, out);
            out.push(b'"');
        });
    }

    /// `null` if there is none, so that every line has the same keys.
    fn optional(&mut self, key: &str, value: Option<&[u8]>) {
        match value {
            Some(value) => self.text(key, value),
            None => self.raw(key, |out| out.extend_from_slice(b"null")),
        }
    }
}

/// Bytes as the inside of a JSON string; what is not UTF-8 becomes U+FFFD.
pub fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let is_odd = |byte: u8| !(0x20..0x7f).contains(&byte) | (byte == b'"') | (byte == b'\\');
    // To the end, whatever is found: so many bytes are looked at at once.
    if !bytes.iter().fold(false, |found, byte| found | is_odd(*byte)) {
        return out.extend_from_slice(bytes);
    }
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            control if (control as u32) < 0x20 || control == '\u{7f}' => {
                write!(out, "\\u{:04x}", control as u32).expect("a Vec grows");
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_become_a_json_string() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            (b"say \"hi\" \\ \x01\n", "say \"hi\" \\ \x01\n"),
            ("grüße".as_bytes(), "grüße"),
            (b"bad \xff", "bad \u{fffd}"),
        ] {
            let mut out = vec![b'"'];
            escape(bytes, &mut out);
            out.push(b'"');
            let read: String = serde_json::from_slice(&out).expect("is JSON");
            assert_eq!(read, expected);
        }
    }
}
