//! Origins that do just what a test says, down to the byte.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rustls::{ServerConfig, ServerConnection};

use super::{Client, ServerTls, wire::Wire};

/// A server whose every connection is handled by one closure, each on a thread of its own.
pub struct Origin {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<Head>>>,
    connections: Arc<AtomicUsize>,
}

/// A request line and its fields, names in lower case.
#[derive(Clone, Debug)]
pub struct Head {
    pub line: String,
    pub fields: Vec<(String, String)>,
    /// The names as they came.
    pub names: Vec<String>,
}

/// One connection, as the origin sees it.
pub struct Exchange {
    client: Client<Wire>,
    heads: Arc<Mutex<Vec<Head>>>,
    /// Counts connections from 0.
    pub connection: usize,
}

impl Origin {
    pub fn start(handle: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Self {
        Self::serve(None, handle)
    }

    /// One that speaks TLS.
    pub fn start_tls(
        tls: &ServerTls<'_>,
        handle: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(tls.config()), handle)
    }

    fn serve(
        tls: Option<Arc<ServerConfig>>,
        handle: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
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
                let tls = tls.clone();
                thread::spawn(move || {
                    let mut exchange = Exchange::new(stream, tls.as_ref(), heads, connection);
                    handle(&mut exchange);
                });
            }
        });
        Self { address, heads, connections }
    }

    /// An origin that answers every request with the same bytes and keeps the connection.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(always(answer.into()))
    }

    /// The same over TLS.
    pub fn answering_tls(tls: &ServerTls<'_>, answer: impl Into<Vec<u8>>) -> Self {
        Self::start_tls(tls, always(answer.into()))
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

fn always(answer: Vec<u8>) -> impl Fn(&mut Exchange) {
    move |exchange| {
        while let Some(head) = exchange.request() {
            exchange.body(&head);
            exchange.write(&answer);
        }
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
    fn new(
        stream: TcpStream,
        tls: Option<&Arc<ServerConfig>>,
        heads: Arc<Mutex<Vec<Head>>>,
        connection: usize,
    ) -> Self {
        stream.set_nodelay(true).expect("can be set");
        stream.set_read_timeout(Some(super::PATIENCE)).expect("can be set");
        let stream = std::io::BufReader::new(Wire::new(stream, tls));
        Self { client: Client { stream }, heads, connection }
    }

    /// The next request head; `None` when the proxy has closed the connection.
    pub fn request(&mut self) -> Option<Head> {
        use std::io::BufRead;
        if self.client.stream.fill_buf().map_or(true, <[u8]>::is_empty) {
            return None;
        }
        let (line, mut fields) = self.client.spelled_head();
        let names = fields.iter().map(|(name, _)| name.clone()).collect();
        for (name, _) in &mut fields {
            name.make_ascii_lowercase();
        }
        let head = Head { line, fields, names };
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

    /// Reads the body that `head` announces; `None` if it is cut.
    pub fn whole_body(&mut self, head: &Head) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        if head.header("transfer-encoding").is_some() {
            loop {
                let chunk = self.client.chunk()?;
                if chunk.is_empty() {
                    return Some(body);
                }
                body.extend_from_slice(&chunk);
            }
        }
        let length = head.header("content-length").map_or(0, |n| n.parse().expect("is a length"));
        body.resize(length, 0);
        std::io::Read::read_exact(&mut self.client.stream, &mut body).ok().map(|()| body)
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

    /// Whether what comes next is the end, and TLS says that nothing was cut off.
    pub fn ends_in_order(&mut self) -> bool {
        use std::io::Read;
        matches!(self.client.stream.read(&mut [0]), Ok(0))
    }

    /// What TLS has agreed on.
    pub fn tls(&self) -> &ServerConnection {
        self.client.stream.get_ref().tls()
    }

    /// Says something on the connection that belongs to TLS alone.
    pub fn update_keys(&mut self) {
        self.client.stream.get_mut().update_keys();
    }

    /// Writes; false if the proxy has gone.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let wire = self.client.stream.get_mut();
        wire.write_all(bytes.as_ref()).and_then(|()| wire.flush()).is_ok()
    }

    /// Closes the connection in order.
    pub fn close(&mut self) {
        self.client.stream.get_mut().close();
    }

    /// Closes the connection without a word of TLS.
    pub fn cut(&mut self) {
        self.client.stream.get_mut().cut();
    }

    /// Lets the connection be reset at its end, which must come next.
    pub fn reset(&mut self) {
        let stream = socket2::SockRef::from(self.client.stream.get_ref().socket());
        stream.set_linger(Some(std::time::Duration::ZERO)).expect("can be set");
    }

    /// Waits until the proxy has closed the connection.
    pub fn wait_for_close(&mut self) {
        let mut buffer = [0; 4096];
        while self.read(&mut buffer) > 0 {}
    }
}
