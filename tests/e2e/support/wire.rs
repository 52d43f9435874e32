//! A connection as an origin has it: bare, or with TLS on it.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};

use super::{Authority, Certified};

pub enum Wire {
    Bare(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static ONLY_1_2: [&SupportedProtocolVersion; 1] = [&TLS12];

/// What an origin shows and asks for.
pub struct ServerTls<'a> {
    shown: &'a Certified,
    clients: Option<&'a Authority>,
    versions: &'static [&'static SupportedProtocolVersion],
}

impl<'a> ServerTls<'a> {
    pub fn showing(shown: &'a Certified) -> Self {
        Self { shown, clients: None, versions: &BOTH }
    }

    /// Whoever has no certificate of this CA is refused.
    pub fn asking_for(mut self, clients: &'a Authority) -> Self {
        self.clients = Some(clients);
        self
    }

    pub fn only_1_2(mut self) -> Self {
        self.versions = &ONLY_1_2;
        self
    }

    pub fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.versions)
            .expect("the provider has suites");
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der()).expect("is a CA");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().expect("has a CA"))
            }
        };
        let config = builder.with_single_cert(self.shown.chain(), self.shown.key());
        let mut config = config.expect("belong together");
        config.ticketer = aws_lc_rs::Ticketer::new().expect("there is chance");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

impl Wire {
    /// The handshake comes with the first byte that is read or written.
    pub fn new(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Self {
        match tls {
            None => Self::Bare(stream),
            Some(config) => {
                let connection =
                    ServerConnection::new(Arc::clone(config)).expect("the configuration is valid");
                Self::Tls(Box::new(StreamOwned::new(connection, stream)))
            }
        }
    }

    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Bare(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    pub fn tls(&self) -> &ServerConnection {
        match self {
            Self::Bare(_) => panic!("there is no TLS on it"),
            Self::Tls(stream) => &stream.conn,
        }
    }

    /// Changes the keys, and asks the other side to (RFC 8446 section 4.6.3).
    pub fn update_keys(&mut self) {
        if let Self::Tls(stream) = self {
            stream.conn.refresh_traffic_keys().expect("is TLS 1.3");
            stream.flush().expect("is open");
        }
    }

    /// Ends it in order.
    pub fn close(&mut self) {
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        self.cut();
    }

    /// Ends the connection below TLS.
    pub fn cut(&mut self) {
        let _ = self.socket().shutdown(Shutdown::Both);
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bare(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Bare(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Bare(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
