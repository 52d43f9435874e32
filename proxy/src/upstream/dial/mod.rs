//! Opens connections through `awc::Connector`, with our own dial service under it: awc's default
//! leaves Nagle's algorithm on, which with delayed acknowledgements stalls answers by 40 ms, looks
//! names up for each connection, and knows no Unix sockets.
//!
//! A dialer has one endpoint and a connector of its own: awc is given a URI without meaning, and
//! its dial service knows where to go.

mod failure;
mod tcp;
mod tls;
mod unix;

use std::{fmt::Debug, future::Future, rc::Rc, sync::Arc, time::Duration};

use actix_http::Uri;
use actix_rt::net::ActixStream;
use actix_service::{Service, fn_service};
use actix_tls::connect::{ConnectError, ConnectInfo, Connection as Dialled};
use awc::{Connect, Connector, error::ConnectError as AwcError};
use futures_util::future::LocalBoxFuture;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    connection::{Connection, Io},
    resolver::{Name, Resolver},
};
use crate::{
    config::EndpointAddress,
    error::{ProxyError, Reason},
    scratch::Scratch,
    telemetry::metrics::UpstreamConnections,
    tls::upstream::Handshake,
};

/// The real bound is the caller's; awc wants one of its own.
const NO_BOUND: Duration = Duration::from_secs(7 * 24 * 3600);

type Opened = LocalBoxFuture<'static, Result<Box<dyn Io>, AwcError>>;
type Open = Box<dyn Fn() -> Opened>;

/// Opens connections of one worker to one endpoint.
pub struct Dialer {
    open: Open,
    /// What must have been looked up before.
    name: Option<Arc<Name>>,
    is_encrypted: bool,
    scratch: Scratch,
    counted: Arc<UpstreamConnections>,
}

impl Dialer {
    /// Speaks TLS if there is a `handshake`, but not over Unix sockets.
    pub fn new(
        address: &EndpointAddress,
        handshake: Option<Handshake>,
        resolver: &Resolver,
        scratch: Scratch,
        counted: Arc<UpstreamConnections>,
    ) -> Self {
        let (mut name, is_encrypted) = (None, handshake.is_some());
        let open = match address {
            EndpointAddress::Socket(address) => {
                let address = *address;
                over_tcp(move || tcp::open(address), handshake)
            }
            EndpointAddress::Name { host, port } => {
                let (known, port) = (resolver.name(host), *port);
                name = Some(Arc::clone(&known));
                over_tcp(move || tcp::open_name(Arc::clone(&known), port), handshake)
            }
            EndpointAddress::Unix(path) => {
                let path = Rc::<std::path::Path>::from(path.as_path());
                through_awc(move || unix::open(Rc::clone(&path)))
            }
        };
        Self { open, name, is_encrypted, scratch, counted }
    }

    /// What the endpoint is found by, unless it is an address.
    pub fn name(&self) -> Option<Arc<Name>> {
        self.name.clone()
    }

    /// A fresh connection to the endpoint.
    ///
    /// # Errors
    /// `name_unresolved` if the name has no address, or none within `bound`; `connect_timeout`
    /// after `bound`, which is also that of the TLS handshake; `out_of_resources` if it was not tried;
    /// else why the endpoint could not be reached.
    pub async fn connect(&self, bound: Duration) -> Result<Connection, ProxyError> {
        // Boxed: few requests need it, and the timers in it are aligned to a line of the cache, which
        // all requests would be.
        Box::pin(self.connect_within(bound)).await
    }

    async fn connect_within(&self, bound: Duration) -> Result<Connection, ProxyError> {
        let deadline = Instant::now() + bound;
        if let Some(name) = &self.name {
            // That it took too long is told by the name itself.
            let _ = timeout_at(deadline, name.looked_up()).await;
            name.addresses().map_err(|error| {
                let is_ours = error.is_lack();
                let reason = if is_ours { Reason::OutOfResources } else { Reason::NameUnresolved };
                ProxyError::new(reason, error)
            })?;
        }
        // Read first: what has changed meanwhile is looked up in the new ones.
        let known_in = self.name.as_ref().map_or(0, |name| name.version());
        match timeout_at(deadline, tcp::noting_address((self.open)())).await {
            Ok((Ok(io), address)) => {
                let (scratch, counted) = (self.scratch.clone(), Arc::clone(&self.counted));
                let mut connection = Connection::new(io, scratch, counted);
                connection.is_encrypted = self.is_encrypted;
                (connection.address, connection.known_in) = (address, known_in);
                Ok(connection)
            }
            Ok((Err(error), _)) => Err(ProxyError::new(failure::reason(&error), error)),
            Err(elapsed) => Err(ProxyError::new(Reason::ConnectTimeout, elapsed)),
        }
    }
}

/// With TLS on top, where there is a handshake.
fn over_tcp<D, F>(dial: D, handshake: Option<Handshake>) -> Open
where
    D: Fn() -> F + 'static,
    F: Future<Output = Result<TcpStream, ConnectError>> + 'static,
{
    match handshake.map(Rc::new) {
        None => through_awc(dial),
        Some(handshake) => through_awc(move || tls::open(dial(), Rc::clone(&handshake))),
    }
}

