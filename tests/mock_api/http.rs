//! A small HTTP/1 client over `std` sockets, so that a test sees the very bytes of an answer.
//!
//! Bodies end by Content-Length or by close; the mock backend never sends chunks.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// A response. Field names are in lower case.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    /// The field's values, joined like a repeated field would be.
    pub fn field(&self, name: &str) -> String {
        let named = self.fields.iter().filter(|(field, _)| field == name);
        let values: Vec<&str> = named.map(|(_, value)| value.as_str()).collect();
        values.join(", ")
    }

    /// Status and body, after a check of what every answer of the mock backend has.
    #[track_caller]
    pub fn json(&self) -> (u16, &str) {
        assert_eq!(self.field("content-type"), "application/json", "{self:?}");
        let length = self.body.len().to_string();
        assert_eq!(self.field("content-length"), length, "{self:?}");
        (self.status, &self.body)
    }
}

/// A connection that may carry several requests.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_nodelay(true).expect("a TCP socket");
        Self(BufReader::new(stream))
    }

    pub fn exchange(&mut self, method: &str, target: &str, body: &[u8]) -> Reply {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: mock\r\n").into_bytes();
        if !body.is_empty() {
            request.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        request.extend(b"\r\n");
        request.extend(body);
        self.write(&request);
        self.read_reply(method).expect("a whole response")
    }

    pub fn post(&mut self, target: &str, body: &[u8]) -> Reply {
        self.exchange("POST", target, body)
    }

    pub fn write(&mut self, bytes: &[u8]) {
        let stream = self.0.get_mut();
        stream.write_all(bytes).expect("the server reads");
    }

    /// Fails with `UnexpectedEof` if the server closes instead of answering.
    pub fn read_reply(&mut self, method: &str) -> io::Result<Reply> {
        let status_line = self.read_line()?;
        let status = status_line.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(status_line))?;
        let fields = self.read_fields()?;
        let mut reply = Reply { status, fields, body: String::new() };
        if method != "HEAD" && status >= 200 {
            reply.body = self.read_body(&reply.field("content-length"))?;
        }
        Ok(reply)
    }

    /// Whether the server closes the connection without another byte.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.0.fill_buf(), Ok(bytes) if bytes.is_empty())
    }

    fn read_fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.read_line()?;
            match line.split_once(": ") {
                Some((name, value)) => fields.push((name.to_lowercase(), value.to_owned())),
                None => return Ok(fields),
            }
        }
    }

    fn read_body(&mut self, length: &str) -> io::Result<String> {
        let mut body = Vec::new();
        if length.is_empty() {
            self.0.read_to_end(&mut body)?;
        } else {
            body.resize(length.parse().map_err(io::Error::other)?, 0);
            self.0.read_exact(&mut body)?;
        }
        String::from_utf8(body).map_err(io::Error::other)
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
