//! A client that sends what it is told and keeps what it gets: raw sockets, nothing tidied up.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
};

use super::PATIENCE;

/// A request to be sent on a connection of its own.
pub struct Request {
    address: SocketAddr,
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// `HTTP/1.1 200 OK`
    pub status_line: String,
    /// In order, names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body ended as its framing says.
    pub is_whole: bool,
}

/// One connection.
pub struct Client<S = TcpStream> {
    pub stream: BufReader<S>,
}

impl Request {
    pub fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        Self {
            address,
            method: method.to_owned(),
            target: target.to_owned(),
            fields: Vec::new(),
            body: None,
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Sent with `Content-Length`.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            bytes.extend_from_slice(format!("Host: {}\r\n", self.address).as_bytes());
        }
        for (name, value) in &self.fields {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if let Some(body) = &self.body {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    pub fn send(&self) -> Answer {
        self.send_on(&mut Client::connect(self.address))
    }

    pub fn send_on<S: Read + Write>(&self, client: &mut Client<S>) -> Answer {
        client.write(self.bytes());
        client.answer(&self.method)
    }
}

impl Client<UnixStream> {
    pub fn connect_unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("something listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("can be set");
        Self { stream: BufReader::new(stream) }
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("something listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("can be set");
        stream.set_nodelay(true).expect("can be set");
        Self { stream: BufReader::new(stream) }
    }
}

impl<S: Read + Write> Client<S> {
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("the peer takes it");
    }

    /// Reads a head: the status line and the fields, names in lower case.
    pub fn head(&mut self) -> (String, Vec<(String, String)>) {
        let (status_line, mut fields) = self.spelled_head();
        for (name, _) in &mut fields {
            name.make_ascii_lowercase();
        }
        (status_line, fields)
    }

    /// The same with the names as they came.
    pub fn spelled_head(&mut self) -> (String, Vec<(String, String)>) {
        let status_line = self.line();
        let mut fields = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return (status_line, fields);
            }
            let (name, value) = line.split_once(':').expect("is a field");
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Reads one final answer to a request of this method.
    pub fn answer(&mut self, method: &str) -> Answer {
        let (mut status_line, mut fields) = self.head();
        while status_line.starts_with("HTTP/1.1 1") {
            (status_line, fields) = self.head();
        }
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.expect("has a status");
        let has_none = method == "HEAD" || status == 204 || status == 304;
        let (body, is_whole) = if has_none { (Vec::new(), true) } else { self.body(&fields) };
        Answer { status, status_line, fields, body, is_whole }
    }

    fn body(&mut self, fields: &[(String, String)]) -> (Vec<u8>, bool) {
        let field =
            |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        if field("transfer-encoding").is_some() {
            return self.chunks();
        }
        let mut body = Vec::new();
        match field("content-length") {
            Some(length) => {
                let length: u64 = length.parse().expect("is a length");
                let read = (&mut self.stream).take(length).read_to_end(&mut body);
                (body, matches!(read, Ok(read) if read as u64 == length))
            }
            None => {
                let read = self.stream.read_to_end(&mut body);
                (body, read.is_ok())
            }
        }
    }

    fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk() {
            if chunk.is_empty() {
                return (body, true);
            }
            body.extend_from_slice(&chunk);
        }
        (body, false)
    }

    /// The next chunk; empty at the end, `None` if the connection is cut.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).ok()?;
        if read == 0 {
            return None;
        }
        let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        Some(chunk)
    }

    /// A line without its CRLF; if it is no UTF-8, its bytes as characters of Latin-1.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let read = self.stream.read_until(b'\n', &mut line).expect("a line comes");
        assert!(read > 0, "the connection is closed");
        let latin_1 = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect();
        let line = String::from_utf8(line).unwrap_or_else(|error| latin_1(error.as_bytes()));
        let line = line.strip_suffix("\r\n");
        line.unwrap_or_else(|| panic!("a line does not end in CRLF")).to_owned()
    }

    /// Whether the peer has closed the connection, with or without an error.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

impl Answer {
    /// The first field of that name.
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

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("is JSON")
    }
}