/// Puts `dial` under a connector.
fn through_awc<D, F, S>(dial: D) -> Open
where
    D: Fn() -> F + 'static,
    F: Future<Output = Result<S, ConnectError>> + 'static,
    S: ActixStream + Debug + 'static,
{
    let dial = Rc::new(dial);
    let service = fn_service(move |request: ConnectInfo<Uri>| {
        let dialling = dial();
        async move { Ok(Dialled::new(request.request().clone(), dialling.await?)) }
    });
    // The pool is ours, so awc's limit of connections in use must not bind.
    let connector = Connector::new().connector(service).limit(0).timeout(NO_BOUND).finish();
    let uri = Uri::from_static("http://endpoint.invalid/");
    Box::new(move || {
        let connecting = connector.call(Connect { uri: uri.clone(), addr: None });
        Box::pin(async move { Ok(Box::new(connecting.await?) as Box<dyn Io>) })
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        net::{IpAddr, TcpListener},
        os::unix::net::UnixListener,
    };

    use socket2::{Domain, SockAddr, Socket, Type};

    use super::*;
    use crate::error::chain;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(50);

    fn connect(dialer: &Dialer, bound: Duration) -> Result<Connection, ProxyError> {
        actix_rt::System::new().block_on(dialer.connect(bound))
    }

    fn to_name(resolver: &Resolver, port: u16) -> Dialer {
        let address = EndpointAddress::Name { host: "a.test".to_owned(), port };
        Dialer::new(&address, None, resolver, Scratch::default(), Arc::default())
    }

    #[track_caller]
    fn failure(result: Result<Connection, ProxyError>) -> ProxyError {
        result.err().expect("nobody answers there")
    }

    /// A resolver that finds the same for every name.
    fn finding(addresses: &'static [&str]) -> Arc<Resolver> {
        let lookup = move |_: &str| -> io::Result<Vec<IpAddr>> {
            Ok(addresses.iter().map(|ip| ip.parse().expect("is an address")).collect())
        };
        Resolver::start_with(Arc::new(lookup), Arc::default(), None).expect("starts")
    }

    #[test]
    fn an_origin_that_listens_on_the_second_family_only_is_reached() {
        let origin = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = origin.local_addr().expect("is bound").port();
        let resolver = finding(&["::1", "127.0.0.1"]);
        assert!(connect(&to_name(&resolver, port), LONG).is_ok());
    }

    #[test]
    fn a_refusal_names_its_address() {
        let origin = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = origin.local_addr().expect("is bound").port();
        drop(origin);
        let resolver = finding(&["127.0.0.1"]);
        let error = failure(connect(&to_name(&resolver, port), LONG));
        assert_eq!(error.reason(), Reason::ConnectionRefused);
        let (line, address) = (chain(&error), format!("127.0.0.1:{port}: "));
        assert!(line.contains(&address), "{line}");
    }

    #[test]
    fn a_name_whose_first_lookup_takes_too_long_is_unresolved() {
        let error = failure(connect(&to_name(&Resolver::unanswered(), 80), SHORT));
        assert_eq!(error.reason(), Reason::NameUnresolved);
        assert!(chain(&error).contains("\"a.test\""), "{}", chain(&error));
    }

    #[test]
    fn a_name_without_address_is_unresolved() {
        let resolver = finding(&[]);
        let error = failure(connect(&to_name(&resolver, 80), LONG));
        assert_eq!(error.reason(), Reason::NameUnresolved);
    }

    #[test]
    fn a_name_that_is_not_looked_up_for_want_of_files_is_not_unresolved() {
        let lookup =
            |_: &str| Err(io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()));
        let resolver =
            Resolver::start_with(Arc::new(lookup), Arc::default(), None).expect("starts");
        let error = failure(connect(&to_name(&resolver, 80), LONG));
        assert_eq!(error.reason(), Reason::OutOfResources);
    }

    fn to_socket(folder: &tempfile::TempDir) -> (std::path::PathBuf, Dialer) {
        let path = folder.path().join("app.sock");
        let address = EndpointAddress::Unix(path.clone());
        let resolver = Resolver::unanswered();
        (path, Dialer::new(&address, None, &resolver, Scratch::default(), Arc::default()))
    }

    #[test]
    fn a_unix_socket_is_reached_while_somebody_listens() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (path, dialer) = to_socket(&folder);
        let gone = failure(connect(&dialer, LONG));
        let listener = UnixListener::bind(&path).expect("can be bound");
        let reached = connect(&dialer, LONG);
        drop(listener);
        let left = failure(connect(&dialer, LONG));
        assert!(reached.is_ok());
        assert_eq!(gone.reason(), Reason::ConnectionRefused);
        assert_eq!(left.reason(), Reason::ConnectionRefused, "the file is left");
        assert!(chain(&gone).contains("app.sock"), "{}", chain(&gone));
    }

    #[test]
    fn a_unix_socket_with_a_full_queue_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (path, dialer) = to_socket(&folder);
        let address = SockAddr::unix(&path).expect("is short enough");
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).expect("can be made");
        listener.bind(&address).expect("can be bound");
        listener.listen(0).expect("can listen");
        let queued: Vec<Socket> = std::iter::from_fn(|| {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).ok()?;
            socket.set_nonblocking(true).ok()?;
            socket.connect(&address).ok().map(|()| socket)
        })
        .take(64)
        .collect();
        assert!(queued.len() < 64, "the queue has no end here");
        let error = failure(connect(&dialer, SHORT));
        assert_eq!(error.reason(), Reason::ConnectTimeout);
        queued.iter().for_each(|_| drop(listener.accept()));
        assert!(connect(&dialer, LONG).is_ok());
    }
}
