//! Origins that do just what a test says, down to the byte.

use std::{
    io::Write,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::Client;

/// A server whose every connection is handled by one closure, each on a thread of its own.
pub struct Origin {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<Head>>>,
    connections: Arc<AtomicUsize>,
}

/// A request line and its fields, names as sent.
#[derive(Clone, Debug)]
pub struct Head {
    pub line: String,
    pub fields: Vec<(String, String)>,
}

/// One connection, as the origin sees it.
pub struct Exchange {
    client: Client,
    heads: Arc<Mutex<Vec<Head>>>,
    /// Counts connections from 0.
    pub connection: usize,
}

impl Origin {
    pub fn start(handle: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("is bound");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (kept, counted) = (Arc::clone(&heads), Arc::clone(&connections));
        let handle = Arc::new(handle);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = counted.fetch_add(1, Ordering::SeqCst);
                let (handle, heads) = (Arc::clone(&handle), Arc::clone(&kept));
                thread::spawn(move || {
                    let mut exchange = Exchange::new(stream, heads, connection);
                    handle(&mut exchange);
                });
            }
        });
        Self { address, heads, connections }
    }

    /// An origin that answers every request with the same bytes and keeps the connection.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |exchange| {
            while let Some(head) = exchange.request() {
                exchange.body(&head);
                exchange.write(&answer);
            }
        })
    }

    /// All request heads so far.
    pub fn heads(&self) -> Vec<Head> {
        self.heads.lock().expect("no handler has panicked").clone()
    }

    /// The last request head.
    pub fn last_head(&self) -> Head {
        self.heads().pop().expect("a request has come")
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A configuration that sends everything to this origin.
    pub fn config(&self) -> String {
        format!(
            "[[routes]]\nname = \"all\"\nservice = \"origin\"\n\n\
             [services.origin]\nendpoints = [\"http://{}\"]\n",
            self.address
        )
    }
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }
}

impl Exchange {
    fn new(stream: TcpStream, heads: Arc<Mutex<Vec<Head>>>, connection: usize) -> Self {
        stream.set_nodelay(true).expect("can be set");
        stream.set_read_timeout(Some(super::PATIENCE)).expect("can be set");
        Self { client: Client { stream: std::io::BufReader::new(stream) }, heads, connection }
    }

    /// The next request head; `None` when the proxy has closed the connection.
    pub fn request(&mut self) -> Option<Head> {
        use std::io::BufRead;
        if self.client.stream.fill_buf().map_or(true, <[u8]>::is_empty) {
            return None;
        }
        let (line, fields) = self.client.head();
        let head = Head { line, fields };
        self.heads.lock().expect("no test has panicked").push(head.clone());
        Some(head)
    }

    /// Reads the body that `head` announces.
    pub fn body(&mut self, head: &Head) -> Vec<u8> {
        use std::io::Read;
        let mut body = Vec::new();
        if head.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.client.chunk().filter(|chunk| !chunk.is_empty()) {
                body.extend_from_slice(&chunk);
            }
        } else if let Some(length) = head.header("content-length") {
            let length = length.parse().expect("is a length");
            let read = (&mut self.client.stream).take(length).read_to_end(&mut body);
            read.expect("the body comes");
        }
        body
    }

    /// The next chunk of a chunked body; empty at its end, `None` if the connection is cut.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        self.client.chunk()
    }

    /// Reads whatever comes next; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        use std::io::Read;
        self.client.stream.read(buffer).unwrap_or(0)
    }

    /// Writes; false if the proxy has gone.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.client.stream.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    /// Closes the connection in order.
    pub fn close(&mut self) {
        let _ = self.client.stream.get_mut().shutdown(Shutdown::Both);
    }

    /// Lets the connection be reset at its end, which must come next.
    pub fn reset(&mut self) {
        let stream = socket2::SockRef::from(self.client.stream.get_ref());
        stream.set_linger(Some(std::time::Duration::ZERO)).expect("can be set");
    }

    /// Waits until the proxy has closed the connection.
    pub fn wait_for_close(&mut self) {
        let mut buffer = [0; 4096];
        while self.read(&mut buffer) > 0 {}
    }
}
