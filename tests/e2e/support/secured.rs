//! Clients with TLS, and the listener that they talk to.

use std::{io::BufReader, net::SocketAddr, net::TcpStream, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tempfile::TempDir;

use super::{Authority, Certified, Client, PATIENCE};

pub type Secured = Client<StreamOwned<ClientConnection, TcpStream>>;

/// Files of a TLS listener; `config` begins with it, and further keys of `[listeners.tls]` follow.
pub struct TlsFiles {
    pub folder: TempDir,
    pub config: String,
}

impl TlsFiles {
    pub fn new(listener: &str, shown: &[&Certified]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().display();
        let write = |(index, one): (usize, &&Certified)| {
            let (cert, key) = (format!("{path}/{index}.pem"), format!("{path}/{index}.key"));
            std::fs::write(&cert, one.pem()).expect("is written");
            std::fs::write(&key, one.key_pem()).expect("is written");
            format!("{{ cert = \"{cert}\", key = \"{key}\" }}")
        };
        let pairs: Vec<String> = shown.iter().enumerate().map(write).collect();
        let config = format!(
            "[[listeners]]\nbind = \"127.0.0.1:0\"\n{listener}\n\
             [listeners.tls]\ncertificates = [{}]\n",
            pairs.join(", ")
        );
        Self { folder, config }
    }

    /// A file with the CAs that sign clients, and the key that names it.
    pub fn client_ca(&self, authority: &Authority) -> String {
        let path = self.folder.path().join("clients.pem");
        std::fs::write(&path, authority.pem()).expect("is written");
        format!("client_ca = \"{}\"\n", path.display())
    }
}

/// How a client shakes hands.
pub struct Shaking {
    config: ClientConfig,
}

impl Shaking {
    pub fn trusting(authority: &Authority) -> Self {
        Self { config: builder(authority).with_no_client_auth() }
    }

    pub fn showing(authority: &Authority, shown: &Certified) -> Self {
        let config = builder(authority).with_client_auth_cert(shown.chain(), shown.key());
        Self { config: config.expect("belong together") }
    }

    pub fn only_1_2(mut self, authority: &Authority) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS12])
            .expect("the provider has suites");
        self.config = builder.with_root_certificates(roots(authority)).with_no_client_auth();
        self
    }

    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
        self
    }

    pub fn without_sni(mut self) -> Self {
        self.config.enable_sni = false;
        self
    }

    /// A connection to the server of that name; the handshake is made with the first bytes.
    pub fn connect(&self, address: SocketAddr, name: &str) -> Secured {
        self.over(Client::connect(address).stream.into_inner(), name)
    }

    /// What a client sends first to the server of that name: a record.
    pub fn hello(&self, name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.client(name).write_tls(&mut bytes).expect("a Vec grows");
        bytes
    }

    pub fn over(&self, socket: TcpStream, name: &str) -> Secured {
        socket.set_read_timeout(Some(PATIENCE)).expect("can be set");
        let stream = StreamOwned::new(self.client(name), socket);
        Client { stream: BufReader::new(stream) }
    }

    fn client(&self, name: &str) -> ClientConnection {
        let name = ServerName::try_from(name.to_owned()).expect("is a name");
        ClientConnection::new(Arc::new(self.config.clone()), name).expect("is configured")
    }
}

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).expect("is a CA");
    roots
}

fn builder(
    authority: &Authority,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("the provider has suites")
        .with_root_certificates(roots(authority))
}

impl Secured {
    /// Shakes hands now; whether both sides agree.
    pub fn shakes(&mut self) -> bool {
        let StreamOwned { conn, sock } = self.stream.get_mut();
        while conn.is_handshaking() {
            if conn.complete_io(sock).is_err() {
                return false;
            }
        }
        true
    }

    pub fn tls(&self) -> &ClientConnection {
        &self.stream.get_ref().conn
    }
}
