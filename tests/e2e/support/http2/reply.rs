//! What comes back on one stream.

/// An answer, as much of it as has come.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The statuses of interim answers.
    pub interim: Vec<u16>,
    /// 0 if there is no final answer yet.
    pub status: u16,
    /// Without `:status`, in order, as sent.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Option<Vec<(String, String)>>,
    /// Whether the stream ended as it should.
    pub is_whole: bool,
    /// The code of a reset, before the end or behind it.
    pub reset: Option<u32>,
}

/// How a stream ended, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer of this status, whole.
    Status(u16),
    /// Reset with this code, amid an answer or before it.
    Reset(u32),
    /// With the connection, which said this code.
    GoAway(u32),
    /// With the connection, which said nothing.
    Closed,
}

/// Fields of one connection, which an answer must not have (RFC 9113 section 8.2.2).
const OF_CONNECTIONS: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// All fields of that name, in order.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("is text")
    }

    /// The reason in `Proxy-Status`.
    pub fn reason(&self) -> Option<&str> {
        self.header("proxy-status")?.split_once("details=\"")?.1.strip_suffix('"')
    }

    /// Whether no more comes on this stream.
    pub fn has_ended(&self) -> bool {
        self.is_whole || self.reset.is_some()
    }

    /// Takes a header block, which must keep the rules of sections 8.2 and 8.3.2.
    pub(super) fn take_fields(&mut self, mut fields: Vec<(String, String)>, ends: bool) {
        for (name, value) in &fields {
            let is_lower = !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase());
            assert!(is_lower && !OF_CONNECTIONS.contains(&name.as_str()), "{name}: {value}");
            assert!(!value.contains(['\r', '\n', '\0']) && value.trim() == value, "{value:?}");
        }
        let pseudo = fields.iter().filter(|(name, _)| name.starts_with(':')).count();
        if self.status > 0 {
            assert!(pseudo == 0 && ends && !self.is_whole, "a second head: {fields:?}");
            self.trailers = Some(fields);
        } else {
            assert!(pseudo == 1 && fields[0].0 == ":status", "is no head: {fields:?}");
            let status = fields.remove(0).1.parse().expect("is a status");
            if (100..200).contains(&status) {
                assert!(!ends && status != 101, "an interim {status} that ends: {ends}");
                self.interim.push(status);
                return;
            }
            (self.status, self.fields) = (status, fields);
        }
        self.is_whole = ends;
    }

    pub(super) fn take_data(&mut self, data: &[u8], ends: bool) {
        assert!(self.status > 0, "data before a head");
        assert!(!self.has_ended(), "data behind the end");
        self.body.extend_from_slice(data);
        self.is_whole = ends;
    }
}
